"""The order of the rows of finite data: stream (5, epoch, 0) of the seed. Rule: sync_training 6.1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError
from monolith_ref.streams import stream

__all__ = ["ORDER_TAG", "row_order"]

ORDER_TAG = 5

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def _scaled(words: NDArray[np.uint64], limits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """floor(word * limit / 2^64), elementwise; limits below 2^32."""
    low = ((words & _LOW) * limits) >> _HALF
    return ((words >> _HALF) * limits + low) >> _HALF


def row_order(seed: int, epoch: int, rows: int, tag: int = ORDER_TAG) -> NDArray[np.int64]:
    """A permutation of 0..rows-1 (int64): from the last position down, word n-1-i decides what position i swaps
    with. ``tag``: another stream than that of epochs."""
    if not 0 <= rows < 1 << 32:
        raise ArgumentError(f"rows must be in 0..2^32-1, not {rows}")
    if rows < 2:
        return np.arange(rows, dtype=np.int64)
    words = stream(seed, tag, epoch, 0, rows - 1)
    partners = _scaled(words, np.arange(rows, 1, -1, dtype=np.uint64)).tolist()
    order = list(range(rows))
    for i, j in zip(range(rows - 1, 0, -1), partners, strict=True):
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)
