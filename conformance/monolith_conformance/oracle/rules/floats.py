"""What the oracle computes with: float32 arrays and a fused multiply-add by rational arithmetic.

``madd`` alone depends on the profile: ``ieee`` rounds the product and the sum, ``avx`` rounds once.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "D", "F", "fma", "madd", "nearest"]

F = np.float32
D = np.float64
Array = NDArray[Any]

_FORMATS = {np.dtype(F): (24, -149), np.dtype(D): (53, -1074)}  # bits of the significand, exponent of the last one


def nearest(value: Fraction, dtype: Any) -> Any:
    """The float of ``dtype`` nearest to a rational number, ties to even."""
    digits, lowest = _FORMATS[np.dtype(dtype)]
    size = abs(value)
    if size == 0:
        return np.dtype(dtype).type(0)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - digits + 1, lowest)
    count = round(size / unit)  # Python rounds halves to even
    exact = count * unit
    if exact >= Fraction(2) ** {24: 128, 53: 1024}[digits]:
        return np.dtype(dtype).type(math.copysign(math.inf, value))
    return np.dtype(dtype).type(math.copysign(float(exact), value))


def _fma_one(a: Any, b: Any, c: Any, dtype: Any) -> Any:
    if not (np.isfinite(a) and np.isfinite(b) and np.isfinite(c)):
        # With an infinity or a NaN in play nothing is rounded; a finite product must not overflow on its own.
        if np.isfinite(a) and np.isfinite(b):
            return c
        return a * b + c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if exact != 0:
        return nearest(exact, dtype)
    negative_product = np.signbit(a) != np.signbit(b)
    both_negative = negative_product and np.signbit(c)
    return dtype.type(-0.0 if both_negative and c == 0 else 0.0)


def fma(a: Any, b: Any, c: Any) -> Any:
    """a*b + c with one rounding, elementwise, in the common dtype of the arguments."""
    a, b, c = np.broadcast_arrays(a, b, c)
    out = np.empty(a.shape, a.dtype)
    for i in np.ndindex(a.shape):
        out[i] = _fma_one(a[i], b[i], c[i], a.dtype)
    return out[()]


def madd(profile: str, a: Any, b: Any, c: Any) -> Any:
    """a*b + c in the profile's way."""
    return fma(a, b, c) if profile == "avx" else a * b + c
