"""Float32 as bits: the comparison that the whole suite rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.difference import differing, float_of, ulps

__all__ = ["FloatDifference", "describe", "first_difference", "same_bits"]


@dataclass(frozen=True)
class FloatDifference:
    """The first element whose bits differ: flat index, both as text, distance in ulps (None with a NaN)."""

    index: int
    actual: str
    expected: str
    ulps: int | None


def describe(bits: int) -> str:
    """A bit pattern with its value: ``3f800000 (1.0)``."""
    return f"{bits:08x} ({float_of(bits)!r})"


def first_difference(actual: NDArray[Any], expected: NDArray[Any]) -> FloatDifference | None:
    """First difference of two float32 arrays of one size; any NaN equals any NaN, -0 and +0 differ."""
    where = differing(actual, expected)
    if not len(where):
        return None
    index = int(where[0])
    pair = [int(np.ascontiguousarray(a, np.float32).reshape(-1).view(np.uint32)[index]) for a in (actual, expected)]
    return FloatDifference(index, describe(pair[0]), describe(pair[1]), ulps(*pair))


def same_bits(actual: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Whether two float32 arrays are equal bit for bit (any NaN equals any NaN)."""
    return np.shape(actual) == np.shape(expected) and first_difference(actual, expected) is None
