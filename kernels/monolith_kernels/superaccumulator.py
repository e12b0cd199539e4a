"""An accumulator that holds any sum of float32 values exactly. Rule: sync_training 5 (``exact``).

Ten int64 limbs of value ``sum L[i] * 2**(32 i - 149)`` and a word of flags (NaN 1, +inf 2**20, -inf 2**40, counted).
Adding makes no carries (good for 2**30 terms), so accumulators merge by plain addition; rounding carries once.

The functions are stubs in the sense of ``prim``: they run in Python, in CPU kernels and in CUDA kernels.
"""

from __future__ import annotations

import struct
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from monolith_kernels.prim import from_bits, on_cpu, on_cuda, shared

__all__ = ["LIMBS", "add_term", "double_bits", "round_limbs_in_place"]

LIMBS = 11
"""int64 words per accumulator: ten limbs, then the flags."""

_TEN = 10
_WORD = 0xFFFFFFFF
_FLAG_BITS = 20
_FLAG = (1 << _FLAG_BITS) - 1
_FRACTION = (1 << 52) - 1
_INFINITY = 0x7F800000
_NAN = 0x7FC00000


def double_bits(value: Any) -> Any:
    """The bit pattern of a float64 as int64."""
    return struct.unpack("<q", struct.pack("<d", value))[0]


@intrinsic
def _bitcast_double(typingctx: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@on_cpu(double_bits)
def _double_bits_cpu(value: Any) -> Any:
    return lambda value: _bitcast_double(value)


@on_cuda(double_bits)
def _double_bits_cuda(value: Any) -> Any:
    from numba.cuda import libdevice

    return lambda value: libdevice.double_as_longlong(value)


@shared
def add_term(limbs: Any, e: Any, value: Any) -> None:
    """Add a float64 (any float32, or an exact sum of some) to accumulator e of ``limbs`` int64[n, 11]."""
    pattern = double_bits(value)
    exponent = (pattern >> 52) & 0x7FF
    fraction = pattern & _FRACTION
    if exponent == 0x7FF:
        if fraction != 0:
            limbs[e, _TEN] += 1
        elif pattern > 0:
            limbs[e, _TEN] += 1 << _FLAG_BITS
        else:
            limbs[e, _TEN] += 1 << (2 * _FLAG_BITS)
    elif exponent != 0:
        significand = fraction | (1 << 52)
        position = exponent - 1023 - 52 + 149
        if position < 0:  # only zeros leave: every term is a multiple of 2**-149
            significand >>= min(-position, 63)
            position = 0
        limb = position >> 5
        shift = position & 31
        low = significand & _WORD
        high = (significand >> 32) << shift
        first = (low & ((1 << (32 - shift)) - 1)) << shift
        second = (low >> (32 - shift)) + (high & _WORD)
        third = high >> 32
        if pattern < 0:
            limbs[e, limb] -= first
            limbs[e, limb + 1] -= second
            limbs[e, limb + 2] -= third
        else:
            limbs[e, limb] += first
            limbs[e, limb + 1] += second
            limbs[e, limb + 2] += third


@shared
def round_limbs_in_place(limbs: Any, e: Any) -> Any:
    """The float32 nearest to accumulator e (ties to even); its words are overwritten."""
    flags = limbs[e, _TEN]
    plus = (flags >> _FLAG_BITS) & _FLAG
    minus = flags >> (2 * _FLAG_BITS)
    if (flags & _FLAG) != 0 or (plus != 0 and minus != 0):
        return from_bits(_NAN)
    if plus != 0:
        return from_bits(_INFINITY)
    if minus != 0:
        return from_bits(_INFINITY - (1 << 31))
    carry = 0
    for i in range(_TEN):
        word = limbs[e, i] + carry
        limbs[e, i] = word & _WORD
        carry = word >> 32
    negative = carry < 0
    if negative:
        carry = 1
        for i in range(_TEN):
            word = (_WORD - limbs[e, i]) + carry
            limbs[e, i] = word & _WORD
            carry = word >> 32
    top = _TEN - 1
    while top > 0 and limbs[e, top] == 0:
        top -= 1
    length = 32 * top
    word = limbs[e, top]
    while word != 0:
        word >>= 1
        length += 1
    out = length - 24
    pattern = limbs[e, 0]
    if out > 0:
        limb = out >> 5
        shift = out & 31
        above = limbs[e, limb + 1] if limb + 1 < _TEN else 0
        kept = ((limbs[e, limb] >> shift) + ((above & ((1 << shift) - 1)) << (32 - shift))) & 0xFFFFFF
        half = out - 1
        half_word = limbs[e, half >> 5]
        sticky = (half_word & ((1 << (half & 31)) - 1)) != 0
        for i in range(half >> 5):
            sticky = sticky or limbs[e, i] != 0
        if ((half_word >> (half & 31)) & 1) != 0 and (sticky or (kept & 1) != 0):
            kept += 1
        pattern = min((out << 23) + kept, _INFINITY)
    return from_bits(pattern - (1 << 31) if negative else pattern)
