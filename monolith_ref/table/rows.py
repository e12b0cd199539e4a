"""Where the arrays of rows live: on the host they grow in place, on a device they are copied to a larger array."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_kernels.memory import Buffer, RowStorage
from monolith_kernels.target import Target

__all__ = ["Growing", "Scratch", "make_storage"]


class Growing:
    """Rows on a device: ``rows`` float32 ``[capacity, width]``, copied to twice the size when it must grow."""

    def __init__(self, target: Target, width: int) -> None:
        self._target = target
        self.width = width
        self.rows: Any = target.asarray(np.zeros((1, width), np.float32))

    @property
    def capacity(self) -> int:
        """Rows that may be used now."""
        return int(self.rows.shape[0])

    def ensure(self, count: int) -> None:
        """Make at least ``count`` rows usable; existing rows keep their content."""
        if count <= self.capacity:
            return
        before = self.capacity
        grown = self._target.asarray(np.zeros((max(count, 2 * before, 256), self.width), np.float32))
        grown[:before].copy_to_device(self.rows)
        self.rows = grown


def make_storage(target: Target, width: int) -> RowStorage | Growing:
    """Storage for float32 rows of ``width`` on a target."""
    return RowStorage(width) if target.name == "cpu" else Growing(target, width)


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
