"""Runs the checks in the order in which things depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from monolith_ref.doctor.accelerator import check_cuda
from monolith_ref.doctor.finding import Finding, Status
from monolith_ref.doctor.ground import check_arithmetic, check_disk, check_memory, check_python
from monolith_ref.doctor.libraries import (
    check_kernel_cache,
    check_kernels,
    check_libraries,
    check_optional,
    check_protobuf,
)
from monolith_ref.doctor.ranks import check_launcher, check_mpi_library, check_two_ranks

__all__ = ["CHECKS", "examine"]

CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": check_python,
    "arithmetic": check_arithmetic,
    "libraries": check_libraries,
    "protobuf runtime": check_protobuf,
    "kernel cache": check_kernel_cache,
    "kernels": check_kernels,
    "MPI library": check_mpi_library,
    "MPI launcher": check_launcher,
    "two ranks": check_two_ranks,
    "CUDA": check_cuda,
    "disk": check_disk,
    "memory": check_memory,
    "optional packages": check_optional,
}
"""Name of a check → the check; none of them changes anything but the kernel cache."""


def examine() -> Iterator[Finding]:
    """Run every check, one finding each as it is made; a check that breaks down is a problem found, not an error."""
    for name, check in CHECKS.items():
        try:
            yield check()
        except Exception as error:
            yield Finding(
                name, Status.PROBLEM, f"the check failed: {type(error).__name__}: {error}", "please report this"
            )
