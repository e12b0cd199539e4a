"""Which of the wanted targets can run here, and why others cannot. Rule: job 2, issue of the comparison 3."""

from __future__ import annotations

import os
from pathlib import Path

from monolith_kernels.target import Target, target

__all__ = ["SIMULATOR_BATCH", "SIMULATOR_STEPS", "available_target", "choose_simulator"]

SIMULATOR_BATCH, SIMULATOR_STEPS = 16, 5
"""The simulator interprets every thread in Python: larger runs would take hours."""

SIMULATOR = "NUMBA_ENABLE_CUDASIM"


def choose_simulator(batch_size: int, steps: int) -> None:
    """Switch to the simulator for a small run on a machine without a device; before anything imports numba.cuda."""
    small = batch_size <= SIMULATOR_BATCH and steps <= SIMULATOR_STEPS
    if SIMULATOR not in os.environ and small and not _has_device_files():
        os.environ[SIMULATOR] = "1"
        from numba import config

        config.reload_config()


def _has_device_files() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


def available_target(name: str, threads: int, batch_size: int, steps: int) -> tuple[Target | None, str]:
    """(the target, "") or (None, why it is skipped)."""
    if name == "cpu":
        return target("cpu", threads=threads), ""
    try:
        from numba import config, cuda
    except ImportError as error:
        return None, f"numba-cuda is not usable ({error})"
    if config.ENABLE_CUDASIM:
        if batch_size > SIMULATOR_BATCH or steps > SIMULATOR_STEPS:
            return None, (
                f"only the simulator is here, and it runs up to {SIMULATOR_BATCH} rows and {SIMULATOR_STEPS} steps "
                "(--batch-size 4 --steps 2)"
            )
        return target("cuda", threads=threads), ""
    try:
        usable = bool(cuda.is_available())
    except Exception as error:  # the driver's own errors differ from version to version
        return None, f"the CUDA driver is not usable ({error})"
    if not usable:
        return None, "no CUDA device; the simulator takes --batch-size 4 --steps 2"
    return target("cuda", threads=threads), ""
