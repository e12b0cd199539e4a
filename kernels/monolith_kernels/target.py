"""Where kernels run and with which rounding: the one object that the rooms above hold.

``target("cpu")`` and ``target("cuda")`` give the same functions with the same signatures in the same modules (twins).
Arrays that a twin takes or returns live on its side; :meth:`Target.asarray` and :meth:`Target.to_host` move them.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from monolith_kernels.memory import RowStorage, aligned_empty, aligned_zeros

__all__ = ["TWIN_MODULES", "Target", "target"]

TWIN_MODULES = ("lookup", "dedup", "segment", "optimize", "filter", "shard", "quantize", "dense", "pool")


class Target:
    """A place to run kernels (``name``) and a rounding contract (``profile``).

    Attributes
    ----------
    name : str
        ``"cpu"`` or ``"cuda"``.
    profile : str
        ``"ieee"`` (every product and sum rounds) or ``"avx"`` (the fused forms of the original's production build).
    threads : int
        Threads for kernels that split rows; never changes a bit.
    """

    def __init__(self, name: str, profile: str = "ieee", threads: int = 1) -> None:
        if name not in ("cpu", "cuda"):
            raise ValueError(f"target must be 'cpu' or 'cuda', not {name!r}")
        if profile not in ("ieee", "avx"):
            raise ValueError(f"profile must be 'ieee' or 'avx', not {profile!r}")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        self.name: Literal["cpu", "cuda"] = "cpu" if name == "cpu" else "cuda"
        self.profile: Literal["ieee", "avx"] = "ieee" if profile == "ieee" else "avx"
        self.threads = threads

    def __getattr__(self, module: str) -> Any:
        # The twin modules load on first use, so that holding a Target compiles and imports nothing.
        if module not in TWIN_MODULES:
            raise AttributeError(module)
        loaded = importlib.import_module(f"monolith_kernels.{self.name}.{module}")
        setattr(self, module, loaded)
        return loaded

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
        """Uninitialised array on this target, 64-byte aligned."""
        if self.name == "cpu":
            return aligned_empty(shape, dtype)
        return _device().device_array(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Any:
        """Array of zero bytes on this target, 64-byte aligned."""
        if self.name == "cpu":
            return aligned_zeros(shape, dtype)
        return _device().on_device(np.zeros(shape, dtype))

    def storage(self, width: int, dtype: DTypeLike = np.float32, capacity: int = 0) -> RowStorage:
        """Growing rows on this target: ``storage.rows`` is ``[capacity, width]``, zero until written."""
        if self.name == "cpu":
            return RowStorage(width, dtype, capacity)
        storage: RowStorage = importlib.import_module("monolith_kernels.cuda.storage").DeviceRowStorage(
            width, dtype, capacity
        )
        return storage

    def asarray(self, array: NDArray[Any]) -> Any:
        """The host array on this target (the same object on the CPU: no copy)."""
        if self.name == "cpu":
            return array
        return _device().on_device(array)

    def to_host(self, array: Any) -> NDArray[Any]:
        """A target array as a host array (the same object on the CPU: no copy)."""
        if self.name == "cpu" or isinstance(array, np.ndarray):
            return np.asarray(array)
        host: NDArray[Any] = array.copy_to_host()
        return host

    def __repr__(self) -> str:
        return f"Target({self.name!r}, profile={self.profile!r}, threads={self.threads})"


def _device() -> Any:
    return importlib.import_module("monolith_kernels.cuda.launch")


def target(name: str = "cpu", profile: str = "ieee", threads: int = 1) -> Target:
    """The target of that name; see :class:`Target`."""
    return Target(name, profile, threads)
