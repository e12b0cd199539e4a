"""The one place where CUDA kernels are decorated and launched.

``@cuda_kernel`` keeps a module-level function and compiles it lazily, cached on disk beside the CPU kernels. Under
``NUMBA_ENABLE_CUDASIM=1`` (set before numba is imported) the same functions run in the simulator, on small blocks:
every simulated thread is a Python thread.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import config, cuda

from monolith_kernels.prim import register_for_cuda

__all__ = ["KERNELS", "SIMULATED", "CudaKernel", "cuda_kernel", "device_array", "on_device", "row_blocks", "to_host"]

SIMULATED = bool(config.ENABLE_CUDASIM)
"""Whether kernels run in the simulator."""

THREADS = 8 if SIMULATED else 256
"""Threads of a block."""


class CudaKernel:
    """A CUDA kernel: a plain function, compiled when first launched. ``function`` is the undecorated one."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._compiled: Any = None
        KERNELS.append(self)

    @property
    def compiled(self) -> Any:
        """The dispatcher."""
        if self._compiled is None:
            register_for_cuda()
            self._compiled = cuda.jit(self.function) if SIMULATED else cuda.jit(self.function, fastmath=False)
        return self._compiled

    def launch(self, grid: Any, block: Any, *args: Any) -> None:
        """Run on a grid of blocks; an empty grid does nothing."""
        if np.prod(grid) == 0:
            return
        with _quiet():
            self.compiled[grid, block](*args)

    def per_item(self, count: int, *args: Any) -> None:
        """Run with one thread for each of ``count`` items (the kernel compares ``cuda.grid(1)`` with its count)."""
        self.launch(-(-count // THREADS), THREADS, *args)


KERNELS: list[CudaKernel] = []
"""Every CUDA kernel of the modules imported so far."""


def cuda_kernel(function: Callable[..., None]) -> CudaKernel:
    """Decorate a module-level CUDA kernel."""
    return CudaKernel(function)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Simulated threads compute with NumPy scalars, which warn about overflows and NaNs, normal in float32 code;
    # error states do not reach other threads, warning filters do.
    if not SIMULATED:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def row_blocks(n: int, dim: int) -> tuple[int, tuple[int, int]]:
    """Grid and block ``(lanes, rows)`` for n rows of dim elements: a row never straddles blocks."""
    lanes = 1
    while lanes < min(dim, THREADS // 2):
        lanes *= 2
    rows = min(THREADS // lanes, max(n, 1)) if SIMULATED else THREADS // lanes
    return -(-n // rows), (lanes, rows)


def device_array(shape: int | tuple[int, ...], dtype: Any) -> Any:
    """An uninitialised array on the device."""
    return cuda.device_array(shape, dtype)


def on_device(array: Any) -> Any:
    """The array on the device: itself if it lives there, else a copy."""
    return cuda.to_device(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array


def to_host(array: Any) -> Any:
    """The array on the host: itself if it lives there, else a copy."""
    return array if isinstance(array, np.ndarray) else array.copy_to_host()
