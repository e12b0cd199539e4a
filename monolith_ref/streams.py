"""Streams of random words by name: Philox4x64-10 key [seed, tag], counter [0, a, b, 0]. Rule: sync_training 6.1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError

__all__ = ["stream"]


def stream(seed: int, tag: int, a: int, b: int, words: int) -> NDArray[np.uint64]:
    """The first ``words`` words (uint64) of stream (tag, a, b); ArgumentError for a seed outside 0..2^64-1."""
    if not 0 <= seed < 1 << 64:
        raise ArgumentError(f"seed must be in 0..2^64-1, not {seed}")
    key = np.array([seed, tag], np.uint64)
    counter = np.array([0, a, b, 0], np.uint64)
    return np.asarray(np.random.Philox(key=key, counter=counter).random_raw(words), np.uint64)
