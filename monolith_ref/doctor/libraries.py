"""Python packages, the compiler and its cache."""

from __future__ import annotations

import importlib.util
import os
import re
from importlib.metadata import PackageNotFoundError, requires, version

from monolith_ref.doctor.finding import Finding, Status

__all__ = ["check_kernel_cache", "check_kernels", "check_libraries", "check_optional", "check_protobuf"]

EXPECTED_BITS = [[0xBE18A488, 0xBE18A488], [0xBDAD166C, 0xBDAD166C]]
"""Adagrad from 0 with accumulator 0.1 and rate 0.1: id 5 takes gradient 0.5 twice, one after the other, id 6 once."""

OPTIONAL = {
    "pyarrow": "Parquet files (pip install 'monolith-ref[parquet]')",
    "torch": "the torch backend (pip install 'monolith-ref[torch]')",
    "tensorflow": "the tensorflow backend (pip install 'monolith-ref[tensorflow]')",
}


def check_libraries() -> Finding:
    """The installed versions of what this package requires, against the bounds that it declares."""
    found, wrong = [], []
    for line in requires("monolith-ref") or []:
        match = re.fullmatch(r"([\w.-]+)>=([\d.]+)", line.replace(" ", ""))
        if match is None:
            continue  # belongs to an extra
        name, bound = match.groups()
        try:
            installed = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        found.append(f"{name} {installed}")
        if _numbers(installed) < _numbers(bound):
            wrong.append(f"{name} {installed} is older than {bound}")
    if wrong:
        return Finding("libraries", Status.PROBLEM, "; ".join(wrong), "pip install --upgrade monolith-ref")
    return Finding("libraries", Status.OK, ", ".join(found))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def check_protobuf() -> Finding:
    """Which implementation of protobuf reads our files: the pure-Python one is right, and slow."""
    from google.protobuf.internal import api_implementation

    kind = api_implementation.Type()
    found = f"protobuf {version('protobuf')}, implementation {kind}"
    if kind == "python":
        forced = os.environ.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION")
        remedy = "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION" if forced else "install a binary wheel of protobuf"
        return Finding("protobuf runtime", Status.NOTE, f"{found}: dumps are read about ten times slower", remedy)
    return Finding("protobuf runtime", Status.OK, found)


def check_kernel_cache() -> Finding:
    """Whether compiled kernels are kept, and where."""
    from monolith_kernels.jit import cache_directory, cache_root

    place = cache_directory()
    if not place.is_relative_to(cache_root()):
        remedy = "make it writable, or set MONOLITH_REF_CACHE_DIR to a directory that is"
        return Finding(
            "kernel cache", Status.PROBLEM, f"{cache_root()} is not writable; using {place} meanwhile", remedy
        )
    size = sum(file.stat().st_size for file in cache_root().rglob("*") if file.is_file())
    return Finding("kernel cache", Status.OK, f"{cache_root()}, {size / 2**20:.0f} MiB")


def check_kernels() -> Finding:
    """Compile (or load) a few kernels through a table, use them, and look at the bits."""
    import numpy as np

    from monolith_ref import test_hash_table

    table = test_hash_table(2, use_adagrad=True, learning_rate=0.1)
    table = table.apply_gradients(np.array([5, 6, 5], np.int64), np.full((3, 2), 0.5, np.float32), global_step=0)
    bits = table.lookup(np.array([5, 6], np.int64)).view(np.uint32).tolist()
    if bits != EXPECTED_BITS:
        remedy = "the compiler made other code than it should: please report the version of Numba and the processor"
        return Finding("kernels", Status.PROBLEM, f"an update gives {bits}, not {EXPECTED_BITS}", remedy)
    return Finding("kernels", Status.OK, "compiled, run, and right to the bit")


def check_optional() -> Finding:
    """Packages that only some features need."""
    absent = [f"{name}: {use}" for name, use in OPTIONAL.items() if importlib.util.find_spec(name) is None]
    present = [name for name in OPTIONAL if importlib.util.find_spec(name) is not None]
    found = f"installed: {', '.join(present) or 'none'}"
    if absent:
        return Finding("optional packages", Status.NOTE, found, "only if you need it: " + "; ".join(absent))
    return Finding("optional packages", Status.OK, found)
