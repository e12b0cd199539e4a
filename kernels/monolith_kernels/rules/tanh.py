"""tanh in float32, step by step as the C library's tanhf computes it. Rule: optimizers 6.

Not the correctly rounded function: a quarter of its results lie one or two ulps off, and models were trained with
those. Nothing here may be fused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.prim import bits, from_bits, mul, shared

__all__ = ["tanh"]

_ONE = np.float32(1)
_TWO = np.float32(2)
_THREE = np.float32(3)
_SIX = np.float32(6)
_HALF = np.float32(0.5)
_QUARTER = np.float32(0.25)


def _word(pattern: int) -> np.float32:
    return np.uint32(pattern).view(np.float32)


_LN2_HIGH = _word(0x3F317180)
_LN2_LOW = _word(0x3717F7D1)
_INVERSE_LN2 = _word(0x3FB8AA3B)
_Q1 = _word(0xBD088889)
_Q2 = _word(0x3AD00D01)
_Q3 = _word(0xB8A670CD)
_Q4 = _word(0x36867E54)
_Q5 = _word(0xB457EDBB)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@shared
def _power_of_two(k: Any) -> Any:
    return from_bits((np.int32(k) + np.int32(127)) << np.int32(23))


@shared
def _scaled_back(x: Any, e: Any, k: Any) -> Any:
    """e^y - 1 from the reduced x, its correction e and the exponent k (not 0)."""
    if k == -1:
        return mul(_HALF, x - e) - _HALF
    if k == 1:
        return mul(-_TWO, e - (x + _HALF)) if x < -_QUARTER else _ONE + mul(_TWO, x - e)
    if k <= -2 or k > 56:
        return mul(_power_of_two(k), _ONE - (e - x)) - _ONE
    if k < 23:
        return mul(_power_of_two(k), (_ONE - _power_of_two(-k)) - (e - x))
    return mul(_power_of_two(k), (x - (e + _power_of_two(-k))) + _ONE)


@shared
def _expm1(y: Any) -> Any:
    magnitude = bits(y) & _MAGNITUDE
    if magnitude < np.int32(0x33000000):
        return y
    k = np.int32(0)
    x = y
    c = np.float32(0)
    if magnitude > np.int32(0x3EB17218):
        sign = _ONE if y > np.float32(0) else -_ONE
        if magnitude < np.int32(0x3F851592):
            k = np.int32(sign)
        else:
            k = np.int32(mul(_INVERSE_LN2, y) + mul(sign, _HALF))
        steps = np.float32(k)
        high = y - mul(steps, _LN2_HIGH)
        low = mul(steps, _LN2_LOW)
        x = high - low
        c = (high - x) - low
    half = mul(_HALF, x)
    s = mul(x, half)
    r = _ONE + mul(s, _Q1 + mul(s, _Q2 + mul(s, _Q3 + mul(s, _Q4 + mul(s, _Q5)))))
    t = _THREE - mul(r, half)
    e = mul(s, (r - t) / (_SIX - mul(x, t)))
    if k == 0:
        return x - (mul(x, e) - s)
    return _scaled_back(x, (mul(x, e - c) - c) - s, k)


@shared
def tanh(x: Any) -> Any:
    """tanh of a float32."""
    magnitude = bits(x) & _MAGNITUDE
    size = from_bits(magnitude)
    if x != x:
        return x
    if magnitude < np.int32(0x24000000):
        return x if magnitude == 0 else mul(x, _ONE + x)
    if magnitude >= np.int32(0x41B00000):
        value = _ONE
    elif magnitude >= np.int32(0x3F800000):
        value = _ONE - _TWO / (_expm1(mul(_TWO, size)) + _TWO)
    else:
        t = _expm1(mul(-_TWO, size))
        value = -t / (t + _TWO)
    return -value if bits(x) < 0 else value
