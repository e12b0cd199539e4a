"""Bit-exact reference of ByteDance Monolith's embedding training.

Public names are imported on first use, so that ``import monolith_ref`` costs next to nothing: it loads neither Numba
nor mpi4py, compiles nothing and reads no settings.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "2026.11.0"

_EXPORTS: dict[str, str] = {
    "MonolithRefError": "monolith_ref.errors",
    "errors": "",
    "model_dump": "",
}
"""Public name → module that defines it (empty: the name is a sub-package or module)."""

__all__ = sorted(["__version__", *_EXPORTS])


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'monolith_ref' has no attribute {name!r}")
    home = _EXPORTS[name]
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"monolith_ref.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
