"""Compiled loops of :mod:`monolith_kernels.cpu.dedup`."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.arrays import I4, I8
from monolith_kernels.cpu._index import shift_of
from monolith_kernels.fetch import prefetch_near, prefetch_read
from monolith_kernels.hashing import splitmix64
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = [
    "REGIONS",
    "close_gap",
    "firsts_of_regions",
    "group_occurrences",
    "number_firsts",
    "table_size",
    "unique_of_one",
    "unique_of_tables",
]

REGIONS = 64
"""Regions of the scratch table that threads share out (by the top bits of the hash)."""
_AHEAD = 16


def table_size(count: int) -> int:
    """Slots of the scratch table for ``count`` ids: a power of two, two to four times as many, 4,096 or more."""
    return max(4096, 1 << (2 * count).bit_length())


@kernel
def unique_of_one(values: I8, table: I4, unique: I8, inverse: I4, counts: I4, found: int) -> int:
    """One table: number its distinct ids from ``found`` on; returns the next number."""
    size = 4096
    while size <= 2 * len(values):
        size *= 2
    mask = size - 1
    shift = shift_of(size)
    for s in range(size):
        put(table, s, np.int32(-1))
    coming = np.empty(_AHEAD, np.int64)  # slots of the ids that are next, each hashed once
    for i in range(min(_AHEAD, len(values))):
        put(coming, i, np.int64(splitmix64(at(values, i)) >> shift))
    last = len(values) - 1
    for i in range(len(values)):
        slot = at(coming, i & (_AHEAD - 1))
        ahead = np.int64(splitmix64(at(values, min(i + _AHEAD, last))) >> shift)
        prefetch_near(table, ahead)
        put(coming, i & (_AHEAD - 1), ahead)
        value = at(values, i)
        number: Any = at(table, slot)
        while number >= 0 and at(unique, np.int64(number)) != value:
            slot = (slot + 1) & mask
            number = at(table, slot)
        if number < 0:
            number = np.int32(found)
            put(table, slot, number)
            put(unique, found, value)
            put(counts, found, np.int32(1))
            found += 1
        else:
            put(counts, np.int64(number), np.int32(at(counts, np.int64(number)) + 1))
        put(inverse, i, number)
    return found


@kernel
def unique_of_tables(values: I8, table_splits: I8, table: I4, unique: I8, inverse: I4, counts: I4, splits: I8) -> None:
    """All tables, one after the other; ``splits[k + 1]`` becomes the number of distinct ids of tables 0..k."""
    for k in range(len(table_splits) - 1):
        lo = table_splits[k]
        hi = table_splits[k + 1]
        splits[k + 1] = unique_of_one(values[lo:hi], table, unique, inverse[lo:hi], counts, splits[k])


@kernel
def close_gap(unique: I8, counts: I4, inverse: I4, lo: int, hi: int, gap: int, first: int, last: int) -> None:
    """Move the distinct ids lo..hi to the front by ``gap``, and with them the numbers of occurrences first..last."""
    for u in range(lo, hi):
        put(unique, u - gap, at(unique, u))
        put(counts, u - gap, at(counts, u))
    for i in range(first, last):
        put(inverse, i, np.int32(at(inverse, i) - gap))


@kernel
def firsts_of_regions(values: I8, table: I4, firsts: I4, lo: int, hi: int, mine: I4) -> bool:
    """``firsts[i]`` = position of the first occurrence of values[i], for ids whose region is in [lo, hi).

    ``mine`` int32[n] is scratch. False where a region overflows (ids chosen to collide): the result is then unusable.
    """
    size = len(table)
    shift = shift_of(size)
    region_size = size // REGIONS
    wrap = region_size - 1
    for s in range(lo * region_size, hi * region_size):
        table[s] = -1
    count: Any = 0
    for i in range(len(values)):
        region = np.int64(splitmix64(values[i]) >> shift) // region_size
        mine[count] = i
        count += (region >= lo) & (region < hi)
    for c in range(count):
        if c + _AHEAD < count:
            prefetch_read(table, np.int64(splitmix64(values[mine[c + _AHEAD]]) >> shift))
        i = mine[c]
        value = values[i]
        slot = np.int64(splitmix64(value) >> shift)
        steps = 0
        first = table[slot]
        while first >= 0 and values[first] != value:
            slot = (slot & ~wrap) | ((slot + 1) & wrap)
            first = table[slot]
            steps += 1
            if steps > wrap:
                return False
        if first < 0:
            first = i
            table[slot] = i
        firsts[i] = first
    return True


@kernel
def number_firsts(values: I8, firsts: I4, unique: I8, inverse: I4, counts: I4, found: int) -> int:
    """Number ids in order of first occurrence, from ``found`` on; returns the next number."""
    for i in range(len(values)):
        first = firsts[i]
        if first == i:
            unique[found] = values[i]
            counts[found] = 1
            inverse[i] = found
            found += 1
        else:
            number = inverse[first]
            inverse[i] = number
            counts[number] += 1
    return found


@kernel
def group_occurrences(inverse: I4, counts: I4, splits: I8, occurrences: I4) -> None:
    """Counting sort: occurrence numbers by slot, ascending within a slot."""
    for u in range(len(counts)):
        splits[u + 1] = splits[u] + counts[u]
    for i in range(len(inverse)):
        slot = inverse[i]
        occurrences[splits[slot]] = i
        splits[slot] += 1
    for u in range(len(counts), 0, -1):
        splits[u] = splits[u - 1]
    splits[0] = 0
