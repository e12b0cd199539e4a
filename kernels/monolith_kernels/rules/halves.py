"""IEEE half precision by integer arithmetic, and stochastic rounding to it. Rule: optimizers 3, 6."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.prim import bits, from_bits, shared

__all__ = ["from_half", "stochastic", "to_half"]

_SIGN = np.int32(0x8000)
_MAGNITUDE = np.int32(0x7FFFFFFF)
_INFINITY = np.int32(0x7F800000)
_SMALLEST_NORMAL = np.int32(0x38800000)
_REBIAS = np.int32(0x38000000)
_TO_UNITS = np.float32(16777216.0)
_FROM_UNITS = np.float32(1.0 / 16777216.0)
_HALF = np.float32(0.5)


@shared
def to_half(x: Any) -> Any:
    """The half code (int32) nearest to a float32, ties to even; from 65520 on inf; NaN keeps its high payload bits."""
    word = bits(x)
    magnitude = word & _MAGNITUDE
    sign = (word >> np.int32(16)) & _SIGN
    if magnitude > _INFINITY:
        code = np.int32(0x7E00) | ((magnitude >> np.int32(13)) & np.int32(0x3FF))
    elif magnitude >= np.int32(0x477FF000):
        code = np.int32(0x7C00)
    elif magnitude < _SMALLEST_NORMAL:
        # The sum's last bit is worth one unit of a subnormal half, so the addition does the rounding.
        code = bits(from_bits(magnitude) + _HALF) - np.int32(0x3F000000)
    else:
        odd = (magnitude >> np.int32(13)) & np.int32(1)
        code = (magnitude - _REBIAS + np.int32(0xFFF) + odd) >> np.int32(13)
    return sign | code


@shared
def from_half(code: Any) -> Any:
    """The float32 of a half code (int32, 0 to 65535), exact."""
    sign = (code & _SIGN) << np.int32(16)
    magnitude = code & np.int32(0x7FFF)
    if magnitude >= np.int32(0x7C00):
        word = _INFINITY | ((magnitude & np.int32(0x3FF)) << np.int32(13))
    elif magnitude < np.int32(0x400):
        word = bits(np.float32(magnitude) * _FROM_UNITS)
    else:
        word = (magnitude << np.int32(13)) + _REBIAS
    return from_bits(sign | word)


@shared
def stochastic(x: Any, draw: Any) -> Any:
    """x rounded to one of its two half neighbours: up where draw <= (x - lower)/(upper - lower)."""
    word = bits(x)
    magnitude = word & _MAGNITUDE
    if magnitude >= _INFINITY:
        return x
    if magnitude >= np.int32(0x47800000):
        towards, inexact = np.int32(0x7BFF), True
    elif magnitude < _SMALLEST_NORMAL:
        units = from_bits(magnitude) * _TO_UNITS
        towards = np.int32(units)
        inexact = np.float32(towards) != units
    else:
        towards = (magnitude - _REBIAS) >> np.int32(13)
        inexact = (magnitude & np.int32(0x1FFF)) != 0
    near = from_half(towards)
    far = from_half(towards + np.int32(1)) if inexact else near
    negative = word < 0
    upper = -near if negative else far
    lower = -far if negative else near
    return upper if draw <= (x - lower) / (upper - lower) else lower
