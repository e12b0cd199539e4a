"""What a run depends on outside of the rules: checked first, because a run on such ground judges nothing."""

from __future__ import annotations

import platform
import sys

import google.protobuf
import numpy as np

__all__ = ["environment_problems", "environment_versions"]


def environment_problems() -> list[str]:
    """Why results of this process would be void: flushed subnormals, another rounding mode, big-endian floats."""
    problems = []
    smallest = np.array([np.float32(1.0) * np.float32(2.0**-126)], np.float32)
    if not (smallest * np.float32(0.5))[0] > 0 or not float(np.float64(2.0**-1022)) * 0.5 > 0:
        problems.append("subnormal numbers are flushed to zero in this process (an imported package may have done it)")
    one, tiny = np.float32(1.0), np.float32(2.0**-25)
    if one + tiny != one or -one - tiny != -one or one + np.float32(3.0) * tiny != np.nextafter(one, np.float32(2)):
        problems.append("float32 additions are not rounded to nearest even")
    a = np.array([np.float32(1 + 2.0**-12)] * 8, np.float32)
    c = np.array([-np.float32(1 + 2.0**-11)] * 8, np.float32)
    if np.any(a * a + c != 0):
        problems.append("NumPy contracts a product and a sum into one rounding")
    if sys.byteorder != "little":
        problems.append("this suite has only been run on little-endian machines")
    return problems


def environment_versions() -> dict[str, str]:
    """Versions and machine, for the report."""
    return {
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "protobuf": google.protobuf.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "C library": " ".join(platform.libc_ver()),
    }
