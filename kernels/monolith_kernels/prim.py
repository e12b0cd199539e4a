"""Primitives that rules are written with: the profiles, multiply-add, bit patterns and unchecked memory access.

A rule is plain Python over scalars. The functions here are *stubs*: called from Python (oracle-style tests, the CUDA
simulator) they compute the plain meaning; compiled, :func:`both`, :func:`on_cpu` and :func:`on_cuda` give them their
machine form. The rounding profile is a value whose **type** selects the form, so one rule serves both profiles.

| stub | ``Ieee`` | ``Avx`` |
|---|---|---|
| ``madd(p, a, b, c)`` | a*b + c, two roundings | fma(a, b, c), one rounding |
| ``nmadd(p, a, b, c)`` | c - a*b, two roundings | fma(-a, b, c) |
| ``mul(a, b)`` | a*b, rounded, never contracted | same |

Everything works on float32 and float64 alike (both arguments of one type). CUDA forms are explicit ``.rn``
operations, which neither NVVM nor ptxas may fuse.
"""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from monolith_kernels.forms import both, on_cpu, on_cuda, register_for_cuda, shared
from monolith_kernels.unchecked import at, prefetch, put

__all__ = [
    "Avx",
    "Ieee",
    "at",
    "bits",
    "both",
    "fma",
    "from_bits",
    "madd",
    "mul",
    "nmadd",
    "on_cpu",
    "on_cuda",
    "prefetch",
    "profile",
    "put",
    "register_for_cuda",
    "shared",
    "sqrt",
]


class Ieee(NamedTuple):
    """Profile: every product and every sum rounds."""


class Avx(NamedTuple):
    """Profile: the fused forms of the original's production build."""


def profile(name: str) -> Ieee | Avx:
    """The profile value of a name, ``"ieee"`` or ``"avx"``."""
    if name == "ieee":
        return Ieee()
    if name == "avx":
        return Avx()
    raise ValueError(f"profile must be 'ieee' or 'avx', not {name!r}")


# ---- fused multiply-add -----------------------------------------------------------------------------------------


def _fma32(a: float, b: float, c: float) -> np.float32:
    """One rounding: the product is exact in float64, its sum with c is rounded to odd, then to float32."""
    product = a * b
    total = product + c
    if math.isfinite(total):
        shadow = total - product
        error = (product - (total - shadow)) + (c - shadow)
        last_bit = struct.unpack("<q", struct.pack("<d", total))[0] & 1
        if error != 0.0 and last_bit == 0:
            total = math.nextafter(total, math.inf if error > 0.0 else -math.inf)
    return np.float32(total)


def _fma64(a: float, b: float, c: float) -> np.float64:
    """One rounding, by rational arithmetic; what is not finite follows the two-step form."""
    plain = a * b + c
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return np.float64(plain)
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        # The sign of an exact zero, or of a cancellation, is the two-step form's unless the product underflowed.
        product_sign = math.copysign(1.0, a) * math.copysign(1.0, b)
        zero_product = a == 0.0 or b == 0.0
        return np.float64(math.copysign(0.0, product_sign) + c if zero_product else 0.0)
    try:
        return np.float64(float(exact))
    except OverflowError:
        return np.float64(math.copysign(math.inf, exact))


def fma(a: Any, b: Any, c: Any) -> Any:
    """a*b + c with one rounding, for float32 or float64 scalars."""
    if isinstance(a, np.float32):
        return _fma32(float(a), float(b), float(c))
    return _fma64(float(a), float(b), float(c))


@intrinsic
def _llvm_fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    if a not in (types.float32, types.float64) or b != a or c != a:
        return None
    return a(a, a, a), codegen


@on_cpu(fma)
def _fma_cpu(a: Any, b: Any, c: Any) -> Any:
    return lambda a, b, c: _llvm_fma(a, b, c)


@on_cuda(fma)
def _fma_cuda(a: Any, b: Any, c: Any) -> Any:
    from numba.cuda import libdevice

    if a == types.float32:
        return lambda a, b, c: libdevice.fmaf_rn(a, b, c)
    return lambda a, b, c: libdevice.fma_rn(a, b, c)


# ---- multiply-add by profile ------------------------------------------------------------------------------------


def mul(a: Any, b: Any) -> Any:
    """a*b as a rounded value that no compiler may contract with a following sum."""
    return a * b


