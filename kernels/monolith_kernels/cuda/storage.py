"""Rows that grow on a device. Device memory cannot be reserved without being taken, so growing copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from monolith_kernels.cuda.launch import device_array, on_device
from monolith_kernels.memory import RowStorage

__all__ = ["DeviceRowStorage"]


class DeviceRowStorage(RowStorage):
    """Like :class:`monolith_kernels.memory.RowStorage`, with ``rows`` on the device; a grown one is a new array."""

    def __init__(self, width: int, dtype: DTypeLike = np.float32, capacity: int = 0) -> None:
        self.width = width
        self.dtype = np.dtype(dtype)
        self._whole = None
        self.rows = device_array((0, width), self.dtype)
        self.ensure(capacity)

    @property
    def capacity(self) -> int:
        """Rows that may be used now."""
        return int(self.rows.shape[0])

    def ensure(self, count: int) -> None:
        """Make at least ``count`` rows usable; existing rows keep their content."""
        before = self.capacity
        if count <= before:
            return
        grown = on_device(np.zeros((max(count, before * 2, 1024), self.width), self.dtype))
        if before:
            grown[:before].copy_to_device(self.rows)
        self.rows = grown
