"""The index of a table, and reading and writing rows by number. Rule: tables 1, kernels of the lookup and assign paths.

An index maps any int64 to a row number by open addressing: ``keys`` int64 and ``rows`` int32 of one power-of-two
capacity, where row -1 marks an empty slot. A slot is the top bits of SplitMix64 of the id; probing is linear and wraps
inside one of (up to) 64 regions, so that threads can write disjoint regions and the bytes come out the same for any
number of threads. New ids are numbered by first occurrence in the batch.

``rows`` matrices are float32 ``[capacity, row_width]``, C-contiguous. Row numbers are int32; -1 is an absent row, which
reads as +0.0.
"""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cpu import _index
from monolith_kernels.cpu._rows import assign_add_rows, assign_rows, gather_rows
from monolith_kernels.memory import Buffer, aligned_empty
from monolith_kernels.threads import run_shares

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

_GRAIN = 8192
_SMALLEST = 64


class Index:
    """Open-addressing index: any int64 to a row number.

    Made by :func:`make_index`; changed by :func:`insert`, :func:`erase`, :func:`clear` and :func:`reserve` only.

    Attributes
    ----------
    keys : int64[capacity]
    rows : int32[capacity]
        -1 where the slot is empty.
    counts : int32[regions]
        Ids in every region.
    size : int
        Ids in the index.
    """

    __slots__ = ("_absent", "_slots", "counts", "keys", "rows", "size")

    def __init__(self, capacity: int) -> None:
        self._absent = Buffer(np.int32)
        self._slots = Buffer(np.int64)
        self.size = 0
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        self.keys: I8 = aligned_empty(capacity, np.int64)
        self.rows: I4 = aligned_empty(capacity, np.int32)
        self.rows.fill(-1)
        self.counts: I4 = np.zeros(_index.regions_of(capacity), np.int32)

    @property
    def capacity(self) -> int:
        """Slots."""
        return len(self.keys)


