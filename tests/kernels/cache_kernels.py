"""Two small kernels for the tests of the cache."""

from __future__ import annotations

from typing import Any

from monolith_kernels.jit import kernel


@kernel
def add_one(value: Any) -> Any:
    return value + 1


@kernel
def total(values: Any) -> Any:
    result = values.dtype.type(0) * 0.0
    for value in values:
        result += add_one(value)
    return result
