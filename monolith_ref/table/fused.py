"""Fused lookups and updates: the ids of N shards and K tables in one call. Rule: tables 9.

Chunks come shard by shard and, inside a shard, table by table in sorted name order;
``fused_slot_size[shard*K + table]`` is the number of ids of a chunk. Every shard is one caller: its updates are steps
of their own, shard 0 first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ShapeError
from monolith_ref.table.arrays import as_array, as_floats, as_ids, as_int
from monolith_ref.table.core import Table

__all__ = ["FusedLookup", "fused_apply", "fused_find"]


class FusedLookup(NamedTuple):
    """What a fused lookup returns.

    Attributes
    ----------
    embeddings : float32[L]
        Rows in the order of ids, each table with its own dim.
    embedding_splits : int32[N]
        Floats per shard.
    id_offsets, embedding_offsets : int32[N * K + 1]
        Where each chunk begins, in ids and in floats.
    indices : int64[M]
        The ids again.
    """

    embeddings: NDArray[np.float32]
    embedding_splits: NDArray[np.int32]
    id_offsets: NDArray[np.int32]
    embedding_offsets: NDArray[np.int32]
    indices: NDArray[np.int64]


def _offsets(sizes: NDArray[np.int64]) -> NDArray[np.int32]:
    out = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=out[1:])
    return out


def _chunks(
    tables: Sequence[Table], ids: Any, fused_slot_size: Any, num_of_shards: Any
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """(ids, id offsets, float offsets); ShapeError where sizes do not fit."""
    shards = as_int(num_of_shards, "num_of_shards")
    if shards < 1:
        raise ShapeError(f"num_of_shards must be at least 1, got {shards}")
    keys = as_ids(ids)
    if keys.ndim != 1:
        raise ShapeError(f"ids must have rank 1, got shape {list(keys.shape)}")
    sizes = as_ids(fused_slot_size, "fused_slot_size")
    if sizes.shape != (shards * len(tables),):
        expected = f"[{shards * len(tables)}]"
        raise ShapeError(
            f"fused_slot_size must have shape {expected} ({shards} shards of {len(tables)} tables), "
            f"got {list(sizes.shape)}"
        )
    if (sizes < 0).any() or int(sizes.sum()) != len(keys):
        raise ShapeError(f"fused_slot_size must be non-negative and add up to {len(keys)} ids, got {sizes.tolist()}")
    dims = np.tile(np.array([table.dim for table in tables], np.int64), shards)
    if int((sizes * dims).sum()) >= 1 << 31:
        raise ShapeError("a fused call holds fewer than 2^31 floats")
    return keys, _offsets(sizes), _offsets(sizes * dims)


def fused_find(tables: Sequence[Table], ids: Any, fused_slot_size: Any, num_of_shards: Any) -> FusedLookup:
    """Rows of all chunks. ``ids`` int64[M], ``fused_slot_size`` int32[N * K]. Raises ShapeError."""
    keys, id_offsets, offsets = _chunks(tables, ids, fused_slot_size, num_of_shards)
    out = np.empty(int(offsets[-1]), np.float32)
    for chunk in range(len(id_offsets) - 1):
        part = keys[id_offsets[chunk] : id_offsets[chunk + 1]]
        if len(part):
            tables[chunk % len(tables)].lookup_into(part, out[offsets[chunk] : offsets[chunk + 1]])
    splits = np.diff(offsets[:: len(tables)]).astype(np.int32)
    return FusedLookup(out, splits, id_offsets, offsets, keys.copy())


def _check_offsets(value: Any, expected: NDArray[np.int32], what: str) -> None:
    given = as_ids(as_array(value, what), what)
    if given.shape != expected.shape or (given != expected).any():
        raise ShapeError(f"{what} must be the offsets of fused_slot_size, {expected.tolist()[:20]}")


def fused_apply(
    tables: Sequence[Table],
    ids: Any,
    fused_slot_size: Any,
    id_grads: Any,
    id_offsets: Any,
    grad_offsets: Any,
    rates: Sequence[NDArray[np.float32]],
    global_step: int,
    req_time: int,
    num_of_shards: Any,
    dedup: bool,
) -> None:
    """Update every chunk in order: plain steps, or with ``dedup`` one per distinct id *of a chunk*.

    ``id_grads`` float32[L] in the layout of a lookup; ``id_offsets`` and ``grad_offsets`` are those that it returned
    (None: not checked). ``rates``: one vector per table.
    """
    keys, key_starts, starts = _chunks(tables, ids, fused_slot_size, num_of_shards)
    grads = as_floats(id_grads, "id_grads").reshape(-1)
    if len(grads) != starts[-1]:
        raise ShapeError(f"id_grads has {len(grads)} floats, the ids need {int(starts[-1])}")
    if id_offsets is not None:
        _check_offsets(id_offsets, key_starts, "id_offsets")
    if grad_offsets is not None:
        _check_offsets(grad_offsets, starts, "grad_offsets")
    for table, rate in zip(tables, rates, strict=True):
        table.check_update(rate, global_step, req_time)
    chunks = []
    for chunk in range(len(key_starts) - 1):
        number = chunk % len(tables)
        part = keys[key_starts[chunk] : key_starts[chunk + 1]]
        gradient = grads[starts[chunk] : starts[chunk + 1]]
        tables[number].check_finite(part, gradient, "gradients")
        chunks.append((number, part, gradient))
    for number, part, gradient in chunks:
        tables[number].optimize(part, gradient, rates[number], global_step, req_time, dedup=dedup)
