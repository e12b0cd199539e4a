"""Compiled loops of :mod:`monolith_kernels.cpu.shard`."""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.fetch import prefetch_read
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = ["merge", "move", "offsets", "owners", "split"]

_AHEAD = 12
_FEW_OWNERS = 16
"""Up to so many, comparing with all of them is faster than halving."""
_COUNTED = 4
"""Ranks up to which the ids of each one are counted by themselves, in vectors."""


@kernel
def owners(ids: I8, ranks: int, empty_rank0: bool, out: I4) -> None:
    """Floor-mod owners; ``empty_rank0`` leaves rank 0 out."""
    holders = ranks - 1 if empty_rank0 else ranks
    first = 1 if empty_rank0 else 0
    mask = holders - 1
    if holders & mask == 0:
        # Of a power of two, the floor remainder is the lowest bits, also of a negative number.
        for i in range(len(ids)):
            out[i] = (ids[i] & mask) + first
        return
    for i in range(len(ids)):
        rest = ids[i] % holders
        out[i] = rest + first


@kernel
def split(unique: I8, unique_splits: I8, owner_of: I4, counts: I8, cursor: I8, order: I4, ids: I8) -> None:
    """Stable counting sort of distinct ids by (owner, table); ``cursor`` int64[N * K] is scratch."""
    ranks, tables = counts.shape
    for k in range(tables):
        for owner in range(ranks if ranks <= _COUNTED else 0):
            found = np.int64(0)
            for u in range(unique_splits[k], unique_splits[k + 1]):
                found += at(owner_of, u) == owner
            counts[owner, k] = found
        if ranks > _COUNTED:
            for u in range(unique_splits[k], unique_splits[k + 1]):
                counts[owner_of[u], k] += 1
    total = np.int64(0)
    for owner in range(ranks):
        for k in range(tables):
            cursor[owner * tables + k] = total
            total += counts[owner, k]
    for k in range(tables):
        if ranks == 2:
            # Both cursors stay in registers.
            first, second = cursor[k], cursor[tables + k]
            for u in range(unique_splits[k], unique_splits[k + 1]):
                is_second = np.int64(at(owner_of, u))
                position = first + is_second * (second - first)
                first += 1 - is_second
                second += is_second
                put(order, u, np.int32(position))
                put(ids, position, at(unique, u))
            continue
        for u in range(unique_splits[k], unique_splits[k + 1]):
            cell = np.int64(at(owner_of, u)) * tables + k
            position = at(cursor, cell)
            put(cursor, cell, position + 1)
            put(order, u, np.int32(position))
            put(ids, position, at(unique, u))


@kernel
def offsets(order: I4, unique_splits: I8, owner_ends: I8, firsts: I8, starts: I8, widths: I8, out: I8) -> None:
    """Element offset of each distinct id.

    ``firsts`` and ``starts`` int64[N, K] are the first position and element of each (owner, table).
    """
    if len(owner_ends) == 1:  # nobody to look for
        for k in range(len(widths)):
            width = widths[k]
            start = starts[0, k] - firsts[0, k] * width
            for u in range(unique_splits[k], unique_splits[k + 1]):
                put(out, u, start + np.int64(at(order, u)) * width)
        return
    few = len(owner_ends) <= _FEW_OWNERS
    base = np.empty(len(owner_ends), np.int64)
    for k in range(len(widths)):
        width = widths[k]
        for owner in range(len(base)):
            base[owner] = starts[owner, k] - firsts[owner, k] * width
        for u in range(unique_splits[k], unique_splits[k + 1]):
            position = np.int64(at(order, u))
            among = np.int64(0)
            if few:
                # Counted without a branch: owners come in no order that a processor could foresee.
                for one in range(len(owner_ends) - 1):
                    among += at(owner_ends, one) <= position
            else:
                among = np.int64(np.searchsorted(owner_ends, position, side="right"))
            put(out, u, at(base, among) + position * width)


@kernel
def merge(ids: I8, counts: I8, splits: I8, order: I4, merged: I8) -> None:
    """Copy every (source, table) stretch to its place."""
    sources, tables = counts.shape
    position = np.int64(0)
    for source in range(sources):
        for k in range(tables):
            target = splits[k, source]
            for j in range(counts[source, k]):
                order[position] = target + j
                merged[target + j] = ids[position]
                position += 1


@kernel
def move(values: F4, from_offsets: I8, to_offsets: I8, width: int, out: F4) -> None:
    """Copy vectors of ``width`` elements from offset to offset."""
    for i in range(len(from_offsets)):
        if i + _AHEAD < len(from_offsets):
            prefetch_read(values, from_offsets[i + _AHEAD])
            prefetch_read(out, to_offsets[i + _AHEAD])
        source = from_offsets[i]
        target = to_offsets[i]
        if target < 0:
            continue
        if source >= 0:
            for c in range(width):
                put(out, target + c, at(values, source + c))
        else:
            for c in range(width):
                put(out, target + c, values.dtype.type(0.0))
