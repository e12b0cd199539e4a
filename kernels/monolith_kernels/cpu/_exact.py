"""Compiled loops of :mod:`monolith_kernels.reduction`."""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, F8, I8
from monolith_kernels.jit import kernel
from monolith_kernels.prim import from_bits
from monolith_kernels.superaccumulator import add_term, round_limbs_in_place

__all__ = [
    "add_doubles",
    "add_limbs",
    "add_partial",
    "all_zero",
    "round_all",
    "round_doubles",
    "sum_rows",
    "sum_rows_limbs",
]


@kernel
def all_zero(values: F8) -> bool:
    """Whether every value is +0.0 or -0.0."""
    different = 0
    for i in range(len(values)):
        different += values[i] != 0.0
    return different == 0


@kernel
def add_partial(values: F8, error: F8, more: F8) -> None:
    """``values += more`` by TwoSum; what is rounded away is added to ``error`` in size."""
    for i in range(len(values)):
        s = values[i]
        v = more[i]
        t = s + v
        b = t - s
        error[i] += abs((s - (t - b)) + (v - b))
        values[i] = t


@kernel
def sum_rows(terms: F4, values: F8, error: F8) -> None:
    """Add the rows of float32[n, m] to float64[m] by TwoSum."""
    for i in range(len(terms)):
        row = terms[i]
        for c in range(len(values)):
            s = values[c]
            v = np.float64(row[c])
            t = s + v
            b = t - s
            error[c] += abs((s - (t - b)) + (v - b))
            values[c] = t


@kernel
def sum_rows_limbs(terms: F4, elements: I8, limbs: I8) -> None:
    """Add the listed columns of float32[n, m] to exact accumulators."""
    for i in range(len(terms)):
        for e in range(len(elements)):
            add_term(limbs, e, np.float64(terms[i, elements[e]]))


@kernel
def add_doubles(values: F8, elements: I8, limbs: I8) -> None:
    """Add the listed float64 values to exact accumulators."""
    for e in range(len(elements)):
        add_term(limbs, e, values[elements[e]])


@kernel
def add_limbs(elements: I8, limbs: I8, all_elements: I8, all_limbs: I8) -> None:
    """Add accumulators to those of the same element in an ascending list that holds them all."""
    for e in range(len(elements)):
        place = np.searchsorted(all_elements, elements[e])
        for word in range(limbs.shape[1]):
            all_limbs[place, word] += limbs[e, word]


@kernel
def round_doubles(values: F8, out: F4) -> None:
    """Round exact float64 sums to float32; every NaN becomes 7fc00000."""
    for i in range(len(values)):
        rounded = np.float32(values[i])
        out[i] = rounded if rounded == rounded else from_bits(0x7FC00000)


@kernel
def round_all(limbs: I8, out: F4) -> None:
    """Round exact accumulators to float32; ``limbs`` is overwritten."""
    for e in range(len(limbs)):
        out[e] = round_limbs_in_place(limbs, e)
