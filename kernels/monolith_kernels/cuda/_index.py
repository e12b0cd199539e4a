"""CUDA kernels of the index; :mod:`monolith_kernels.cuda.lookup` holds the arrays.

``keys`` int64[capacity + 1] holds ``MARK`` in free slots; the id that equals ``MARK`` lives in the last slot, outside
the hashed ones. Which slot an id gets depends on the race of its threads, which number it gets does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cuda._vectors import copy_four, zero_four
from monolith_kernels.cuda.launch import cuda_kernel
from monolith_kernels.hashing import hash_slot
from monolith_kernels.prim import shared

__all__ = [
    "LATE",
    "MARK",
    "claim",
    "fill_int32",
    "fill_int64",
    "find",
    "find_and_gather",
    "find_and_gather_by_four",
    "flag_first",
    "move_all",
    "number",
    "release",
    "take_out",
]

MARK = -(2**63)
LATE = 2**31 - 1
"""A position behind every position of a batch."""


@shared
def slot_of(keys: Any, capacity: Any, key: Any) -> Any:
    """The slot of an id, -1 where it is absent."""
    if key == MARK:
        return capacity
    slot = hash_slot(key, capacity)
    held = keys[slot]
    while held != key and held != MARK:
        slot = (slot + 1) & (capacity - 1)
        held = keys[slot]
    return slot if held == key else -1


@shared
def claimed(keys: Any, slot: Any, key: Any) -> Any:
    """What a slot held before the id claimed it. A taken one stays taken: only a free one costs an atomic."""
    held = keys[slot]
    if held == MARK:
        held = cuda.atomic.cas(keys, slot, MARK, key)
    return held


@cuda_kernel
def find(keys: I8, rows: I4, ids: I8, count: int, out: I4, hits: I4) -> None:
    """Row of every id, -1 where absent; ``hits[0]`` counts those found, one addition a block."""
    i = cuda.grid(1)
    found = np.int32(0)
    if i < count:
        slot = slot_of(keys, len(keys) - 1, ids[i])
        row: Any = np.int32(-1)
        if slot >= 0:
            row = rows[slot]
        out[i] = row
        if row >= 0:
            found = np.int32(1)
    total = cuda.syncthreads_count(found)
    if cuda.threadIdx.x == 0:
        cuda.atomic.add(hits, 0, total)


@cuda_kernel
def claim(keys: I8, rows: I4, firsts: I4, ids: I8, count: int, slots: I8) -> None:
    """Every id finds or claims its slot; ids without a row put down their position if it is the smallest."""
    i = cuda.grid(1)
    if i < count:
        key = ids[i]
        capacity = len(keys) - 1
        slot = np.int64(capacity)
        if key != MARK:
            slot = hash_slot(key, capacity)
            held = claimed(keys, slot, key)
            while held != key and held != MARK:
                slot = (slot + 1) & (capacity - 1)
                held = claimed(keys, slot, key)
        slots[i] = slot
        if rows[slot] < 0:
            cuda.atomic.min(firsts, slot, i)


@cuda_kernel
def flag_first(firsts: I4, slots: I8, count: int, flags: I4) -> None:
    """1 at the first occurrence of every id without a row."""
    i = cuda.grid(1)
    if i < count:
        flag = np.int32(0)
        if firsts[slots[i]] == i:
            flag = np.int32(1)
        flags[i] = flag


@cuda_kernel
def number(rows: I4, slots: I8, flags: I4, before: I4, count: int, next_row: int, free: I4, new_positions: I4) -> None:
    """Number first occurrences in batch order."""
    i = cuda.grid(1)
    if i < count and flags[i] != 0:
        new = before[i]
        row = next_row + new - len(free)
        if new < len(free):
            row = np.int64(free[new])
        rows[slots[i]] = row
        new_positions[new] = i


@cuda_kernel
def release(rows: I4, firsts: I4, slots: I8, count: int, out: I4) -> None:
    """Read every id's row and clear the positions that were put down."""
    i = cuda.grid(1)
    if i < count:
        slot = slots[i]
        out[i] = rows[slot]
        firsts[slot] = LATE


@cuda_kernel
def take_out(keys: I8, rows: I4, firsts: I4, ids: I8, count: int, stage: int, out: I4, hits: I4) -> None:
    """Stage 0: put down positions. Stage 1: the first occurrence of an id takes its row. Stage 2: the slot is empty."""
    i = cuda.grid(1)
    if i < count:
        slot = slot_of(keys, len(keys) - 1, ids[i])
        if stage == 0:
            out[i] = -1
            if slot >= 0 and rows[slot] >= 0:
                cuda.atomic.min(firsts, slot, i)
        elif slot >= 0 and firsts[slot] == i:
            if stage == 1:
                out[i] = rows[slot]
                cuda.atomic.add(hits, 0, 1)
            else:
                rows[slot] = -1
                firsts[slot] = LATE


@cuda_kernel
def move_all(keys: I8, rows: I4, new_keys: I8, new_rows: I4) -> None:
    """Every id that has a row claims a slot of the new arrays."""
    old = cuda.grid(1)
    last = len(keys) - 1
    if old <= last and rows[old] >= 0:
        capacity = len(new_keys) - 1
        slot = np.int64(capacity)
        if old < last:
            key = keys[old]
            slot = hash_slot(key, capacity)
            while cuda.atomic.cas(new_keys, slot, MARK, key) != MARK:
                slot = (slot + 1) & (capacity - 1)
        new_rows[slot] = rows[old]


@cuda_kernel
def fill_int64(array: I8, value: int) -> None:
    """Fill."""
    i = cuda.grid(1)
    if i < len(array):
        array[i] = value


@cuda_kernel
def fill_int32(array: I4, value: int) -> None:
    """Fill."""
    i = cuda.grid(1)
    if i < len(array):
        array[i] = value


@cuda_kernel
def find_and_gather(
    keys: I8,
    rows: I4,
    ids: I8,
    count: int,
    out_rows: I4,
    hits: I4,
    flat: F4,
    width: int,
    column: int,
    dim: int,
    out: F4,
    offset: int,
    stride: int,
) -> None:
    """Every lane of a row probes its id (one broadcast read each), then copies its part of the row."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < count:
        slot = slot_of(keys, len(keys) - 1, ids[i])
        row = np.int64(-1)
        if slot >= 0:
            row = np.int64(rows[slot])
        if cuda.threadIdx.x == 0:
            out_rows[i] = row
            if row >= 0:
                cuda.atomic.add(hits, 0, 1)
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            value = np.float32(0.0)
            if row >= 0:
                value = flat[row * width + column + c]
            out[offset + i * stride + c] = value


@cuda_kernel
def find_and_gather_by_four(
    keys: I8,
    rows: I4,
    ids: I8,
    count: int,
    out_rows: I4,
    hits: I4,
    flat: F4,
    width: int,
    column: int,
    dim: int,
    out: F4,
    offset: int,
    stride: int,
) -> None:
    """As find_and_gather, four floats at a time."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < count:
        slot = slot_of(keys, len(keys) - 1, ids[i])
        row = np.int64(-1)
        if slot >= 0:
            row = np.int64(rows[slot])
        if cuda.threadIdx.x == 0:
            out_rows[i] = row
            if row >= 0:
                cuda.atomic.add(hits, 0, 1)
        for c in range(4 * cuda.threadIdx.x, dim, 4 * cuda.blockDim.x):
            target = offset + i * stride + c
            if row >= 0:
                copy_four(out, target, flat, row * width + column + c)
            else:
                zero_four(out, target)
