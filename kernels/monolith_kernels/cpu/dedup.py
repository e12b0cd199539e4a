"""Distinct ids of a batch, in order of first occurrence. Rules: features 4, sync_training 2.2 step 1."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from monolith_kernels.arrays import I4, I8, Groups, Unique
from monolith_kernels.cpu import _dedup
from monolith_kernels.memory import Buffer
from monolith_kernels.threads import run_shares, share_bounds

__all__ = ["Scratch", "group", "unique_tables"]

_THREADED_FROM = 200_000
"""Ids of one table below which one thread is faster than two."""
_GRAIN = 8192
"""Ids of all tables below which a share of tables is not worth a thread."""


class Scratch:
    """Memory of :func:`unique_tables`, kept between batches; results are views into it until the next call with it."""

    def __init__(self) -> None:
        self.unique = Buffer(np.int64)
        self.inverse = Buffer(np.int32)
        self.counts = Buffer(np.int32)
        self.table = Buffer(np.int32)
        self.firsts = Buffer(np.int32)


def unique_tables(values: I8, table_splits: I8, scratch: Scratch | None = None, threads: int = 1) -> Unique:
    """Distinct ids per table, never across tables, in order of first occurrence.

    Parameters
    ----------
    values : int64[n]
        Ids of all tables, table after table; any int64 is legal.
    table_splits : int64[K + 1]
        Where each table begins (host array); empty tables are allowed, K = 1 is a plain unique.
    scratch
        Reused memory. The result is then valid until the next call with the same scratch; without it arrays are new.
    threads
        Used for tables of many ids; never changes the result.
    """
    memory = scratch or Scratch()
    count, tables = len(values), len(table_splits) - 1
    unique, inverse = memory.unique.take(count), memory.inverse.take(count)
    counts = memory.counts.take(count)
    splits = np.zeros(tables + 1, np.int64)
    largest = int(np.diff(table_splits).max(initial=0))
    table = memory.table.take(_dedup.table_size(largest))
    if threads > 1 and tables > 1 and largest < _THREADED_FROM and count >= 2 * _GRAIN:
        _by_table(values, table_splits, memory, unique, inverse, counts, splits, threads)
    elif threads <= 1 or largest < _THREADED_FROM:
        _dedup.unique_of_tables(values, table_splits, table, unique, inverse, counts, splits)
    else:
        for k in range(tables):
            lo, hi, before = int(table_splits[k]), int(table_splits[k + 1]), int(splits[k])
            part, firsts = values[lo:hi], memory.firsts.take(hi - lo)
            if _first_positions(part, firsts, table, threads):
                splits[k + 1] = _dedup.number_firsts(part, firsts, unique, inverse[lo:hi], counts, before)
            else:
                splits[k + 1] = _dedup.unique_of_one(part, table, unique, inverse[lo:hi], counts, before)
    found = int(splits[tables])
    return Unique(unique[:found], inverse, splits, counts[:found])


def _by_table(
    values: I8, table_splits: I8, memory: Scratch, unique: I8, inverse: I4, counts: I4, splits: I8, threads: int
) -> None:
    """Tables shared out between threads, by the place of their first id.

    A share numbers its ids as if all before it were distinct, in its own part of the results; the gaps that this leaves
    are closed afterwards, share after share.
    """
    starts = table_splits[:-1]
    bounds = [int(np.searchsorted(starts, cut)) for cut in share_bounds(len(values), threads, _GRAIN)]
    bounds[-1] = len(starts)
    sizes = [_dedup.table_size(int(np.diff(table_splits[lo : hi + 1]).max(initial=0))) for lo, hi in pairwise(bounds)]
    room = memory.table.take(sum(sizes))
    ends = [splits[lo : hi + 1].copy() for lo, hi in pairwise(bounds)]

    def number(share: int) -> None:
        lo, hi = bounds[share], bounds[share + 1]
        begin = sum(sizes[:share])
        ends[share][0] = table_splits[lo]
        _dedup.unique_of_tables(
            values, table_splits[lo : hi + 1], room[begin : begin + sizes[share]], unique, inverse, counts, ends[share]
        )

    def numbers(first: int, last: int) -> None:
        for share in range(first, last):
            number(share)

    run_shares(numbers, len(ends), threads, 1)
    for share, (lo, hi) in enumerate(pairwise(bounds)):
        gap = int(ends[share][0] - splits[lo])
        splits[lo + 1 : hi + 1] = ends[share][1:] - gap
        if gap:
            first, last = int(table_splits[lo]), int(table_splits[hi])
            _dedup.close_gap(unique, counts, inverse, int(ends[share][0]), int(ends[share][-1]), gap, first, last)


def _first_positions(values: I8, firsts: I4, table: I4, threads: int) -> bool:
    """Position of the first occurrence of every id, regions of the scratch table shared out between threads.

    False where a region of the scratch table overflowed.
    """
    part = table[: _dedup.table_size(len(values))]
    whole: list[bool] = []

    def share(lo: int, hi: int) -> None:
        mine = np.empty(len(values), np.int32)
        whole.append(_dedup.firsts_of_regions(values, part, firsts, lo, hi, mine))

    run_shares(share, _dedup.REGIONS, threads, 1)
    return all(whole)


def group(inverse: I4, counts: I4) -> Groups:
    """Occurrences of every distinct id, ascending: a counting sort of ``inverse`` (numbers below ``len(counts)``).

    ``counts`` int32[u] must be the occurrences of every number. Returns new arrays.
    """
    splits = np.zeros(len(counts) + 1, np.int64)
    occurrences = np.empty(len(inverse), np.int32)
    _dedup.group_occurrences(inverse, counts, splits, occurrences)
    return Groups(splits, occurrences)