@on_cpu(mul)
def _mul_cpu(a: Any, b: Any) -> Any:
    return lambda a, b: a * b


@on_cuda(mul)
def _mul_cuda(a: Any, b: Any) -> Any:
    from numba.cuda import libdevice

    if a == types.float32:
        return lambda a, b: libdevice.fmul_rn(a, b)
    return lambda a, b: libdevice.dmul_rn(a, b)


def madd(p: Any, a: Any, b: Any, c: Any) -> Any:
    """a*b + c in the profile's way."""
    return fma(a, b, c) if type(p) is Avx else a * b + c


@on_cpu(madd)
def _madd_cpu(p: Any, a: Any, b: Any, c: Any) -> Any:
    if p.instance_class is Avx:
        return lambda p, a, b, c: _llvm_fma(a, b, c)
    return lambda p, a, b, c: a * b + c


@on_cuda(madd)
def _madd_cuda(p: Any, a: Any, b: Any, c: Any) -> Any:
    from numba.cuda import libdevice

    if p.instance_class is Avx:
        return _fma_of(a)
    if a == types.float32:
        return lambda p, a, b, c: libdevice.fadd_rn(libdevice.fmul_rn(a, b), c)
    return lambda p, a, b, c: libdevice.dadd_rn(libdevice.dmul_rn(a, b), c)


def _fma_of(a: Any) -> Any:
    from numba.cuda import libdevice

    if a == types.float32:
        return lambda p, a, b, c: libdevice.fmaf_rn(a, b, c)
    return lambda p, a, b, c: libdevice.fma_rn(a, b, c)


def nmadd(p: Any, a: Any, b: Any, c: Any) -> Any:
    """c - a*b in the profile's way."""
    return fma(-a, b, c) if type(p) is Avx else c - a * b


@on_cpu(nmadd)
def _nmadd_cpu(p: Any, a: Any, b: Any, c: Any) -> Any:
    if p.instance_class is Avx:
        return lambda p, a, b, c: _llvm_fma(-a, b, c)
    return lambda p, a, b, c: c - a * b


@on_cuda(nmadd)
def _nmadd_cuda(p: Any, a: Any, b: Any, c: Any) -> Any:
    from numba.cuda import libdevice

    if p.instance_class is Avx:
        if a == types.float32:
            return lambda p, a, b, c: libdevice.fmaf_rn(-a, b, c)
        return lambda p, a, b, c: libdevice.fma_rn(-a, b, c)
    if a == types.float32:
        return lambda p, a, b, c: libdevice.fsub_rn(c, libdevice.fmul_rn(a, b))
    return lambda p, a, b, c: libdevice.dadd_rn(c, -libdevice.dmul_rn(a, b))


# ---- roots and bit patterns -------------------------------------------------------------------------------------


def sqrt(a: Any) -> Any:
    """Correctly rounded square root in the type of its argument."""
    return np.sqrt(a)


@on_cpu(sqrt)
def _sqrt_cpu(a: Any) -> Any:
    return lambda a: np.sqrt(a)


@on_cuda(sqrt)
def _sqrt_cuda(a: Any) -> Any:
    from numba.cuda import libdevice

    if a == types.float32:
        return lambda a: libdevice.fsqrt_rn(a)
    return lambda a: libdevice.dsqrt_rn(a)


def bits(a: Any) -> Any:
    """The bit pattern of a float32 as int32."""
    return np.float32(a).view(np.int32)


def from_bits(i: Any) -> Any:
    """The float32 of an int32 bit pattern."""
    return np.int32(i).view(np.float32)


@intrinsic
def _bitcast_to_int(typingctx: Any, a: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def _bitcast_to_float(typingctx: Any, i: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@on_cpu(bits)
def _bits_cpu(a: Any) -> Any:
    return lambda a: _bitcast_to_int(a)


@on_cpu(from_bits)
def _from_bits_cpu(i: Any) -> Any:
    return lambda i: _bitcast_to_float(np.int32(i))


@on_cuda(bits)
def _bits_cuda(a: Any) -> Any:
    from numba.cuda import libdevice

    return lambda a: libdevice.float_as_int(a)


@on_cuda(from_bits)
def _from_bits_cuda(i: Any) -> Any:
    from numba.cuda import libdevice

    return lambda i: libdevice.int_as_float(np.int32(i))
