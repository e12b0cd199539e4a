"""Compiled loops of the index; :mod:`monolith_kernels.cpu.lookup` holds the arrays and says what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.arrays import I4, I8
from monolith_kernels.fetch import prefetch_read
from monolith_kernels.hashing import splitmix64
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = ["erase", "find", "list_absent", "move_all", "number", "place", "regions_of", "write_rows"]

_AHEAD = 16
_REGIONS = 64
_SMALLEST_REGION = 1024
_CLAIMED = -2
"""A slot claimed in this batch by the id at position p holds ``_CLAIMED - p`` until numbers are given."""


def regions_of(capacity: int) -> int:
    """How many regions an index of that many slots has: 64, fewer where they would be smaller than 1,024 slots."""
    return max(1, min(_REGIONS, capacity // _SMALLEST_REGION))


@kernel
def shift_of(capacity: int) -> np.uint64:
    """The shift that leaves the top bits of a 64-bit hash as a slot number."""
    shift = np.uint64(64)
    while capacity > 1:
        capacity >>= 1
        shift -= np.uint64(1)
    return shift


@kernel
def find(keys: I8, rows: I4, ids: I8, out: I4, lo: int, hi: int) -> int:
    """Rows of ids[lo:hi], -1 where absent; returns how many were found."""
    shift = shift_of(len(keys))
    wrap = len(keys) // max(1, min(_REGIONS, len(keys) // _SMALLEST_REGION)) - 1
    slots = np.empty(_AHEAD, np.int64)  # of the ids whose lines are on their way
    for i in range(lo, min(lo + _AHEAD, hi)):
        ahead = np.int64(splitmix64(at(ids, i)) >> shift)
        prefetch_read(keys, ahead)
        prefetch_read(rows, ahead)
        put(slots, i & (_AHEAD - 1), ahead)
    found = 0
    for i in range(lo, hi):
        slot = at(slots, i & (_AHEAD - 1))
        if i + _AHEAD < hi:
            ahead = np.int64(splitmix64(at(ids, i + _AHEAD)) >> shift)
            prefetch_read(keys, ahead)
            prefetch_read(rows, ahead)
            put(slots, i & (_AHEAD - 1), ahead)
        key = at(ids, i)
        row = at(rows, slot)
        while row >= 0 and at(keys, slot) != key:
            slot = (slot & ~wrap) | ((slot + 1) & wrap)
            row = at(rows, slot)
        put(out, i, row)
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
    ``slots[k]`` the slot of the k-th absent position where that is a first one. ``mine`` is scratch, or ``absent``
    itself where all regions are asked for. False where a region has no room (claims stay and must be dropped).
    """
    shift = shift_of(len(keys))
    regions = len(counts)
    size = len(keys) // regions
    wrap = size - 1
    count: Any = len(absent)
    if hi - lo < regions:
        count = 0
        for a in range(len(absent)):
            region = np.int64(splitmix64(ids[absent[a]]) >> shift) // size
            mine[count] = a
            count += (region >= lo) & (region < hi)
    for c in range(count):
        if c + _AHEAD < count:
            later = ids[absent[mine[c + _AHEAD]]] if hi - lo < regions else ids[absent[c + _AHEAD]]
            ahead = np.int64(splitmix64(later) >> shift)
            prefetch_read(keys, ahead)
            prefetch_read(rows, ahead)
        k: Any = np.int64(mine[c]) if hi - lo < regions else np.int64(c)
        position = absent[k]
        key = ids[position]
        slot = np.int64(splitmix64(key) >> shift)
        while rows[slot] != -1 and keys[slot] != key:
            slot = (slot & ~wrap) | ((slot + 1) & wrap)
        if rows[slot] == -1:
            region = slot // size
            if counts[region] == size - 1:
                return False
            counts[region] += 1
            keys[slot] = key
            rows[slot] = _CLAIMED - position
            slots[k] = slot
        out[position] = rows[slot]
    return True


@kernel
def number(absent: I4, slots: I8, out: I4, new_positions: I4, next_row: int, free: I4) -> int:
    """Turn claims into row numbers, in batch order; ``slots`` keeps those of first occurrences. Returns how many."""
    new = 0
    for k in range(len(absent)):
        position = absent[k]
        if out[position] >= 0:
            continue
        first = _CLAIMED - out[position]
        if first == position:
            out[position] = free[new] if new < len(free) else next_row + new - len(free)
            new_positions[new] = position
            slots[new] = slots[k]
            new += 1
        else:
            out[position] = out[first]
    return new


@kernel
def write_rows(rows: I4, slots: I8, out: I4, new_positions: I4, lo: int, hi: int) -> None:
    """Write the numbers of new ids lo..hi into their slots."""
    for j in range(lo, hi):
        if j + _AHEAD < hi:
            prefetch_read(rows, slots[j + _AHEAD])
        rows[slots[j]] = out[new_positions[j]]


@kernel
def move_all(keys: I8, rows: I4, new_keys: I8, new_rows: I4, counts: I4) -> bool:
    """Insert every numbered id into empty arrays, in slot order; claims are dropped. False where a region is full."""
    shift = shift_of(len(new_keys))
    size = len(new_keys) // len(counts)
    wrap = size - 1
    for old in range(len(keys)):
        row = rows[old]
        if row < 0:
            continue
        key = keys[old]
        slot = np.int64(splitmix64(key) >> shift)
        region = slot // size
        if counts[region] == size - 1:
            return False
        counts[region] += 1
        while new_rows[slot] >= 0:
            slot = (slot & ~wrap) | ((slot + 1) & wrap)
        new_keys[slot] = key
        new_rows[slot] = row
    return True


@kernel
def erase(keys: I8, rows: I4, counts: I4, ids: I8, out: I4) -> int:
    """Erase ids one by one, moving later entries of the probe run back; ``out`` gets the rows they had."""
    shift = shift_of(len(keys))
    size = len(keys) // len(counts)
    wrap = size - 1
    erased = 0
    for i in range(len(ids)):
        if i + _AHEAD < len(ids):
            ahead = np.int64(splitmix64(ids[i + _AHEAD]) >> shift)
            prefetch_read(keys, ahead)
            prefetch_read(rows, ahead)
        key = ids[i]
        slot = np.int64(splitmix64(key) >> shift)
        while rows[slot] >= 0 and keys[slot] != key:
            slot = (slot & ~wrap) | ((slot + 1) & wrap)
        out[i] = rows[slot]
        if rows[slot] < 0:
            continue
        erased += 1
        counts[slot // size] -= 1
        hole = slot
        probe = (hole & ~wrap) | ((hole + 1) & wrap)
        while rows[probe] >= 0:
            home = np.int64(splitmix64(keys[probe]) >> shift)
            if ((probe - home) & wrap) >= ((probe - hole) & wrap):
                keys[hole] = keys[probe]
                rows[hole] = rows[probe]
                hole = probe
            probe = (probe & ~wrap) | ((probe + 1) & wrap)
        rows[hole] = -1
    return erased
