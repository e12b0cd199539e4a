"""CUDA kernels of :mod:`monolith_kernels.cuda.dedup`.

A slot of the scratch table holds the position of some occurrence of its id (which one depends on the race); ``firsts``
the smallest position, which does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from monolith_kernels.arrays import I4, I8
from monolith_kernels.cuda.launch import cuda_kernel
from monolith_kernels.hashing import hash_slot
from monolith_kernels.prim import shared

__all__ = ["claim", "flag_first", "number", "part_of", "starts_of_tables", "take", "widen"]


@shared
def part_of(splits: Any, position: Any) -> Any:
    """The part k with ``splits[k] <= position < splits[k + 1]`` (parts may be empty)."""
    low = 0
    high = len(splits) - 1
    while low < high:
        middle = (low + high) // 2
        if splits[middle + 1] <= position:
            low = middle + 1
        else:
            high = middle
    return low


@cuda_kernel
def claim(values: I8, splits: I8, count: int, holders: I4, firsts: I4, slots: I4) -> None:
    """Every occurrence finds or claims the slot of its (table, id) and puts down its position."""
    i = cuda.grid(1)
    if i < count:
        value = values[i]
        table = part_of(splits, i)
        mask = len(holders) - 1
        slot = (hash_slot(value, len(holders)) + table) & mask
        holder = cuda.atomic.cas(holders, slot, -1, i)
        while holder >= 0 and (values[holder] != value or part_of(splits, holder) != table):
            slot = (slot + 1) & mask
            holder = cuda.atomic.cas(holders, slot, -1, i)
        slots[i] = slot
        cuda.atomic.min(firsts, slot, i)


@cuda_kernel
def flag_first(firsts: I4, slots: I4, count: int, flags: I4) -> None:
    """1 at the first occurrence of every id."""
    i = cuda.grid(1)
    if i < count:
        flag = np.int32(0)
        if firsts[slots[i]] == i:
            flag = np.int32(1)
        flags[i] = flag


@cuda_kernel
def take(values: I8, flags: I4, before: I4, count: int, unique: I8, counts: I4) -> None:
    """Collect distinct ids."""
    i = cuda.grid(1)
    if i < count and flags[i] != 0:
        unique[before[i]] = values[i]
        counts[before[i]] = 0


@cuda_kernel
def number(firsts: I4, slots: I4, before: I4, count: int, inverse: I4, counts: I4) -> None:
    """Give every occurrence the number of its id, and count."""
    i = cuda.grid(1)
    if i < count:
        own = before[firsts[slots[i]]]
        inverse[i] = own
        cuda.atomic.add(counts, own, 1)


@cuda_kernel
def starts_of_tables(before: I4, count: int, found: int, splits: I8, starts: I4) -> None:
    """Distinct ids before each table."""
    k = cuda.grid(1)
    if k < len(splits):
        start = np.int32(found)
        if splits[k] < count:
            start = before[splits[k]]
        starts[k] = start


@cuda_kernel
def widen(before: I4, count: int, total: int, splits: I8) -> None:
    """Exclusive sums and their total as int64."""
    k = cuda.grid(1)
    if k < count:
        splits[k] = before[k]
    elif k == count:
        splits[k] = total
