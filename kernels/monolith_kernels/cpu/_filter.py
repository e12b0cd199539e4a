"""Compiled loops of :mod:`monolith_kernels.cpu.filter`: one id after the other."""

from __future__ import annotations

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
from monolith_kernels.jit import kernel

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


@kernel
def hash_add(
    cells: U2, state: I8, capacity: int, steps: int, bits: int, options: int, ids: I8, counts: I8, out: I4
) -> None:
    """HashFilter.add in order."""
    total = len(cells) - SPARE
    for i in range(len(ids)):
        count = counts[i] & _COUNT_MASK
        out[i] = hash_add_one(cells, state, capacity, total, steps, bits, options, ids[i], count)


@kernel
def hash_get(cells: U2, steps: int, bits: int, options: int, ids: I8, out: I4) -> None:
    """HashFilter.get."""
    total = len(cells) - SPARE
    for i in range(len(ids)):
        out[i] = hash_get_one(cells, total, steps, bits, options, ids[i])


@kernel
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
) -> int:
    """should_be_filtered in order; returns how many were."""
    total = len(cells) - SPARE
    dropped = 0
    for i in range(len(ids)):
        threshold = threshold_of(thresholds, ids[i])
        drop = False
        if threshold > 0 and not (len(present) > 0 and present[i] != 0):
            count = counts[i] & _COUNT_MASK
            drop = hash_add_one(cells, state, capacity, total, steps, bits, options, ids[i], count) < threshold
        filtered[i] = drop
        dropped += drop
    return dropped


@kernel
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


@kernel
def sliding_get(cells: U2, state: I8, splits: int, options: int, ids: I8, out: I4) -> None:
    """SlidingHashFilter.get."""
    total = len(cells) // splits - SPARE
    for i in range(len(ids)):
        out[i] = sliding_get_one(cells, state, splits, total, options, ids[i])


@kernel
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
) -> int:
    """should_be_filtered in order; returns how many were."""
    total = len(cells) // splits - SPARE
    dropped = 0
    for i in range(len(ids)):
        threshold = threshold_of(thresholds, ids[i])
        drop = False
        if threshold > 0 and not (len(present) > 0 and present[i] != 0):
            count = counts[i] & _COUNT_MASK
            old = sliding_add_one(cells, elements, state, capacity, splits, total, options, ids[i], count)
            drop = old < threshold
        filtered[i] = drop
        dropped += drop
    return dropped


@kernel
def probabilistic_admit(state: U8, equal: bool, ids: I8, counts: I8, thresholds: I4, present: U1, filtered: U1) -> int:
    """One draw per id without a row, in order; returns how many were filtered."""
    dropped = 0
    for i in range(len(ids)):
        drop = False
        if not (len(present) > 0 and present[i] != 0):
            count = counts[i] & _COUNT_MASK
            drop = not accepts(draw(state), equal, threshold_of(thresholds, ids[i]), count)
        filtered[i] = drop
        dropped += drop
    return dropped
