"""Checks of single values of configuration objects. Rule: entry 7."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from monolith_ref.errors import ConfigError

__all__ = ["Kind", "checked_number", "refused"]

Kind = Literal["float", "int32", "int64", "uint64", "bool"]
_INT_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "int64": (-(1 << 63), (1 << 63) - 1), "uint64": (0, (1 << 64) - 1)}
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def refused(owner: str, argument: str, value: object, expected: str) -> ConfigError:
    """The error for a value that class ``owner`` does not take."""
    return ConfigError(f"{owner}: {argument} must be {expected}, got {value!r}")


def checked_number(owner: str, argument: str, value: Any, kind: Kind) -> float | int | bool:
    """``value`` as the Python number that a field of ``kind`` takes; ConfigError for anything else.

    NumPy scalars count as numbers. Bools are no numbers, 0 and 1 are bools, floats are no ints, and a float has to be
    finite as float32.
    """
    is_bool = isinstance(value, (bool, np.bool_))
    is_int = isinstance(value, (int, np.integer)) and not is_bool
    if kind == "bool":
        if is_bool or (is_int and value in (0, 1)):
            return bool(value)
        raise refused(owner, argument, value, "a bool (or 0 or 1)")
    if kind == "float":
        if not is_int and not isinstance(value, (float, np.floating)):
            raise refused(owner, argument, value, "a finite float32 number")
        if is_int:
            representable = abs(int(value)) <= _FLOAT32_MAX
        else:
            with np.errstate(over="ignore"):
                representable = math.isfinite(np.float32(value))
        if not representable:
            raise refused(owner, argument, value, "a finite float32 number")
        return float(value)
    low, high = _INT_RANGES[kind]
    if not is_int or not low <= int(value) <= high:
        raise refused(owner, argument, value, f"an integer in {low}..{high}")
    return int(value)
