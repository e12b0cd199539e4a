"""Initial values of dense variables, from streams of a seed: the same on every rank and platform. Rule:
sync_training 6.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.streams import stream

__all__ = ["KERNEL_TAG", "Constant", "GlorotUniform", "Initializer"]

KERNEL_TAG = 4


@runtime_checkable
class Initializer(Protocol):
    """Gives float32 values of a shape."""

    def values(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Host values, C-contiguous."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Every element ``value`` (rounded to float32)."""

    value: float = 0.0

    def values(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """See :class:`Initializer`."""
        return np.full(shape, np.float32(self.value), np.float32)


@dataclass(frozen=True, slots=True)
class GlorotUniform:
    """Kernel ``layer`` of tower ``tower``: stream (4, tower, layer) of ``seed``, uniform in [-limit, limit).

    limit = float32(sqrt(6 / (fan_in + fan_out))); each value is one product, rounded once.
    """

    seed: int
    tower: int = 0
    layer: int = 0

    def values(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """See :class:`Initializer`; ConfigError unless the shape is [fan_in, fan_out]."""
        if len(shape) != 2:
            raise ConfigError(f"glorot_uniform needs a shape [fan_in, fan_out], not {shape}")
        fan_in, fan_out = shape
        limit = np.float32(np.sqrt(6.0 / (fan_in + fan_out)))
        words = stream(self.seed, KERNEL_TAG, self.tower, self.layer, fan_in * fan_out)
        # 24 random bits scaled to [-1, 1): exact in float32.
        unit = ((words >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0).astype(np.float32)
        return (unit * limit).reshape(shape)
