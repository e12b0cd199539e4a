"""Compiled loops of the index; :mod:`monolith_kernels.cpu.lookup` holds the arrays and says what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.arrays import I4, I8
from monolith_kernels.cpu._line import SLOTS, slot_in_line
from monolith_kernels.fetch import prefetch_read
from monolith_kernels.hashing import splitmix64
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put, shared

__all__ = [
    "FIRST_ROW",
    "SLOTS",
    "WORDS",
    "erase",
    "find",
    "greatest_row",
    "list_absent",
    "list_by_row",
    "move_all",
    "number",
    "place",
    "regions_of",
    "write_rows",
]

_AHEAD = 32
_BLOCK = 256
_REGIONS = 64
_SMALLEST_REGION = 256
"""Buckets."""
_CLAIMED = -2
"""A slot claimed in this batch by the id at position p holds ``_CLAIMED - p`` until numbers are given."""
WORDS = 8
"""int64 words of a bucket: one cache line, five keys and five row numbers."""
FIRST_ROW = 10
"""Where a bucket's row numbers begin, in int32. The word behind the last one is -1 always: the row of no slot."""


def regions_of(buckets: int) -> int:
    """How many regions an index of that many buckets has: 64, fewer where they would be smaller than 256 buckets."""
    return max(1, min(_REGIONS, buckets // _SMALLEST_REGION))


@kernel
def shift_of(capacity: int) -> np.uint64:
    """The shift that leaves the top bits of a 64-bit hash as a number below ``capacity``, a power of two above 1."""
    shift = np.uint64(64)
    while capacity > 1:
        capacity >>= 1
        shift -= np.uint64(1)
    return shift


@shared
def bucket_after(bucket: Any, home: Any, wrap: Any) -> Any:
    """Where an id goes on from a full bucket: from its own to the neighbour, from there to the next pair of its region.

    Memory gives a pair of lines as one: going on to the neighbour, as two ids in a hundred do, waits for nothing.
    """
    there = bucket ^ 1
    return there if (bucket ^ home) & 1 == 0 else (there & ~wrap) | ((there + 2) & wrap)


@kernel
def find(keys: I8, rows: I4, ids: I8, out: I4, lo: int, hi: int) -> int:
    """Rows of ids[lo:hi], -1 where absent; returns how many were found.

    Ids are hashed a block at a time, which compiles to vectors. A bucket is compared whole, without a jump: where an id
    lies in it cannot be foreseen.
    """
    buckets = len(keys) // WORDS
    shift = shift_of(buckets)
    wrap = buckets // max(1, min(_REGIONS, buckets // _SMALLEST_REGION)) - 1
    starts = np.empty(_BLOCK + _AHEAD, np.int64)  # first words of the buckets of a block's ids, and of the next ids
    found = 0
    for begin in range(lo, hi, _BLOCK):
        count = min(_BLOCK, hi - begin)
        known = min(count + _AHEAD, hi - begin)
        for i in range(known):
            put(starts, i, np.int64(splitmix64(at(ids, begin + i)) >> shift) * WORDS)
        if begin == lo:
            for i in range(min(_AHEAD, known)):
                prefetch_read(keys, at(starts, i))
                prefetch_read(keys, at(starts, i) ^ WORDS)
        for i in range(count):
            ahead = at(starts, min(i + _AHEAD, known - 1))
            prefetch_read(keys, ahead)
            prefetch_read(keys, ahead ^ WORDS)
            start = at(starts, i)
            key = at(ids, begin + i)
            row = at(rows, 2 * start + FIRST_ROW + slot_in_line(keys, start, key))
            # One test for both, absent and bucket full: each alone cannot be foreseen.
            while (row & ~at(rows, 2 * start + FIRST_ROW + SLOTS - 1)) < 0:
                home = np.int64(splitmix64(key) >> shift)
                start = bucket_after(start // WORDS, home, wrap) * WORDS
                row = at(rows, 2 * start + FIRST_ROW + slot_in_line(keys, start, key))
            put(out, begin + i, row)
            found += row >= 0
    return found


@kernel
def list_absent(found: I4, absent: I4) -> int:
    """Positions whose row is -1, ascending, into ``absent``; returns how many."""
    count = 0
    for i in range(len(found)):
        absent[count] = i
        count += found[i] < 0
    return count


@kernel
def place(keys: I8, rows: I4, counts: I4, ids: I8, absent: I4, slots: I8, out: I4, lo: int, hi: int, mine: I4) -> bool:
    """Claim slots for the absent ids of regions lo..hi, in batch order.

    ``out[p]`` of an absent position becomes ``_CLAIMED`` minus the position where its id occurred first, and
    ``slots[k]`` the slot (its place in ``rows``) of the k-th absent position where that is a first one. ``mine`` is
    scratch, or ``absent`` itself where all regions are asked for. False where a region has no room (claims stay and
    must be dropped).
    """
    buckets = len(keys) // WORDS
    shift = shift_of(buckets)
    regions = len(counts)
    wrap = buckets // regions - 1
    within = np.uint64(64) - shift_of(wrap + 1)  # bits of a bucket's number within its region
    room = (wrap + 1) * SLOTS - 1
    count: Any = len(absent)
    some = hi - lo < regions
    if some:
        count = 0
        for a in range(len(absent)):
            region = np.int64(splitmix64(at(ids, np.int64(at(absent, a)))) >> (shift + within))
            put(mine, count, a)
            count += (region >= lo) & (region < hi)
    for c in range(count):
        later = min(c + _AHEAD, count - 1)
        later = np.int64(at(mine, later)) if some else later
        prefetch_read(keys, np.int64(splitmix64(at(ids, np.int64(at(absent, later)))) >> shift) * WORDS)
        k: Any = np.int64(at(mine, c)) if some else np.int64(c)
        position = np.int64(at(absent, k))
        key = at(ids, position)
        home = np.int64(splitmix64(key) >> shift)
        bucket = home
        while True:
            first = bucket * 2 * WORDS + FIRST_ROW
            there: Any = at(rows, first + slot_in_line(keys, bucket * WORDS, key))
            taken = fill_of(rows, bucket)
            # One test for both: whether a bucket is full cannot be foreseen.
            if (there != -1) | (taken < SLOTS):
                break
            bucket = bucket_after(bucket, home, wrap)
        if there == -1:
            region = bucket >> np.int64(within)
            if at(counts, region) == room:
                return False
            put(counts, region, at(counts, region) + 1)
            there = np.int32(_CLAIMED - position)
            put(keys, bucket * WORDS + taken, key)
            put(rows, first + taken, there)
            put(slots, k, first + taken)
        put(out, position, there)
    return True


@kernel
def number(absent: I4, slots: I8, out: I4, new_positions: I4, next_row: int, free: I4) -> int:
    """Turn claims into row numbers, in batch order; ``slots`` keeps those of first occurrences. Returns how many."""
    new = 0
    for k in range(len(absent)):
        position = np.int64(at(absent, k))
        row = at(out, position)
        if row >= 0:
            continue
        first = np.int64(_CLAIMED - row)
        if first == position:
            put(out, position, at(free, new) if new < len(free) else np.int32(next_row + new - len(free)))
            put(new_positions, new, np.int32(position))
            put(slots, new, at(slots, k))
            new += 1
        else:
            put(out, position, at(out, first))
    return new


@kernel
def write_rows(rows: I4, slots: I8, out: I4, new_positions: I4, lo: int, hi: int) -> None:
    """Write the numbers of new ids lo..hi into their slots."""
    for j in range(lo, hi):
        prefetch_read(rows, at(slots, min(j + _AHEAD, hi - 1)))
        put(rows, at(slots, j), at(out, np.int64(at(new_positions, j))))


@kernel
def move_all(keys: I8, rows: I4, new_keys: I8, new_rows: I4, counts: I4) -> bool:
    """Insert every numbered id into an empty index, bucket by bucket; claims are dropped. False where a region is full.

    Where the new index is larger, an old bucket's ids go to neighbouring buckets: memory is walked, not jumped about.
    """
    buckets = len(new_keys) // WORDS
    shift = shift_of(buckets)
    size = buckets // len(counts)
    wrap = size - 1
    room = size * SLOTS - 1
    for old in range(len(keys) // WORDS):
        for j in range(SLOTS):
            row = at(rows, old * 2 * WORDS + FIRST_ROW + j)
            if row < 0:
                continue
            key = at(keys, old * WORDS + j)
            home = np.int64(splitmix64(key) >> shift)
            bucket = home
            region = home // size
            if counts[region] == room:
                return False
            counts[region] += 1
            taken = fill_of(new_rows, bucket)
            while taken == SLOTS:
                bucket = bucket_after(bucket, home, wrap)
                taken = fill_of(new_rows, bucket)
            put(new_keys, bucket * WORDS + taken, key)
            put(new_rows, bucket * 2 * WORDS + FIRST_ROW + taken, row)
    return True


@shared
def fill_of(rows: Any, bucket: Any) -> Any:
    """Used slots of a bucket: they are its first ones."""
    taken = 0
    for j in range(SLOTS):
        taken += at(rows, bucket * 2 * WORDS + FIRST_ROW + j) != -1
    return taken


@shared
def take_out(keys: Any, rows: Any, bucket: Any, j: Any) -> Any:
    """Empty slot j of a bucket: the bucket's last id takes its place. Returns how many ids the bucket had."""
    taken = fill_of(rows, bucket)
    last = taken - 1
    first = bucket * 2 * WORDS + FIRST_ROW
    put(keys, bucket * WORDS + j, at(keys, bucket * WORDS + last))
    put(rows, first + j, at(rows, first + last))
    put(rows, first + last, np.int32(-1))
    return taken


@kernel
def passer_in(keys: I8, rows: I4, shift: np.uint64, wrap: int, hole: int, bucket: int) -> int:
    """The word of an id in ``bucket`` that went past ``hole`` when that was full; -1 where there is none."""
    for j in range(fill_of(rows, bucket)):
        home = np.int64(splitmix64(at(keys, bucket * WORDS + j)) >> shift)
        to_hole = (((hole >> 1) - (home >> 1)) & (wrap >> 1)) * 2 + ((hole ^ home) & 1)
        to_bucket = (((bucket >> 1) - (home >> 1)) & (wrap >> 1)) * 2 + ((bucket ^ home) & 1)
        if to_hole < to_bucket:
            return int(bucket * WORDS + j)
    return -1


@kernel
def passer(keys: I8, rows: I4, shift: np.uint64, wrap: int, hole: int) -> int:
    """The word of an id that went past ``hole``, a bucket full until now: in its neighbour, or a pair after full pairs.

    -1 where there is none.
    """
    found = passer_in(keys, rows, shift, wrap, hole, hole ^ 1)
    full = fill_of(rows, hole ^ 1) == SLOTS
    pair = hole & ~1
    while found < 0 and full:
        pair = (pair & ~wrap) | ((pair + 2) & wrap)
        found = passer_in(keys, rows, shift, wrap, hole, pair)
        if found < 0:
            found = passer_in(keys, rows, shift, wrap, hole, pair | 1)
        full = fill_of(rows, pair) == SLOTS and fill_of(rows, pair | 1) == SLOTS
    return int(found)


@kernel
def erase(keys: I8, rows: I4, counts: I4, ids: I8, out: I4) -> int:
    """Erase ids one by one; ids that had to go on past a full bucket move back. ``out`` gets the rows they had."""
    buckets = len(keys) // WORDS
    shift = shift_of(buckets)
    size = buckets // len(counts)
    wrap = size - 1
    erased = 0
    for i in range(len(ids)):
        if i + _AHEAD < len(ids):
            prefetch_read(keys, np.int64(splitmix64(ids[i + _AHEAD]) >> shift) * WORDS)
        key = ids[i]
        home = np.int64(splitmix64(key) >> shift)
        hole = home
        while True:
            first = hole * 2 * WORDS + FIRST_ROW
            slot = slot_in_line(keys, hole * WORDS, key)
            row = at(rows, first + slot)
            if row >= 0 or at(rows, first + SLOTS - 1) == -1:
                break
            hole = bucket_after(hole, home, wrap)
        out[i] = row
        if row < 0:
            continue
        erased += 1
        counts[hole // size] -= 1
        if take_out(keys, rows, hole, slot) < SLOTS:
            continue
        full = True
        while full:
            found = passer(keys, rows, shift, wrap, hole)
            if found < 0:
                break
            put(keys, hole * WORDS + SLOTS - 1, at(keys, found))
            put(
                rows,
                hole * 2 * WORDS + FIRST_ROW + SLOTS - 1,
                at(rows, found // WORDS * 2 * WORDS + FIRST_ROW + (found & (WORDS - 1))),
            )
            hole = found // WORDS
            full = take_out(keys, rows, hole, found & (WORDS - 1)) == SLOTS
    return erased


@kernel
def greatest_row(rows: I4) -> int:
    """The greatest row number in an index, -1 where it is empty."""
    greatest = np.int64(-1)
    for bucket in range(len(rows) // (2 * WORDS)):
        for j in range(SLOTS):
            greatest = max(greatest, np.int64(at(rows, bucket * 2 * WORDS + FIRST_ROW + j)))
    return int(greatest)


@kernel
def list_by_row(keys: I8, rows: I4, ids: I8, present: Any) -> None:
    """Ids by row number: ``ids[row]``, and 1 in ``present`` (uint8, zeros) where there is one."""
    for bucket in range(len(keys) // WORDS):
        for j in range(SLOTS):
            row = at(rows, bucket * 2 * WORDS + FIRST_ROW + j)
            if row >= 0:
                put(ids, row, at(keys, bucket * WORDS + j))
                put(present, row, np.uint8(1))
