"""SHA-256 digests of the data, of the state and of the losses: how runs are compared across ranks and machines.

Everything is hashed little-endian. Rule: sync_training 6.1 (data), 6.4 (state), 6.3 (losses); job 1 (real input).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.generator import SLOT_SHIFT
from monolith_ref.features.ragged import Batch

__all__ = ["DataDigest", "HeadArrays", "LossDigest", "head_digest", "state_digest"]

_CHUNK = 1 << 15
_ID_MASK = np.int64((1 << SLOT_SHIFT) - 1)


class HeadArrays(Protocol):
    """One dense layer: kernel [fan_in, fan_out], bias [fan_out] and their accumulators, float32."""

    @property
    def kernel(self) -> NDArray[np.float32]: ...
    @property
    def kernel_accumulator(self) -> NDArray[np.float32]: ...
    @property
    def bias(self) -> NDArray[np.float32]: ...
    @property
    def bias_accumulator(self) -> NDArray[np.float32]: ...


class DataDigest:
    """Over the steps, per feature: row lengths int32, then ids int64 row by row; then the labels float32.

    ``with_slot=False`` (the generator's rule) drops the slot bits from the ids; real input hashes whole fids.
    """

    def __init__(self, with_slot: bool = False) -> None:
        self._hash = hashlib.sha256()
        self._with_slot = with_slot

    def add(self, parts: Sequence[Batch]) -> None:
        """Take in the whole global batch of the next step: the rows of all ranks, in rank order."""
        for name in parts[0].ragged:
            columns = [part.ragged[name] for part in parts]
            for column in columns:
                self._hash.update(column.lengths().astype("<i4").tobytes())
            for column in columns:
                ids = column.values if self._with_slot else column.values & _ID_MASK
                self._hash.update(ids.astype("<i8").tobytes())
        for part in parts:
            self._hash.update(part.label.astype("<f4").tobytes())

    def hexdigest(self) -> str:
        """The digest so far, 64 hex digits."""
        return self._hash.hexdigest()


class LossDigest:
    """Over the losses of the steps, float32."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, loss: float | np.float32) -> None:
        """Take in the loss of the next step."""
        self._hash.update(np.float32(loss).astype("<f4").tobytes())

    def hexdigest(self) -> str:
        """The digest so far, 64 hex digits."""
        return self._hash.hexdigest()


def _update_rows(
    digest: Any, fids: NDArray[np.int64], weights: NDArray[np.float32], accumulators: NDArray[np.float32]
) -> None:
    dim = weights.shape[1]
    record = np.dtype([("fid", "<i8"), ("w", "<f4", (dim,)), ("a", "<f4", (dim,))])
    for start in range(0, len(fids), _CHUNK):
        stop = min(start + _CHUNK, len(fids))
        chunk = np.empty(stop - start, record)
        chunk["fid"], chunk["w"], chunk["a"] = fids[start:stop], weights[start:stop], accumulators[start:stop]
        digest.update(chunk.data)


def _update_head(digest: Any, layers: Iterable[HeadArrays]) -> None:
    for layer in layers:
        for part in (layer.kernel, layer.kernel_accumulator, layer.bias, layer.bias_accumulator):
            digest.update(np.ascontiguousarray(part, "<f4").data)


def state_digest(
    fids: NDArray[np.int64],
    weights: NDArray[np.float32],
    accumulators: NDArray[np.float32],
    layers: Sequence[HeadArrays],
) -> str:
    """Digest of rows in ascending order of fid (int64, D weights, D accumulators), then of the head.

    ``fids`` [n] ascending; ``weights``, ``accumulators`` [n, D]. Rule: sync_training 6.4.
    """
    digest = hashlib.sha256()
    _update_rows(digest, fids, weights, accumulators)
    _update_head(digest, layers)
    return digest.hexdigest()


def head_digest(layers: Sequence[HeadArrays]) -> str:
    """Digest of the head alone: per layer kernel, its accumulator, bias, its accumulator."""
    digest = hashlib.sha256()
    _update_head(digest, layers)
    return digest.hexdigest()
