"""Exact sums of float32 numbers: the real sum, rounded once to nearest even. Plain NumPy and Python integers.

The fast way adds in float64 and watches the error of every addition (TwoSum); an element whose additions were all
free of error is finished by one rounding to float32. The others are added as Python integers. Rule: sync_training 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExactSum", "exact_sum", "exact_sum_groups", "round_scaled"]

CANONICAL_NAN = np.array(0x7FC00000, np.uint32).view(np.float32)[()]
_SCALE = 149  # every finite float32 is an integer multiple of 2^-149


def round_scaled(total: int) -> np.float32:
    """``total * 2^-149`` rounded once to float32, nearest even; ±inf beyond the range, +0.0 for zero."""
    if total == 0:
        return np.float32(0.0)
    magnitude = abs(total)
    shift = max(magnitude.bit_length() - 24, 0)
    mantissa, rest = magnitude >> shift, magnitude & ((1 << shift) - 1)
    half = (1 << shift) >> 1
    if shift and (rest > half or (rest == half and mantissa & 1)):
        mantissa += 1
    # A mantissa of at most 2^24 and the shift are exact in a double, and so is their product as a float32.
    exponent = shift - _SCALE
    if mantissa.bit_length() + exponent > 128:
        value = math.inf
    else:
        value = math.ldexp(mantissa, exponent)
    return np.float32(value if total > 0 else -value)


def exact_sum(terms: Iterable[float]) -> np.float32:
    """The sum of float32 terms as Python integers; the slow and certain way."""
    total, positive, negative = 0, False, False
    for term in terms:
        value = float(term)
        if math.isnan(value):
            return np.float32(CANONICAL_NAN)
        if math.isinf(value):
            positive, negative = positive or value > 0, negative or value < 0
            continue
        numerator, denominator = value.as_integer_ratio()
        total += numerator * ((1 << _SCALE) // denominator)
    if positive and negative:
        return np.float32(CANONICAL_NAN)
    if positive or negative:
        return np.float32(math.inf if positive else -math.inf)
    return round_scaled(total)


class ExactSum:
    """Adds float32 arrays of one shape; ``result`` gives every element's exact sum.

    ``retell(element)`` must give the terms of one element (flat index) again; it is asked only for elements whose
    float64 sum lost bits.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros(shape, np.float64)
        self._lossy = np.zeros(shape, np.bool_)
        self._next = np.empty(shape, np.float64)
        self._part = np.empty(shape, np.float64)
        self._rest = np.empty(shape, np.float64)

    def add(self, term: NDArray[np.float32]) -> None:
        """Add one float32 array."""
        old, new, part, rest = self._sum, self._next, self._part, self._rest
        np.add(old, term, out=new)
        np.subtract(new, old, out=part)  # what of the term arrived
        np.subtract(new, part, out=rest)
        np.subtract(old, rest, out=rest)  # what the old sum lost
        np.subtract(term, part, out=part)  # what the term lost
        # Either part may be lost, never both to cancelling amounts: the error is zero exactly if both are.
        self._lossy |= (rest != 0) | (part != 0)
        self._sum, self._next = new, old

    def result(self, retell: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The sums, float32; ``retell`` gives the same arrays once more, for elements that lost bits."""
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = self._sum.astype(np.float32)
        rounded += np.float32(0.0)
        doubtful = np.flatnonzero(self._lossy | ~np.isfinite(self._sum))
        if len(doubtful):
            terms = np.stack([np.ravel(term)[doubtful] for term in retell])
            flat = rounded.reshape(-1)
            for place, column in zip(doubtful, terms.T, strict=True):
                flat[place] = exact_sum(column.tolist())
        return rounded


def exact_sum_groups(
    vectors: NDArray[np.float32], starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Exact sum of every group of consecutive rows: ``vectors`` [n, D] -> [groups, D].

    Group i is rows ``starts[i]`` to ``starts[i] + counts[i] - 1`` (at least one).
    """
    # A single term is its own sum; adding +0.0 turns -0.0 into the +0.0 that a zero sum has.
    out = vectors.take(starts, axis=0)
    out += np.float32(0.0)
    many = np.flatnonzero(counts > 1)
    if len(many) == 0:
        nan = np.isnan(out)
        if nan.any():
            out[nan] = CANONICAL_NAN
        return out
    order = many[np.argsort(-counts[many], kind="stable")]
    first, size = starts[order], counts[order]
    total = np.zeros((len(order), vectors.shape[1]), np.float64)
    lossy = np.zeros(total.shape, np.bool_)
    live = len(order)
    for k in range(int(size[0])):
        live = int(np.searchsorted(-size[:live], -k, side="left"))
        term = vectors[first[:live] + k]
        old = total[:live]
        new = old + term
        part = new - old
        lossy[:live] |= (old - (new - part) != 0) | (term - part != 0)
        total[:live] = new
    with np.errstate(over="ignore", invalid="ignore"):
        sums = total.astype(np.float32) + np.float32(0.0)
    for i, element in np.argwhere(lossy | ~np.isfinite(total)):
        sums[i, element] = exact_sum(vectors[first[i] : first[i] + size[i], element].tolist())
    out[order] = sums
    out[np.isnan(out)] = CANONICAL_NAN
    return out
