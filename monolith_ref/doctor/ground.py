"""The machine itself: interpreter, floating point, disk and memory."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from monolith_ref.doctor.finding import Finding, Status

__all__ = ["check_arithmetic", "check_disk", "check_memory", "check_python"]

OLDEST_PYTHON = (3, 11)
COMFORTABLE_DISK = 2 << 30
COMFORTABLE_MEMORY = 4 << 30


def check_python() -> Finding:
    """The interpreter's version and whether it is a build that the kernels can run under."""
    found = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding("Python", Status.PROBLEM, found, f"install Python {oldest} or newer")
    if platform.python_implementation() != "CPython":
        return Finding("Python", Status.PROBLEM, found, "use CPython: Numba compiles for it only")
    if platform.system() != "Linux":
        return Finding("Python", Status.NOTE, found, "only Linux is tested; what is right there should be right here")
    return Finding("Python", Status.OK, found)


def check_arithmetic() -> Finding:
    """Subnormal numbers, rounding and byte order, as every bit of a result depends on them."""
    wrong = []
    if not np.float32(2.0**-126) * np.float32(0.5) > 0:
        wrong.append("subnormal numbers are flushed to zero")
    one, tiny = np.float32(1.0), np.float32(2.0**-25)
    if one + tiny != one or one + np.float32(3.0) * tiny != np.nextafter(one, np.float32(2.0)):
        wrong.append("additions are not rounded to nearest even")
    if sys.byteorder != "little":
        wrong.append("floats are big-endian")
    if wrong:
        remedy = (
            "find the package that changes the floating-point mode at import (built with -ffast-math) and do without"
        )
        return Finding("arithmetic", Status.PROBLEM, "; ".join(wrong), remedy)
    return Finding("arithmetic", Status.OK, "IEEE float32, nearest even, subnormals kept, little-endian")


def check_disk() -> Finding:
    """Room for reports, checkpoints and temporary files."""
    places = {"here": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    free = {name: shutil.disk_usage(path).free for name, path in places.items()}
    found = ", ".join(f"{name} {size / 2**30:.1f} GiB free" for name, size in free.items())
    for name, path in places.items():
        if not os.access(path, os.W_OK):
            return Finding(
                "disk",
                Status.PROBLEM,
                f"{path} ({name}) is not writable",
                "run from a writable directory, or set TMPDIR",
            )
    if min(free.values()) < COMFORTABLE_DISK:
        return Finding(
            "disk", Status.NOTE, found, "checkpoints and reports may not fit: free some space, or set TMPDIR"
        )
    return Finding("disk", Status.OK, found)


def check_memory() -> Finding:
    """Memory that is free now, and processors that this process may use."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    table = Path("/proc/meminfo")
    if table.exists():
        lines = dict(line.split(":", 1) for line in table.read_text().splitlines())
        available = int(lines["MemAvailable"].split()[0]) * 1024
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = f"{available / 2**30:.1f} GiB available, {cores} processor{'s' if cores > 1 else ''}"
    if available < COMFORTABLE_MEMORY:
        return Finding(
            "memory", Status.NOTE, found, "the comparison needs about 1 GiB a rank: use fewer ranks or '--batch-size'"
        )
    return Finding("memory", Status.OK, found)
