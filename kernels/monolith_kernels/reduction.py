"""The exact, order-independent float32 sum. Rule: sync_training 5 (``exact``).

The sum of float32 terms is the real sum, rounded once to nearest even. A sum is first made in float64 by TwoSum, with
the size of everything rounded away beside it (``error``): where that is +0.0, the float64 value *is* the real sum. The
others go through a superaccumulator: 10 int64 limbs of value ``sum L[i] * 2**(32 i - 149)`` and one word of flags
(NaN 1, +inf 2**20, -inf 2**40, counted), 11 words per element, which merge by plain int64 addition in any order.

What travels between ranks is a :class:`Partial`. A sum of no term is +0.0; one with a NaN, or with inf and -inf, is
7fc00000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monolith_kernels.arrays import F4, F8, I8
from monolith_kernels.cpu import _exact
from monolith_kernels.superaccumulator import LIMBS

__all__ = ["LIMBS", "Partial", "combine", "exact_sum", "finish", "inexact", "limbs_of", "round_limbs", "settle"]


class Partial(NamedTuple):
    """Unrounded partial sums of one rank.

    Attributes
    ----------
    values : float64[n]
        Partial sums that are exact; +0.0 at the listed elements.
    elements : int64[e]
        Elements whose partial sum float64 does not hold, ascending.
    limbs : int64[e, 11]
        Their exact accumulators.
    """

    values: F8
    elements: I8
    limbs: I8


def inexact(error: F8) -> I8:
    """Numbers of the elements whose float64 sum is not the real sum (error not 0, or NaN): int64[e], ascending."""
    flat = error.reshape(-1)
    if _exact.all_zero(flat):
        return np.empty(0, np.int64)
    return np.flatnonzero(flat != 0.0)


def limbs_of(count: int) -> I8:
    """``count`` empty accumulators: int64[count, 11] of zeros."""
    return np.zeros((count, LIMBS), np.int64)


def settle(values: F8, elements: I8, limbs: I8) -> Partial:
    """A partial sum from float64 sums and the accumulators of the inexact elements (there ``values`` becomes +0.0)."""
    flat = values.reshape(-1)
    flat[elements] = 0.0
    return Partial(flat, elements, limbs)


def combine(parts: Sequence[Partial]) -> Partial:
    """The sum of several ranks' partial sums of the same elements, unrounded, whatever the order of ``parts``."""
    if len(parts) == 1:
        return parts[0]
    values = np.zeros(len(parts[0].values), np.float64)
    error = np.zeros(len(values), np.float64)
    for part in parts:
        _exact.add_partial(values, error, part.values)
    listed = np.unique(np.concatenate([inexact(error), *(part.elements for part in parts)]))
    limbs = limbs_of(len(listed))
    for part in parts:
        if len(listed):
            _exact.add_doubles(part.values, listed, limbs)
        if len(part.elements):
            limbs[np.searchsorted(listed, part.elements)] += part.limbs
    return settle(values, listed, limbs)


def finish(partial: Partial, out: F4) -> None:
    """Round every sum once to float32 (nearest even) into ``out`` float32[n]."""
    _exact.round_doubles(partial.values, out)
    if len(partial.elements):
        rounded = np.empty(len(partial.elements), np.float32)
        round_limbs(partial.limbs, rounded)
        out[partial.elements] = rounded


def round_limbs(limbs: I8, out: F4) -> None:
    """Round exact accumulators int64[e, 11] to float32[e]."""
    _exact.round_all(limbs.copy(), out)


def exact_sum(terms: F4) -> Partial:
    """The exact sum of float32 terms over the first axis: [n] gives one element, [n, m] gives m."""
    table = terms.reshape(len(terms), math.prod(terms.shape[1:]))
    values = np.zeros(table.shape[1], np.float64)
    error = np.zeros(table.shape[1], np.float64)
    _exact.sum_rows(table, values, error)
    elements = inexact(error)
    limbs = limbs_of(len(elements))
    if len(elements):
        _exact.sum_rows_limbs(table, elements, limbs)
    return settle(values, elements, limbs)