def _capacity_for(expected: int) -> int:
    """Smallest power of two that holds ``expected`` ids at a load of at most 0.6."""
    return max(_SMALLEST, 1 << (expected * 5 // 3).bit_length())


def make_index(expected: int = 0) -> Index:
    """An empty index with room for ``expected`` ids before it grows."""
    return Index(_capacity_for(expected))


def _rebuild(index: Index, capacity: int) -> None:
    """Move every numbered id into fresh arrays, of ``capacity`` slots or more if a region would be full."""
    keys, rows = index.keys, index.rows
    while True:
        index._allocate(capacity)
        if _index.move_all(keys, rows, index.keys, index.rows, index.counts):
            return
        capacity *= 2


def reserve(index: Index, expected: int, threads: int = 1) -> None:
    """Grow the index so that it holds ``expected`` ids at its normal load."""
    capacity = _capacity_for(expected)
    if capacity > index.capacity:
        _rebuild(index, capacity)


def clear(index: Index) -> None:
    """Forget every id; the capacity stays."""
    index.rows.fill(-1)
    index.counts.fill(0)
    index.size = 0


def find(index: Index, ids: I8, out_rows: I4, threads: int = 1) -> int:
    """Row number of every id, -1 where absent.

    Parameters: ``ids`` int64[n], repeats allowed; ``out_rows`` int32[n], written. Returns how many were found.
    """
    keys, rows = index.keys, index.rows
    if threads <= 1 or len(ids) < 2 * _GRAIN:
        return int(_index.find(keys, rows, ids, out_rows, 0, len(ids)))
    found: list[int] = []
    run_shares(lambda lo, hi: found.append(_index.find(keys, rows, ids, out_rows, lo, hi)), len(ids), threads, _GRAIN)
    return sum(found)


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
    """Find every id and give absent ones a row number, in order of first occurrence.

    The j-th new id gets ``free[j]`` while the free list lasts and ``next_row + j - len(free)`` after it. The index
    grows where it must. Numbers and table bytes do not depend on ``threads``.

    Parameters
    ----------
    ids : int64[n]
        Repeats allowed.
    out_rows : int32[n]
        Written: the row of every id.
    new_positions : int32[n]
        Written in its first ``new`` entries: the position in ``ids`` where each new id occurred first, ascending.
    next_row : int
        First row number never used before.
    free : int32[f]
        Row numbers to use first, in this order (callers keep it ascending: lowest first).
    looked_up : bool
        ``out_rows`` holds what :func:`find` gave for these ids; ids may have come since, but none may have gone.

    Returns
    -------
    int
        How many ids were new.
    """
    if not looked_up and find(index, ids, out_rows, threads) == len(ids):
        return 0
    absent = index._absent.take(len(ids))
    count = _index.list_absent(out_rows, absent)
    if count == 0:
        return 0
    absent = absent[:count]
    slots = index._slots.take(count)
    reserve(index, index.size + count)
    while not _place(index, ids, absent, slots, out_rows, threads):
        _rebuild(index, index.capacity * 2)
    new = _index.number(absent, slots, out_rows, new_positions, next_row, free)
    run_shares(
        lambda lo, hi: _index.write_rows(index.rows, slots, out_rows, new_positions, lo, hi), new, threads, _GRAIN
    )
    index.size += new
    return int(new)


def _place(index: Index, ids: I8, absent: I4, slots: I8, out_rows: I4, threads: int) -> bool:
    """Claim a slot for every absent id, regions shared out between threads; False where a region is full."""
    regions = len(index.counts)
    grain = regions if len(absent) < 2 * _GRAIN else 1
    outcomes: list[bool] = []

    def share(lo: int, hi: int) -> None:
        mine = absent if (lo, hi) == (0, regions) else np.empty(len(absent), np.int32)
        placed = _index.place(index.keys, index.rows, index.counts, ids, absent, slots, out_rows, lo, hi, mine)
        outcomes.append(placed)

    run_shares(share, regions, threads, grain)
    return all(outcomes)


def erase(index: Index, ids: I8, out_rows: I4) -> int:
    """Take ids out (by backward shift: no tombstones stay).

    ``out_rows`` int32[n] is written: the row each id had, -1 where it was absent or already erased by this call.
    Returns how many were erased.
    """
    erased = int(_index.erase(index.keys, index.rows, index.counts, ids, out_rows))
    index.size -= erased
    return erased


def items(index: Index) -> tuple[I8, I4]:
    """All ids and their row numbers, ascending by row number: (int64[size], int32[size]), new arrays."""
    used = np.flatnonzero(index.rows >= 0)
    rows = index.rows[used]
    # Row numbers are distinct: one pass puts them in order.
    slots = np.full(int(rows.max(initial=-1)) + 1, -1, np.int64)
    slots[rows] = used
    slots = slots[slots >= 0]
    return index.keys[slots], index.rows[slots]


def gather(
    rows: F4, row_numbers: I4, column: int, dim: int, out: F4, out_offset: int, out_stride: int, threads: int = 1
) -> None:
    """Copy ``rows[row_numbers[i], column:column + dim]`` to ``out[out_offset + i * out_stride:]``, bits preserved.

    A row number of -1 gives +0.0. ``out`` is flat float32 and may not overlap ``rows``; elements between ``dim`` and
    ``out_stride`` are left alone.
    """
    flat, width = rows.reshape(-1), rows.shape[1]
    run_shares(
        lambda lo, hi: gather_rows(flat, width, row_numbers, column, dim, out, out_offset, out_stride, lo, hi),
        len(row_numbers),
        threads,
        _GRAIN,
    )


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
    """:func:`find` and :func:`gather` in one call; returns ids found.

    A share is probed whole before its rows are copied: id by id (or block by block) is slower, because a mispredicted
    probe throws away the copies under way.
    """
    flat, width, keys, slots = rows.reshape(-1), rows.shape[1], index.keys, index.rows
    found: list[int] = []

    def share(lo: int, hi: int) -> None:
        found.append(_index.find(keys, slots, ids, out_rows, lo, hi))
        gather_rows(flat, width, out_rows, column, dim, out, out_offset, out_stride, lo, hi)

    run_shares(share, len(ids), threads, _GRAIN)
    return sum(found)


def assign(rows: F4, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int) -> None:
    """Copy ``values[offset + i * stride:][:dim]`` (flat) into ``rows[row_numbers[i], column:column + dim]``.

    In position order, so the last of several equal row numbers wins; -1 is skipped. Bits are preserved.
    """
    assign_rows(rows.reshape(-1), rows.shape[1], row_numbers, column, dim, values, offset, stride)


def assign_add(rows: F4, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int) -> None:
    """Add ``values`` to rows in position order, one rounding per addition; row numbers of -1 are skipped."""
    assign_add_rows(rows.reshape(-1), rows.shape[1], row_numbers, column, dim, values, offset, stride)
