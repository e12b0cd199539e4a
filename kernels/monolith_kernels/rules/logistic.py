"""Sigmoid and cross-entropy of a logit, in float64 by operations written out here, rounded once to float32.

Rule: job 7. The bits depend on no C library: only on additions, products and quotients, each rounded, none fused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.prim import mul, shared

__all__ = ["cross_entropy", "cross_entropy_gradient", "exp_minus", "log1p_unit", "sigmoid"]

_ZERO = np.float64(0)
_HALF = np.float64(0.5)
_ONE = np.float64(1)
_TWO = np.float64(2)
_INVERSE_LN2 = np.float64(1.4426950408889634)
_LN2_HIGH = np.float64(float.fromhex("0x1.62e42fee00000p-1"))
"""ln 2 to 33 bits, so that its product with a whole number below 2^20 is exact."""
_LN2_LOW = np.float64(float.fromhex("0x1.a39ef35793c76p-33"))
_LARGEST = np.float64(745)

_EXP = tuple(
    np.float64(1 / f) for f in (6227020800, 479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6)
)
"""1/13! down to 1/3!"""
_C13, _C12, _C11, _C10, _C9, _C8, _C7, _C6, _C5, _C4, _C3 = _EXP
_ODD = tuple(np.float64(1 / n) for n in range(35, 1, -2))
"""1/35 down to 1/3."""


@shared
def exp_minus(a: Any) -> Any:
    """e^-a of a float64 a >= 0, within an ulp; 0 above 745."""
    if a > _LARGEST:
        return _ZERO
    steps = np.int64(mul(a, _INVERSE_LN2) + _HALF)
    k = np.float64(steps)
    r = (mul(k, _LN2_HIGH) - a) + mul(k, _LN2_LOW)
    p = _C12 + mul(r, _C13)
    p = _C11 + mul(r, p)
    p = _C10 + mul(r, p)
    p = _C9 + mul(r, p)
    p = _C8 + mul(r, p)
    p = _C7 + mul(r, p)
    p = _C6 + mul(r, p)
    p = _C5 + mul(r, p)
    p = _C4 + mul(r, p)
    p = _C3 + mul(r, p)
    p = _HALF + mul(r, p)
    value = _ONE + (r + mul(mul(r, r), p))
    # 2^-steps by squaring: every power is exact.
    scale = _ONE
    power = _HALF
    while steps > 0:
        if steps & 1:
            scale = mul(scale, power)
        power = mul(power, power)
        steps >>= 1
    return mul(value, scale)


@shared
def log1p_unit(e: Any) -> Any:
    """log(1 + e) of a float64 e in [0, 1], within an ulp or two: 2 artanh(e / (2 + e)) as a series."""
    s = e / (_TWO + e)
    q = mul(s, s)
    total = _ZERO
    for factor in _ODD:
        total = factor + mul(q, total)
    return mul(_TWO, s + mul(s, mul(q, total)))


@shared
def sigmoid(z: Any) -> Any:
    """1 / (1 + e^-z) of a float32 z, as float32."""
    if z != z:
        return z
    x = np.float64(z)
    if x >= _ZERO:
        return np.float32(_ONE / (_ONE + exp_minus(x)))
    e = exp_minus(-x)
    return np.float32(e / (_ONE + e))


@shared
def cross_entropy(z: Any, y: Any) -> Any:
    """max(z, 0) - z * y + log(1 + e^-|z|) of float32 logit z and label y: products and sums in float64 in this order,
    rounded once."""
    if z != z:
        return z
    x = np.float64(z)
    top = x if x > _ZERO else _ZERO
    size = x if x > _ZERO else -x
    return np.float32((top - mul(x, np.float64(y))) + log1p_unit(exp_minus(size)))


@shared
def cross_entropy_gradient(z: Any, y: Any, divisor: Any) -> Any:
    """(sigmoid(z) - y) / divisor: sigmoid rounded to float32, then the difference, then the quotient."""
    return (sigmoid(z) - y) / divisor
