"""The exact, order-independent float32 sum. Rule: sync_training 5 (``exact``).

The sum of float32 terms is the real sum, rounded once to nearest even. A sum is first made in float64 by TwoSum, with
the size of everything rounded away beside it (``error``): where that is +0.0, the float64 value *is* the real sum. The
others go through a superaccumulator: 10 int64 limbs of value ``sum L[i] * 2**(32 i - 149)`` and one word of flags
(NaN 1, +inf 2**20, -inf 2**40, counted), 11 words per element, which merge by plain int64 addition in any order.

What travels between ranks is a :class:`Partial`. Sums of no term are +0.0; NaN, or inf with -inf, is 7fc00000.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monolith_kernels.arrays import F4, F8, I8

__all__ = ["LIMBS", "Partial", "combine", "exact_sum", "finish", "inexact", "limbs_of", "round_limbs", "settle"]

LIMBS = 11
"""int64 words per exact accumulator: ten limbs and the flags."""


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
    """Numbers of the elements whose float64 sum is not the real sum (error not +0.0, or NaN): int64[e], ascending."""
    raise NotImplementedError


def limbs_of(count: int) -> I8:
    """``count`` empty accumulators: int64[count, 11] of zeros."""
    raise NotImplementedError


def settle(values: F8, elements: I8, limbs: I8) -> Partial:
    """A partial sum from a float64 sum and the accumulators of its inexact elements (``values`` becomes +0.0 there, in place)."""
    raise NotImplementedError


def combine(parts: Sequence[Partial]) -> Partial:
    """The sum of several ranks' partial sums of the same elements, again unrounded; the order of ``parts`` does not matter."""
    raise NotImplementedError


def finish(partial: Partial, out: F4) -> None:
    """Round every sum once to float32 (nearest even) into ``out`` float32[n]."""
    raise NotImplementedError


def round_limbs(limbs: I8, out: F4) -> None:
    """Round exact accumulators int64[e, 11] to float32[e]."""
    raise NotImplementedError


def exact_sum(terms: F4) -> Partial:
    """The exact sum of float32 terms over the first axis: [n] gives one element, [n, m] gives m."""
    raise NotImplementedError
