"""The conformance suite: oracle, backends, cases, golden vectors, comparison, reports.

Public names are imported on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS: dict[str, str] = {
    "Backend": "monolith_conformance.backend",
    "DirectBackend": "monolith_conformance.backend",
    "Missing": "monolith_conformance.backend",
    "Reference": "monolith_conformance.parity",
    "RunSummary": "monolith_conformance.outcome",
    "assert_parity": "monolith_conformance.parity",
    "assert_same_dump": "monolith_conformance.parity",
    "run_conformance": "monolith_conformance.api",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
