"""Memory that outlives a step: named arrays that only ever grow."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_kernels.target import Target
from numpy.typing import DTypeLike, NDArray

__all__ = ["Buffers"]

GROWTH = 1.25
"""Slack of a buffer that had to grow: batches vary a little in size from step to step."""


class Buffers:
    """1-D arrays by name, on the host and on a target; contents are not kept from one request to the next."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._host: dict[str, NDArray[Any]] = {}
        self._device: dict[str, Any] = {}

    def host(self, name: str, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """The first ``count`` elements of the host array ``name``, uninitialised."""
        held = self._host.get(name)
        if held is None or len(held) < count or held.dtype != dtype:
            held = self._host[name] = np.empty(_grown(count), dtype)
        return held[:count]

    def target(self, name: str, count: int, dtype: DTypeLike) -> Any:
        """The same on the target (on the CPU: the host array)."""
        if self._target.name == "cpu":
            return self.host(name, count, dtype)
        held = self._device.get(name)
        if held is None or held.shape[0] < count or held.dtype != dtype:
            held = self._device[name] = self._target.empty(_grown(count), dtype)
        return held[:count]

    def nbytes(self) -> int:
        """Bytes held."""
        return sum(int(array.nbytes) for array in (*self._host.values(), *self._device.values()))


def _grown(count: int) -> int:
    return max(16, int(count * GROWTH))
