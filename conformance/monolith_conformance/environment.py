"""What a run depends on outside of the rules: checked first, because a run on such ground judges nothing."""

from __future__ import annotations

import platform
import sys
from typing import Any

import google.protobuf
import numpy as np

__all__ = ["environment_problems", "environment_versions"]

F = np.float32


def environment_problems() -> list[str]:
    """Why results of this process would be void: flushed subnormals, another rounding mode, big-endian floats."""
    problems = []
    if not all(value > 0 for value in _smallest_halved()):
        problems.append("subnormal numbers are flushed to zero in this process (an imported package may have done it)")
    if any(total != expected for total, expected in zip(_sums(), _nearest_sums(), strict=False)):
        problems.append("additions are not rounded to nearest even")
    if np.any(_products() != 0):
        problems.append("NumPy contracts a product and a sum into one rounding")
    if _byte_order() != "little":
        problems.append("this suite has only been run on little-endian machines")
    return problems


def _smallest_halved() -> list[Any]:
    """Half of the smallest normal numbers, float32 and double: by arrays, which run in wide registers, and alone."""
    smallest = np.array([F(2.0**-126)] * 9, F)
    return [*(smallest * F(0.5)), F(2.0**-126) * F(0.5), float(np.float64(2.0**-1022)) * 0.5]


def _sums() -> list[Any]:
    """Sums that each rounding mode gives in its own way: up, down and towards zero differ from the nearest."""
    one, tiny, double = F(1), F(2.0**-25), np.float64(1)
    return [one + tiny, -one - tiny, one + F(3) * tiny, -one - F(3) * tiny, double + 2.0**-54, double + 3 * 2.0**-54]


def _nearest_sums() -> list[Any]:
    one, two = F(1), F(2)
    return [one, -one, np.nextafter(one, two), -np.nextafter(one, two), 1.0, np.nextafter(1.0, 2.0)]


def _products() -> Any:
    """a*a + c, zero where the product is rounded by itself: in short arrays and in long ones."""
    a = np.full(64, F(1 + 2.0**-12))
    c = np.full(64, -F(1 + 2.0**-11))
    return np.concatenate([a * a + c, a[:1] * a[:1] + c[:1]])


def _byte_order() -> str:
    return sys.byteorder


def environment_versions() -> dict[str, str]:
    """Versions and machine, for the report."""
    return {
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "protobuf": google.protobuf.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "C library": " ".join(platform.libc_ver()),
    }
