"""CUDA kernels of :mod:`monolith_kernels.cuda.filter`: one thread, one id after the other; reads, a thread per id."""

from __future__ import annotations

from numba import cuda

from monolith_kernels.admission import (
    SPARE,
    accepts,
    draw,
    hash_add_one,
    hash_get_one,
    sliding_add_one,
    sliding_get_one,
    threshold_of,
)
from monolith_kernels.arrays import I4, I8, U1, U2, U8
from monolith_kernels.cuda.launch import cuda_kernel

__all__ = [
    "hash_add",
    "hash_admit",
    "hash_get",
    "probabilistic_admit",
    "sliding_add",
    "sliding_admit",
    "sliding_get",
]

_COUNT_MASK = 0xFFFFFFFF


@cuda_kernel
def hash_add(
    cells: U2, state: I8, capacity: int, steps: int, bits: int, options: int, ids: I8, counts: I8, out: I4
) -> None:
    """HashFilter.add in order."""
    total = len(cells) - SPARE
    for i in range(len(ids)):
        count = counts[i] & _COUNT_MASK
        out[i] = hash_add_one(cells, state, capacity, total, steps, bits, options, ids[i], count)


@cuda_kernel
def hash_get(cells: U2, steps: int, bits: int, options: int, ids: I8, out: I4) -> None:
    """HashFilter.get."""
    i = cuda.grid(1)
    if i < len(ids):
        out[i] = hash_get_one(cells, len(cells) - SPARE, steps, bits, options, ids[i])


@cuda_kernel
def hash_admit(
    cells: U2,
    state: I8,
    capacity: int,
    steps: int,
    bits: int,
    options: int,
    ids: I8,
    counts: I8,
    thresholds: I4,
    present: U1,
    filtered: U1,
    dropped: I4,
) -> None:
    """should_be_filtered in order."""
    total = len(cells) - SPARE
    dropped[0] = 0
    for i in range(len(ids)):
        threshold = threshold_of(thresholds, ids[i])
        filtered[i] = 0
        if threshold > 0 and not (len(present) > 0 and present[i] != 0):
            count = counts[i] & _COUNT_MASK
            if hash_add_one(cells, state, capacity, total, steps, bits, options, ids[i], count) < threshold:
                filtered[i] = 1
                dropped[0] += 1


@cuda_kernel
def sliding_add(
    cells: U2,
    elements: I8,
    state: I8,
    capacity: int,
    splits: int,
    options: int,
    ids: I8,
    counts: I8,
    out: I4,
) -> None:
    """SlidingHashFilter.add in order."""
    total = len(cells) // splits - SPARE
    for i in range(len(ids)):
        count = counts[i] & _COUNT_MASK
        out[i] = sliding_add_one(cells, elements, state, capacity, splits, total, options, ids[i], count)


@cuda_kernel
def sliding_get(cells: U2, state: I8, splits: int, options: int, ids: I8, out: I4) -> None:
    """SlidingHashFilter.get."""
    i = cuda.grid(1)
    if i < len(ids):
        out[i] = sliding_get_one(cells, state, splits, len(cells) // splits - SPARE, options, ids[i])


@cuda_kernel
def sliding_admit(
    cells: U2,
    elements: I8,
    state: I8,
    capacity: int,
    splits: int,
    options: int,
    ids: I8,
    counts: I8,
    thresholds: I4,
    present: U1,
    filtered: U1,
    dropped: I4,
) -> None:
    """should_be_filtered in order."""
    total = len(cells) // splits - SPARE
    dropped[0] = 0
    for i in range(len(ids)):
        threshold = threshold_of(thresholds, ids[i])
        filtered[i] = 0
        if threshold > 0 and not (len(present) > 0 and present[i] != 0):
            count = counts[i] & _COUNT_MASK
            old = sliding_add_one(cells, elements, state, capacity, splits, total, options, ids[i], count)
            if old < threshold:
                filtered[i] = 1
                dropped[0] += 1


@cuda_kernel
def probabilistic_admit(
    state: U8, equal: int, ids: I8, counts: I8, thresholds: I4, present: U1, filtered: U1, dropped: I4
) -> None:
    """One draw per id without a row, in order."""
    dropped[0] = 0
    for i in range(len(ids)):
        filtered[i] = 0
        if not (len(present) > 0 and present[i] != 0):
            count = counts[i] & _COUNT_MASK
            if not accepts(draw(state), equal != 0, threshold_of(thresholds, ids[i]), count):
                filtered[i] = 1
                dropped[0] += 1
