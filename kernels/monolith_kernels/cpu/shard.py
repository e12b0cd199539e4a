"""Dealing distinct ids to owner ranks and putting received ids together. Rule: sync_training 2.2 steps 1 to 3.

The owner of an id is ``id mod N`` with a remainder that is never negative (C++'s would be, and index out of bounds).
With ``empty_rank0`` and N > 4 it is ``id mod (N - 1) + 1``: rank 0 owns nothing. Counts are host arrays everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monolith_kernels.arrays import F4, F8, I4, I8, Merged, Split
from monolith_kernels.cpu import _shard

__all__ = ["merge", "move", "offsets", "owners", "split"]


def owners(ids: I8, ranks: int, empty_rank0: bool, out: I4) -> None:
    """Owner rank of every id, into ``out`` int32[n]."""
    _shard.owners(ids, ranks, empty_rank0 and ranks > 4, out)


def split(unique: I8, unique_splits: I8, ranks: int, empty_rank0: bool = False) -> Split:
    """Order distinct ids by (owner, table, first occurrence).

    ``unique`` int64[u] and ``unique_splits`` int64[K + 1] (host) are as ``dedup.unique_tables`` gives them; ranks may
    be thousands. Returns new arrays, of one rank the ids themselves.
    """
    if ranks == 1:
        counts = np.diff(unique_splits).reshape(1, -1)
        return Split(np.arange(len(unique), dtype=np.int32), unique, counts.sum(axis=1), counts)
    counts = np.zeros((ranks, len(unique_splits) - 1), np.int64)
    owner_of = np.empty(len(unique), np.int32)
    order = np.empty(len(unique), np.int32)
    ids = np.empty(len(unique), np.int64)
    owners(unique, ranks, empty_rank0, owner_of)
    _shard.split(unique, unique_splits, owner_of, counts, np.empty(counts.size, np.int64), order, ids)
    return Split(order, ids, counts.sum(axis=1), counts)


def offsets(order: I4, unique_splits: I8, owner_table_counts: I8, widths: Sequence[int] | I8) -> I8:
    """Element offset of every distinct id's vector in a flat buffer in send order: int64[u], new.

    ``widths[k]``: elements per id of table k (the dim on the wire, or a padded stride in a local buffer).
    """
    out = np.empty(len(order), np.int64)
    table_widths = np.asarray(widths, np.int64)
    sizes = (owner_table_counts * table_widths).reshape(-1)
    starts = (np.cumsum(sizes) - sizes).reshape(owner_table_counts.shape)
    counts = owner_table_counts.reshape(-1)
    firsts = (np.cumsum(counts) - counts).reshape(owner_table_counts.shape)
    owner_ends = np.cumsum(owner_table_counts.sum(axis=1))
    _shard.offsets(order, unique_splits, owner_ends, firsts, starts, table_widths, out)
    return out


def merge(ids: I8, source_table_counts: I8) -> Merged:
    """Put received ids (by source rank, then table) in order (table, source rank, position).

    ``ids`` int64[m]; ``source_table_counts`` int64[N, K] (host): ids per source rank and table. Returns new arrays.
    """
    sources, tables = source_table_counts.shape
    order = np.empty(len(ids), np.int32)
    merged = np.empty(len(ids), np.int64)
    splits = np.zeros((tables, sources + 1), np.int64)
    by_table = np.ascontiguousarray(source_table_counts.T)
    ends = np.cumsum(by_table.reshape(-1)).reshape(tables, sources)
    splits[:, 1:] = ends
    splits[:, 0] = ends[:, 0] - by_table[:, 0]
    _shard.merge(ids, np.ascontiguousarray(source_table_counts), splits, order, merged)
    table_splits = np.zeros(tables + 1, np.int64)
    table_splits[1:] = ends[:, -1]
    return Merged(order, merged, table_splits, splits)


def move(values: F4 | F8, from_offsets: I8, to_offsets: I8, width: int, out: F4 | F8) -> None:
    """Copy vectors: ``out[to_offsets[i]:][:width] = values[from_offsets[i]:][:width]``, bits preserved.

    ``values`` and ``out`` are flat float32 (or both float64) buffers and may not overlap. ``from_offsets[i]`` of -1
    gives +0.0, ``to_offsets[i]`` of -1 is skipped.
    """
    _shard.move(values, from_offsets, to_offsets, width, out)
