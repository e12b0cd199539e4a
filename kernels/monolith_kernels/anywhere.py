"""Functions that are the same in Python, in CPU kernels and in CUDA kernels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from monolith_kernels.prim import both

__all__ = ["anywhere"]

F = TypeVar("F", bound=Callable[..., Any])


def anywhere(function: F) -> F:
    """Let kernels of both targets call a plain scalar function (one that needs no machine form of its own)."""

    def form(*arguments: Any) -> Any:
        return function

    form.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    both(function)(form)
    return function
