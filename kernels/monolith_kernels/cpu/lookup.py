"""The index of a table, and reading and writing rows by number. Rule: tables 1, kernels of the lookup and assign paths.

An index maps any int64 to a row number by open addressing: ``keys`` int64 and ``rows`` int32 of one power-of-two
capacity, where row -1 marks an empty slot. A slot is the top bits of SplitMix64 of the id; probing is linear and wraps
inside one of (up to) 64 regions, so that threads can write disjoint regions and the bytes come out the same for any
number of threads. New ids are numbered by first occurrence in the batch.

``rows`` matrices are float32 ``[capacity, row_width]``; row numbers are int32, -1 for an absent row, which reads as +0.0.
"""

from __future__ import annotations

from monolith_kernels.arrays import F4, I4, I8

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


class Index:
    """Open-addressing index: any int64 to a row number; made by :func:`make_index`, changed by :func:`insert` and :func:`erase`.

    Attributes: ``keys`` int64[capacity], ``rows`` int32[capacity] (-1 = empty), ``size`` (ids in it).
    """

    __slots__ = ("keys", "rows", "size")

    def __init__(self, keys: I8, rows: I4) -> None:
        self.keys = keys
        self.rows = rows
        self.size = 0


def make_index(expected: int = 0) -> Index:
    """An empty index with room for ``expected`` ids before it grows."""
    raise NotImplementedError


def reserve(index: Index, expected: int, threads: int = 1) -> None:
    """Grow the index so that it holds ``expected`` ids at its normal load."""
    raise NotImplementedError


def clear(index: Index) -> None:
    """Forget every id; the capacity stays."""
    raise NotImplementedError


def find(index: Index, ids: I8, out_rows: I4, threads: int = 1) -> int:
    """Row number of every id, -1 where absent.

    Parameters: ``ids`` int64[n], repeats allowed; ``out_rows`` int32[n], written. Returns how many were found.
    """
    raise NotImplementedError


def insert(index: Index, ids: I8, out_rows: I4, new_positions: I4, next_row: int, free: I4, threads: int = 1) -> int:
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

    Returns
    -------
    int
        How many ids were new.
    """
    raise NotImplementedError


def erase(index: Index, ids: I8, out_rows: I4) -> int:
    """Take ids out (by backward shift: no tombstones stay).

    ``out_rows`` int32[n] is written: the row each id had, -1 where it was absent or already erased by this call.
    Returns how many were erased.
    """
    raise NotImplementedError


def items(index: Index) -> tuple[I8, I4]:
    """All ids and their row numbers, ascending by row number: (int64[size], int32[size]), new arrays."""
    raise NotImplementedError


def gather(
    rows: F4, row_numbers: I4, column: int, dim: int, out: F4, out_offset: int, out_stride: int, threads: int = 1
) -> None:
    """Copy ``rows[row_numbers[i], column:column + dim]`` to ``out[out_offset + i * out_stride :]`` (flat), bits preserved.

    A row number of -1 gives +0.0. ``out`` is flat float32 and may not overlap ``rows``; elements between ``dim`` and
    ``out_stride`` are left alone.
    """
    raise NotImplementedError


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
    """:func:`find` and :func:`gather` in one pass: the row is fetched while later ids are probed. Returns ids found."""
    raise NotImplementedError


def assign(rows: F4, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int) -> None:
    """Copy ``values[offset + i * stride :][:dim]`` (flat) into ``rows[row_numbers[i], column:column + dim]`` in position order.

    The last of several equal row numbers wins; -1 is skipped.
    """
    raise NotImplementedError


def assign_add(rows: F4, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int) -> None:
    """Add ``values`` to rows in position order, one rounding per addition; row numbers of -1 are skipped."""
    raise NotImplementedError
