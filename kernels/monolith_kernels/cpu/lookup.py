"""The index of a table, and reading and writing rows by number. Rule: tables 1, kernels of the lookup and assign paths.

An index maps any int64 to a row number by open addressing in buckets of one cache line: five keys and five row numbers,
used from the front, where row -1 marks an empty slot. So a lookup waits for one line of memory. A bucket is the top
bits of SplitMix64 of the id; from a full one an id goes on to its neighbour (the other line of an aligned pair), then
pair by pair, wrapping inside one of (up to) 64 regions, so that threads can write disjoint regions and the bytes come
out the same for any number of threads. New ids are numbered by first occurrence in the batch.

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
_SMALLEST = 16
"""Buckets."""


class Index:
    """Open-addressing index: any int64 to a row number.

    Made by :func:`make_index`; changed by :func:`insert`, :func:`erase`, :func:`clear` and :func:`reserve` only.

    Attributes
    ----------
    keys : int64[buckets, 5]
        A view.
    rows : int32[buckets, 5]
        A view; -1 where the slot is empty.
    key_words, row_words : int64[8 * buckets], int32[16 * buckets]
        The whole memory, seen as either.
    counts : int32[regions]
        Ids in every region.
    size : int
        Ids in the index.
    """

    __slots__ = ("_absent", "_slots", "counts", "key_words", "row_words", "size")

    def __init__(self, buckets: int) -> None:
        self._absent = Buffer(np.int32)
        self._slots = Buffer(np.int64)
        self.size = 0
        self._allocate(buckets)

    def _allocate(self, buckets: int) -> None:
        self.key_words: I8 = aligned_empty(buckets * _index.WORDS, np.int64)
        self.row_words: I4 = self.key_words.view(np.int32)
        self.key_words.fill(-1)
        self.counts: I4 = np.zeros(_index.regions_of(buckets), np.int32)

    @property
    def keys(self) -> I8:
        """Keys by bucket."""
        return self.key_words.reshape(-1, _index.WORDS)[:, : _index.SLOTS]

    @property
    def rows(self) -> I4:
        """Row numbers by bucket."""
        return self.row_words.reshape(-1, 2 * _index.WORDS)[:, _index.FIRST_ROW :][:, : _index.SLOTS]

    @property
    def buckets(self) -> int:
        """Cache lines."""
        return len(self.key_words) // _index.WORDS

    @property
    def capacity(self) -> int:
        """Slots."""
        return self.buckets * _index.SLOTS

    @property
    def nbytes(self) -> int:
        """Bytes of the buckets."""
        return int(self.key_words.nbytes)


def _buckets_for(expected: int) -> int:
    """Smallest power of two that holds ``expected`` ids at a load of at most 0.7."""
    wanted = -(-expected * 10 // (7 * _index.SLOTS))
    return max(_SMALLEST, 1 << (wanted - 1).bit_length() if wanted > 0 else 0)


def make_index(expected: int = 0) -> Index:
    """An empty index with room for ``expected`` ids before it grows."""
    return Index(_buckets_for(expected))


def _rebuild(index: Index, buckets: int) -> None:
    """Move every numbered id into fresh memory, of ``buckets`` or more if a region would be full."""
    keys, rows = index.key_words, index.row_words
    while True:
        index._allocate(buckets)
        if _index.move_all(keys, rows, index.key_words, index.row_words, index.counts):
            return
        buckets *= 2


def reserve(index: Index, expected: int, threads: int = 1) -> None:
    """Grow the index so that it holds ``expected`` ids at its normal load."""
    buckets = _buckets_for(expected)
    if buckets > index.buckets:
        _rebuild(index, buckets)


def clear(index: Index) -> None:
    """Forget every id; the capacity stays."""
    index.key_words.fill(-1)
    index.counts.fill(0)
    index.size = 0


def find(index: Index, ids: I8, out_rows: I4, threads: int = 1) -> int:
    """Row number of every id, -1 where absent.

    Parameters: ``ids`` int64[n], repeats allowed; ``out_rows`` int32[n], written. Returns how many were found.
    """
    keys, rows = index.key_words, index.row_words
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
        _rebuild(index, index.buckets * 2)
    new = _index.number(absent, slots, out_rows, new_positions, next_row, free)
    run_shares(
        lambda lo, hi: _index.write_rows(index.row_words, slots, out_rows, new_positions, lo, hi), new, threads, _GRAIN
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
        placed = _index.place(
            index.key_words, index.row_words, index.counts, ids, absent, slots, out_rows, lo, hi, mine
        )
        outcomes.append(placed)

    run_shares(share, regions, threads, grain)
    return all(outcomes)


def erase(index: Index, ids: I8, out_rows: I4) -> int:
    """Take ids out (by backward shift: no tombstones stay).

    ``out_rows`` int32[n] is written: the row each id had, -1 where it was absent or already erased by this call.
    Returns how many were erased.
    """
    erased = int(_index.erase(index.key_words, index.row_words, index.counts, ids, out_rows))
    index.size -= erased
    return erased


def items(index: Index) -> tuple[I8, I4]:
    """All ids and their row numbers, ascending by row number: (int64[size], int32[size]), new arrays."""
    # Row numbers are distinct: one pass puts ids in order.
    count = int(_index.greatest_row(index.row_words)) + 1
    ids, present = np.empty(count, np.int64), np.zeros(count, np.uint8)
    _index.list_by_row(index.key_words, index.row_words, ids, present)
    if index.size == count:
        return ids, np.arange(count, dtype=np.int32)
    rows = np.flatnonzero(present).astype(np.int32)
    return ids[rows], rows


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
    flat, width, keys, slots = rows.reshape(-1), rows.shape[1], index.key_words, index.row_words
    found: list[int] = []

    def share(lo: int, hi: int) -> None:
        found.append(_index.find(keys, slots, ids, out_rows, lo, hi))
        gather_rows(flat, width, out_rows, column, dim, out, out_offset, out_stride, lo, hi)

    run_shares(share, len(ids), threads, _GRAIN)
    return sum(found)


def assign(
    rows: F4, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int, threads: int = 1
) -> None:
    """Copy ``values[offset + i * stride:][:dim]`` (flat) into ``rows[row_numbers[i], column:column + dim]``.

    In position order, so the last of several equal row numbers wins; -1 is skipped. Bits are preserved. More than one
    thread only for row numbers that are distinct, or where all rows get the same (``stride`` 0).
    """
    flat, width = rows.reshape(-1), rows.shape[1]
    run_shares(
        lambda lo, hi: assign_rows(flat, width, row_numbers, column, dim, values, offset, stride, lo, hi),
        len(row_numbers),
        threads,
        _GRAIN,
    )


def assign_add(rows: F4, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int) -> None:
    """Add ``values`` to rows in position order, one rounding per addition; row numbers of -1 are skipped."""
    assign_add_rows(rows.reshape(-1), rows.shape[1], row_numbers, column, dim, values, offset, stride)
