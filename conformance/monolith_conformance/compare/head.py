"""The engine's dense layers by the names that digests and comparisons use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EngineHead"]

F32 = NDArray[np.float32]


class EngineHead:
    """Layer ``number`` of the engine: host arrays of kernel, bias and their accumulators."""

    def __init__(self, number: int, variables: Any, slots: Any) -> None:
        self.kernel: F32 = variables[f"dense_{number}/kernel"]
        self.bias: F32 = variables[f"dense_{number}/bias"]
        self.kernel_accumulator: F32 = slots[f"dense_{number}/kernel"]["accumulator"]
        self.bias_accumulator: F32 = slots[f"dense_{number}/bias"]["accumulator"]

    @classmethod
    def layers(cls, engine: Any) -> list[EngineHead]:
        """All layers of the engine, in order; the variables are read once."""
        variables, slots = engine.variables, engine.slots
        count = sum(name.endswith("/kernel") for name in variables)
        return [cls(number, variables, slots) for number in range(count)]
