"""Compressors and retrievers. Rule: optimizers 6."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, D, F, fma, madd
from monolith_conformance.oracle.rules.tanh import tanh

__all__ = ["DEFAULTS", "backward", "decode", "encode", "read", "scale_at"]

DEFAULTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp16": {},
    "fixed_r8": {"r": 1.0},
    "one_bit": {"step_size": 200, "init_scale": 1.0, "max_scale": 10000.0, "amplitude": 0.1},
}


def _codes_r8(config: Mapping[str, Any], quirks: Collection[str], x: Array) -> Array:
    step = F(config["r"]) / F(128)
    half = step / F(2)
    quotient = np.where(x >= 0, x + half, x - half) / step
    codes = np.trunc(np.clip(quotient, -128, 127))
    if "fixed_r8_int_overflow" in quirks:
        codes = np.where(quotient >= F(2.0**31), F(-128), codes)
    return np.where(np.isnan(x), F(0), codes).astype(np.int8)


def _halves(x: Array) -> Array:
    codes = x.astype(np.float16).view(np.uint16)
    words = x.view(np.uint32)
    nans = ((words >> 16) & 0x8000) | 0x7E00 | ((words >> 13) & 0x3FF)
    return np.where(np.isnan(x), nans.astype(np.uint16), codes)


def encode(kind: str, config: Mapping[str, Any], quirks: Collection[str], x: Array) -> bytes:
    """The bytes of one row's segment, x float32[d]."""
    with np.errstate(all="ignore"):
        if kind == "fp32":
            return x.astype("<f4").tobytes()
        if kind == "fp16":
            return _halves(x).astype("<u2").tobytes()
        if kind == "fixed_r8":
            return _codes_r8(config, quirks, x).tobytes()
        positive = read(kind, config, quirks, x, config["init_scale"]) > 0
        return np.where(positive, 1, -1).astype(np.int8).tobytes()


def decode(kind: str, config: Mapping[str, Any], data: bytes) -> Array:
    """The floats of one row's segment."""
    with np.errstate(all="ignore"):
        if kind == "fp32":
            return np.frombuffer(data, "<f4").astype(F)
        if kind == "fp16":
            return np.frombuffer(data, "<f2").astype(F)
        step = F(config["r"]) / F(128) if kind == "fixed_r8" else F(config["amplitude"])
        return np.frombuffer(data, np.int8).astype(F) * step


def read(kind: str, config: Mapping[str, Any], quirks: Collection[str], x: Array, scale: Any) -> Array:
    """What a training lookup returns for x float32[d]."""
    with np.errstate(all="ignore"):
        if kind == "fixed_r8":
            return decode(kind, config, encode(kind, config, quirks, x))
        if kind == "one_bit":
            return F(config["amplitude"]) * tanh(F(scale) * x)
    return x.copy()


def scale_at(profile: str, config: Mapping[str, Any], step: int, scale: Any) -> Any:
    """The scale of a one_bit segment at a step."""
    if step % config["step_size"]:
        return scale
    base = madd(profile, F(0.005), np.int64(step).astype(F), F(1))
    root = F(math.pow(D(base), 0.5)) if base >= 0 else F(math.nan)
    with np.errstate(all="ignore"):
        grown = F(config["init_scale"]) * root
    return F(config["max_scale"]) if F(config["max_scale"]) < grown else grown


def backward(profile: str, kind: str, config: Mapping[str, Any], w: Array, g: Array, scale: Any) -> Array:
    """The gradient that the optimizer sees."""
    if kind != "one_bit":
        return g.copy()
    with np.errstate(all="ignore"):
        y = tanh(F(scale) * w)
        slope = fma(-y, y, F(1)) if profile == "avx" else F(1) - y * y
        out: Array = g * ((F(config["amplitude"]) * F(scale)) * slope)
    return out
