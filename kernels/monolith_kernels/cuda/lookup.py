"""The index and row access on CUDA. Twin of :mod:`monolith_kernels.cpu.lookup`, whose descriptions hold.

Arrays live on the device. New rows are numbered by first occurrence, as on the CPU; slots are not the CPU's.
"""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cuda import _index
from monolith_kernels.cuda._rows import (
    add_sorted,
    assign_sorted,
    assign_sorted_by_four,
    copy_rows,
    copy_rows_by_four,
)
from monolith_kernels.cuda._vectors import by_four
from monolith_kernels.cuda.launch import device_array, on_device, row_blocks
from monolith_kernels.cuda.scan import exclusive_sum
from monolith_kernels.cuda.sort import sort_pairs

__all__ = [
    "Index",
    "assign",
    "assign_add",
    "clear",
    "erase",
    "find",
    "find_gather",
    "gather",
    "insert",
    "items",
    "make_index",
    "reserve",
]

_SMALLEST = 64


class Index:
    """Open-addressing index on the device: any int64 to a row number.

    Attributes
    ----------
    keys : int64[capacity + 1]
        The smallest int64 where the slot is free; that id itself lives in the last slot.
    rows : int32[capacity + 1]
        -1 where the slot is empty.
    size : int
        Ids in the index.
    """

    __slots__ = ("_firsts", "keys", "rows", "size")

    def __init__(self, capacity: int) -> None:
        self.size = 0
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        self.keys: I8 = device_array(capacity + 1, np.int64)
        self.rows: I4 = device_array(capacity + 1, np.int32)
        self._firsts: I4 = device_array(capacity + 1, np.int32)
        _index.fill_int32.per_item(capacity + 1, self._firsts, _index.LATE)
        self._empty()

    def _empty(self) -> None:
        _index.fill_int64.per_item(self.capacity + 1, self.keys, _index.MARK)
        _index.fill_int32.per_item(self.capacity + 1, self.rows, -1)

    @property
    def capacity(self) -> int:
        """Slots."""
        return len(self.keys) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of keys and row numbers."""
        return int(self.keys.nbytes + self.rows.nbytes)


def _capacity_for(expected: int) -> int:
    return max(_SMALLEST, 1 << (expected * 5 // 3).bit_length())


def make_index(expected: int = 0) -> Index:
    """An empty index with room for ``expected`` ids before it grows."""
    return Index(_capacity_for(expected))


def _rebuild(index: Index, capacity: int) -> None:
    keys, rows = index.keys, index.rows
    index._allocate(capacity)
    _index.move_all.per_item(len(keys), keys, rows, index.keys, index.rows)


def reserve(index: Index, expected: int, threads: int = 1) -> None:
    """Grow the index so that it holds ``expected`` ids at its normal load."""
    capacity = _capacity_for(expected)
    if capacity > index.capacity:
        _rebuild(index, capacity)


def clear(index: Index) -> None:
    """Forget every id; the capacity stays."""
    index._empty()
    index.size = 0


def find(index: Index, ids: I8, out_rows: I4, threads: int = 1) -> int:
    """Row number of every id, -1 where absent; returns how many were found."""
    hits = on_device(np.zeros(1, np.int32))
    _index.find.per_item(len(ids), index.keys, index.rows, ids, len(ids), out_rows, hits)
    return int(hits.copy_to_host()[0])


def insert(
    index: Index,
    ids: I8,
    out_rows: I4,
    new_positions: I4,
    next_row: int,
    free: I4,
    threads: int = 1,
    looked_up: bool = False,
) -> int:
    """Find every id and give absent ones a row number, in order of first occurrence; returns how many were new.

    Ids are searched again where they were ``looked_up``: a launch costs less than telling them apart.
    """
    count = len(ids)
    absent = count - find(index, ids, out_rows, threads)
    if absent == 0:
        return 0
    reserve(index, index.size + absent)
    slots, flags = device_array(count, np.int64), device_array(count, np.int32)
    _index.claim.per_item(count, index.keys, index.rows, index._firsts, ids, count, slots)
    _index.flag_first.per_item(count, index._firsts, slots, count, flags)
    before, new = exclusive_sum(flags)
    _index.number.per_item(count, index.rows, slots, flags, before, count, next_row, free, new_positions)
    _index.release.per_item(count, index.rows, index._firsts, slots, count, out_rows)
    index.size += new
    return new


def erase(index: Index, ids: I8, out_rows: I4) -> int:
    """Take ids out; returns how many were erased. The others move to fresh arrays, so that no tombstones stay."""
    count = len(ids)
    hits = on_device(np.zeros(1, np.int32))
    for stage in range(3):
        _index.take_out.per_item(count, index.keys, index.rows, index._firsts, ids, count, stage, out_rows, hits)
    erased = int(hits.copy_to_host()[0])
    if erased:
        _rebuild(index, index.capacity)
        index.size -= erased
    return erased


def items(index: Index) -> tuple[I8, I4]:
    """All ids and their row numbers, ascending by row number: (int64[size], int32[size]), new arrays."""
    keys, rows = index.keys.copy_to_host(), index.rows.copy_to_host()  # type: ignore[attr-defined]
    used = np.flatnonzero(rows >= 0)
    used = used[np.argsort(rows[used], kind="stable")]
    return on_device(keys[used]), on_device(rows[used])


def gather(
    rows: F4, row_numbers: I4, column: int, dim: int, out: F4, out_offset: int, out_stride: int, threads: int = 1
) -> None:
    """Copy ``rows[row_numbers[i], column:column + dim]`` to ``out[out_offset + i * out_stride:]``; -1 gives +0.0."""
    count, width = len(row_numbers), rows.shape[1]
    flat = rows.reshape(-1)
    arguments = (flat, width, row_numbers, count, column, dim, out, out_offset, out_stride)
    if by_four((flat, out), width, column, dim, out_offset, out_stride):
        copy_rows_by_four.launch(*row_blocks(count, dim // 4), *arguments)
    else:
        copy_rows.launch(*row_blocks(count, dim), *arguments)


def find_gather(
    index: Index,
    ids: I8,
    out_rows: I4,
    rows: F4,
    column: int,
    dim: int,
    out: F4,
    out_offset: int,
    out_stride: int,
    threads: int = 1,
) -> int:
    """:func:`find` and :func:`gather` in one pass; returns ids found."""
    hits = on_device(np.zeros(1, np.int32))
    flat, width, count = rows.reshape(-1), rows.shape[1], len(ids)
    arguments = (index.keys, index.rows, ids, count, out_rows, hits)
    place = (flat, width, column, dim, out, out_offset, out_stride)
    if by_four((flat, out), width, column, dim, out_offset, out_stride):
        _index.find_and_gather_by_four.launch(*row_blocks(count, dim // 4), *arguments, *place)
    else:
        _index.find_and_gather.launch(*row_blocks(count, dim), *arguments, *place)
    return int(hits.copy_to_host()[0])


def assign(
    rows: F4, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int, threads: int = 1
) -> None:
    """Copy ``values`` (flat) into rows; the last of several equal row numbers wins; -1 is skipped.

    ``threads`` is for the CPU twin.
    """
    count = len(row_numbers)
    keys, positions = sort_pairs(row_numbers, rows.shape[0])
    flat, width = rows.reshape(-1), rows.shape[1]
    arguments = (flat, width, keys, positions, count, column, dim, values, offset, stride)
    if by_four((flat, values), width, column, dim, offset, stride):
        assign_sorted_by_four.launch(*row_blocks(count, dim // 4), *arguments)
    else:
        assign_sorted.launch(*row_blocks(count, dim), *arguments)


def assign_add(rows: F4, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int) -> None:
    """Add ``values`` to rows in position order, one rounding per addition; row numbers of -1 are skipped."""
    count = len(row_numbers)
    keys, positions = sort_pairs(row_numbers, rows.shape[0])
    add_sorted.launch(
        *row_blocks(count, dim),
        rows.reshape(-1),
        rows.shape[1],
        keys,
        positions,
        count,
        column,
        dim,
        values,
        offset,
        stride,
    )
