"""Compressors (serving rows) and retrievers (training reads). Rule: optimizers 6.

A quantizer is a named tuple whose type selects its functions:

``encode(q, x)``               the element's code, an int64 whose low ``q.size`` bytes are stored
``decode(q, code)``            the float32 of a code
``read(q, x, scale)``          what a training lookup returns
``backward(p, q, w, g, scale)``  the gradient that the optimizer sees
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import bits, both, from_bits, mul, nmadd, shared
from monolith_kernels.rules.halves import from_half, to_half
from monolith_kernels.rules.tanh import tanh

__all__ = [
    "DEFAULTS",
    "FixedR8",
    "Fp16",
    "Fp32",
    "OneBit",
    "Quantizer",
    "backward",
    "decode",
    "encode",
    "make",
    "read",
    "scale_at",
]

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_128 = np.float32(128)
_HIGHEST = np.float32(127)
_LOWEST = np.float32(-128)
_INT_LIMIT = np.float32(2147483648.0)


class Fp32(NamedTuple):
    """Four bytes an element, the value itself."""

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return 4

    @property
    def changes_reads(self) -> bool:
        """Whether a training read differs from the stored value."""
        return False


class Fp16(NamedTuple):
    """Two bytes an element, IEEE half."""

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return 2

    @property
    def changes_reads(self) -> bool:
        """Whether a training read differs from the stored value."""
        return False


class FixedR8(NamedTuple):
    """One byte an element, fixed steps of r/128."""

    r: np.float32
    fixed_r8_int_overflow: bool

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return 1

    @property
    def changes_reads(self) -> bool:
        """Whether a training read differs from the stored value."""
        return True


class OneBit(NamedTuple):
    """One byte an element, the sign; a training read is amplitude*tanh(scale*x)."""

    step_size: int
    init_scale: np.float32
    max_scale: np.float32
    amplitude: np.float32

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return 1

    @property
    def changes_reads(self) -> bool:
        """Whether a training read differs from the stored value."""
        return True


Quantizer = Fp32 | Fp16 | FixedR8 | OneBit

DEFAULTS: dict[str, dict[str, float | int]] = {
    "fp32": {},
    "fp16": {},
    "fixed_r8": {"r": 1.0},
    "one_bit": {"step_size": 200, "init_scale": 1.0, "max_scale": 10000.0, "amplitude": 0.1},
}


def make(kind: str, config: Mapping[str, Any] | None = None, quirks: Collection[str] = ()) -> Quantizer:
    """The quantizer of a kind from the fields of its message (absent: proto default) and the quirks in force.

    Raises ``ValueError`` for an unknown kind or field.
    """
    config = config or {}
    if kind not in DEFAULTS:
        raise ValueError(f"there is no compressor {kind!r} (there are {', '.join(DEFAULTS)})")
    unknown = sorted(set(config) - set(DEFAULTS[kind]))
    if unknown:
        raise ValueError(f"{kind} has no config field {unknown[0]!r}")
    values = {**DEFAULTS[kind], **config}
    if kind == "fp32":
        return Fp32()
    if kind == "fp16":
        return Fp16()
    if kind == "fixed_r8":
        return FixedR8(np.float32(values["r"]), "fixed_r8_int_overflow" in quirks)
    return OneBit(
        int(values["step_size"]),
        np.float32(values["init_scale"]),
        np.float32(values["max_scale"]),
        np.float32(values["amplitude"]),
    )


def scale_at(profile: str, q: OneBit, global_step: int, scale: np.float32) -> np.float32:
    """The scale of a one_bit segment at a step, before its gradient is taken (the old one between multiples)."""
    if global_step % q.step_size:
        return scale
    with np.errstate(all="ignore"):
        rate, step = np.float32(0.005), np.int64(global_step).astype(np.float32)
        if profile == "avx":
            base = np.float32(np.float64(rate) * np.float64(step) + 1.0)
        else:
            base = rate * step + _ONE
        root = math.sqrt(base) if base >= 0 else math.nan
        grown = np.float32(q.init_scale * np.float32(root))
    return q.max_scale if q.max_scale < grown else grown


# ---- fp32 -------------------------------------------------------------------------------------------------------


def _encode_fp32(q: Any, x: Any) -> Any:
    return np.int64(bits(x))


def _decode_fp32(q: Any, code: Any) -> Any:
    return from_bits(np.int32(code))


def _encode_fp16(q: Any, x: Any) -> Any:
    return np.int64(to_half(x))


def _decode_fp16(q: Any, code: Any) -> Any:
    return from_half(np.int32(code) & np.int32(0xFFFF))


def _read_raw(q: Any, x: Any, scale: Any) -> Any:
    return x


def _backward_raw(p: Any, q: Any, w: Any, g: Any, scale: Any) -> Any:
    return g


# ---- fixed_r8 ---------------------------------------------------------------------------------------------------


@shared
def _encode_fixed_r8(q: Any, x: Any) -> Any:
    step = q.r / _128
    half = mul(step, _HALF)
    y = x + half if x >= _ZERO else x - half
    scaled = y / step
    top = _LOWEST if q.fixed_r8_int_overflow and scaled >= _INT_LIMIT else _HIGHEST
    clamped = top if scaled >= _HIGHEST else (_LOWEST if scaled <= _LOWEST else scaled)
    return np.int64(clamped if x == x else _ZERO)


def _decode_fixed_r8(q: Any, code: Any) -> Any:
    return np.float32(np.int8(code)) * (q.r / _128)


def _read_fixed_r8(q: Any, x: Any, scale: Any) -> Any:
    return np.float32(_encode_fixed_r8(q, x)) * (q.r / _128)


# ---- one_bit ----------------------------------------------------------------------------------------------------


@shared
def _read_one_bit(q: Any, x: Any, scale: Any) -> Any:
    return q.amplitude * tanh(mul(scale, x))


def _encode_one_bit(q: Any, x: Any) -> Any:
    return np.int64(1) if _read_one_bit(q, x, q.init_scale) > _ZERO else np.int64(-1)


def _decode_one_bit(q: Any, code: Any) -> Any:
    return np.float32(np.int8(code)) * q.amplitude


def _backward_one_bit(p: Any, q: Any, w: Any, g: Any, scale: Any) -> Any:
    y = tanh(mul(scale, w))
    return g * mul(q.amplitude * scale, nmadd(p, y, y, _ONE))


_FUNCTIONS: dict[type, tuple[Any, Any, Any, Any]] = {
    Fp32: (_encode_fp32, _decode_fp32, _read_raw, _backward_raw),
    Fp16: (_encode_fp16, _decode_fp16, _read_raw, _backward_raw),
    FixedR8: (_encode_fixed_r8, _decode_fixed_r8, _read_fixed_r8, _backward_raw),
    OneBit: (_encode_one_bit, _decode_one_bit, _read_one_bit, _backward_one_bit),
}


def encode(q: Any, x: Any) -> Any:
    """The code of a float32 element."""
    return _FUNCTIONS[type(q)][0](q, x)


@both(encode)
def _encode(q: Any, x: Any) -> Any:
    return _FUNCTIONS[q.instance_class][0]


def decode(q: Any, code: Any) -> Any:
    """The float32 of a code."""
    return _FUNCTIONS[type(q)][1](q, code)


@both(decode)
def _decode(q: Any, code: Any) -> Any:
    return _FUNCTIONS[q.instance_class][1]


def read(q: Any, x: Any, scale: Any) -> Any:
    """What a training lookup returns for the stored x."""
    return _FUNCTIONS[type(q)][2](q, x, scale)


@both(read)
def _read(q: Any, x: Any, scale: Any) -> Any:
    return _FUNCTIONS[q.instance_class][2]


def backward(p: Any, q: Any, w: Any, g: Any, scale: Any) -> Any:
    """The gradient that the optimizer sees, w being the stored weight."""
    return _FUNCTIONS[type(q)][3](p, q, w, g, scale)


@both(backward)
def _backward(p: Any, q: Any, w: Any, g: Any, scale: Any) -> Any:
    return _FUNCTIONS[q.instance_class][3]
