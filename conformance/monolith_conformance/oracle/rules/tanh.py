"""tanhf as the C library computes it, one float32 operation after the other. Rule: optimizers 6."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F

__all__ = ["tanh"]


def _hex(word: str) -> np.float32:
    return np.frombuffer(bytes.fromhex(word), ">f4").astype(F)[0]  # type: ignore[no-any-return]


LN2_HI, LN2_LO, INV_LN2 = _hex("3f317180"), _hex("3717f7d1"), _hex("3fb8aa3b")
Q = [_hex(word) for word in ("bd088889", "3ad00d01", "b8a670cd", "36867e54", "b457edbb")]


def _pattern(x: np.float32) -> int:
    return int(np.abs(x).view(np.uint32))


def _expm1(y: np.float32) -> Any:
    a = _pattern(y)
    if a < 0x33000000:
        return y
    k, x, c = 0, y, F(0)
    if a > 0x3EB17218:
        sign = F(-1) if y < 0 else F(1)
        k = int(sign) if a < 0x3F851592 else int(INV_LN2 * y + sign * F(0.5))
        hi, lo = y - F(k) * LN2_HI, F(k) * LN2_LO
        x = hi - lo
        c = (hi - x) - lo
    h = F(0.5) * x
    s = x * h
    r = F(1) + s * (Q[0] + s * (Q[1] + s * (Q[2] + s * (Q[3] + s * Q[4]))))
    t = F(3) - r * h
    e = s * ((r - t) / (F(6) - x * t))
    if k == 0:
        return x - (x * e - s)
    e = (x * (e - c) - c) - s
    if k == -1:
        return F(0.5) * (x - e) - F(0.5)
    if k == 1:
        return F(-2) * (e - (x + F(0.5))) if x < F(-0.25) else F(1) + F(2) * (x - e)
    power, inverse = F(2.0**k), F(2.0**-k)
    if k <= -2 or k > 56:
        return power * (F(1) - (e - x)) - F(1)
    return power * ((F(1) - inverse) - (e - x)) if k < 23 else power * ((x - (e + inverse)) + F(1))


def _tanh_one(x: np.float32) -> Any:
    size = np.abs(x)
    if np.isnan(x) or x == 0:
        return x
    if size < F(2.0**-55):
        return x * (F(1) + x)
    if size >= 22:
        return np.copysign(F(1), x)
    if size >= 1:
        return np.copysign(F(1) - F(2) / (_expm1(F(2) * size) + F(2)), x)
    t = _expm1(F(-2) * size)
    return np.copysign(-t / (t + F(2)), x)


def tanh(x: Array) -> Array:
    """Elementwise over a float32 array."""
    out = np.array([_tanh_one(value) for value in x.reshape(-1)], F)
    return out.reshape(x.shape)
