"""Dealing distinct ids to owner ranks on CUDA. Twin of :mod:`monolith_kernels.cpu.shard`, whose descriptions hold.

Ids, orders and offsets live on the device; counts and splits are host arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monolith_kernels.arrays import F4, F8, I4, I8, Merged, Split
from monolith_kernels.cuda import _shard
from monolith_kernels.cuda._index import fill_int32
from monolith_kernels.cuda.launch import device_array, on_device, row_blocks
from monolith_kernels.cuda.sort import sort_pairs

__all__ = ["merge", "move", "offsets", "owners", "split"]


def owners(ids: I8, ranks: int, empty_rank0: bool, out: I4) -> None:
    """Owner rank of every id, into ``out`` int32[n]."""
    _shard.owners.per_item(len(ids), ids, len(ids), ranks, int(empty_rank0 and ranks > 4), out)


def split(unique: I8, unique_splits: I8, ranks: int, empty_rank0: bool = False) -> Split:
    """Order distinct ids by (owner, table, first occurrence)."""
    count, tables = len(unique), len(unique_splits) - 1
    cells = ranks * tables
    keys, counts = device_array(count, np.int32), device_array(cells, np.int32)
    fill_int32.per_item(cells, counts, 0)
    owners(unique, ranks, empty_rank0, keys)
    splits = on_device(np.ascontiguousarray(unique_splits, np.int64))
    _shard.cells.per_item(count, splits, count, tables, keys, counts)
    _, sent = sort_pairs(keys, cells)
    order, ids = device_array(count, np.int32), device_array(count, np.int64)
    _shard.send.per_item(count, unique, sent, count, order, ids)
    table_counts = counts.copy_to_host().astype(np.int64).reshape(ranks, tables)
    return Split(order, ids, table_counts.sum(axis=1), table_counts)


def offsets(order: I4, unique_splits: I8, owner_table_counts: I8, widths: Sequence[int] | I8) -> I8:
    """Element offset of every distinct id's vector in a flat buffer in send order: int64[u], new."""
    table_widths = np.asarray(widths, np.int64)
    sizes = (owner_table_counts * table_widths).reshape(-1)
    counts = owner_table_counts.reshape(-1)
    out: I8 = device_array(len(order), np.int64)
    _shard.offsets.per_item(
        len(order),
        order,
        len(order),
        on_device(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
        on_device(np.cumsum(sizes) - sizes),
        on_device(table_widths),
        out,
    )
    return out


def merge(ids: I8, source_table_counts: I8) -> Merged:
    """Put received ids (by source rank, then table) in order (table, source rank, position)."""
    sources, tables = source_table_counts.shape
    splits = np.zeros((tables, sources + 1), np.int64)
    by_table = np.ascontiguousarray(source_table_counts.T)
    ends = np.cumsum(by_table.reshape(-1)).reshape(tables, sources)
    splits[:, 1:] = ends
    splits[:, 0] = ends[:, 0] - by_table[:, 0]
    received = np.concatenate([[0], np.cumsum(source_table_counts.reshape(-1))]).astype(np.int64)
    starts = np.ascontiguousarray(splits[:, :-1].T).reshape(-1)
    order, merged = device_array(len(ids), np.int32), device_array(len(ids), np.int64)
    _shard.merge.per_item(len(ids), ids, len(ids), on_device(received), on_device(starts), order, merged)
    table_splits = np.zeros(tables + 1, np.int64)
    table_splits[1:] = ends[:, -1]
    return Merged(order, merged, table_splits, splits)


def move(values: F4 | F8, from_offsets: I8, to_offsets: I8, width: int, out: F4 | F8) -> None:
    """Copy vectors from offset to offset; -1 reads as +0.0, or is not written."""
    count = len(from_offsets)
    _shard.move.launch(*row_blocks(count, width), values, from_offsets, to_offsets, count, width, out)
