"""Where the arrays of rows live: on the host they grow in place, on a device they are copied to a larger array."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_kernels.memory import Buffer, RowStorage
from monolith_kernels.target import Target

__all__ = ["Scratch", "make_storage"]


def make_storage(target: Target, width: int) -> RowStorage:
    """Storage for float32 rows of ``width`` on a target."""
    if target.name == "cpu":
        return RowStorage(width)
    from monolith_kernels.cuda.storage import DeviceRowStorage

    return DeviceRowStorage(width)


class Scratch:
    """A reused array on a target: ``take(n)`` gives n elements with whatever the last user left there."""

    def __init__(self, target: Target, dtype: Any) -> None:
        self._target = target
        self._host = Buffer(dtype) if target.name == "cpu" else None
        self._dtype = np.dtype(dtype)
        self._device: Any = None

    def take(self, size: int) -> Any:
        """The first ``size`` elements, valid until the next call."""
        if self._host is not None:
            return self._host.take(size)
        if self._device is None or len(self._device) < size:
            self._device = self._target.empty(max(size * 3 // 2, 64), self._dtype)
        return self._device[:size]
