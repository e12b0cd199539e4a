"""Warnings of the recorder, by kind."""

from __future__ import annotations

import warnings

__all__ = ["DumpWarning", "warn"]


class DumpWarning(UserWarning):
    """Something was recorded differently from what a reader would expect; ``kind`` names the case (model_dump 7)."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


def warn(kind: str, text: str, *, stacklevel: int = 3) -> None:
    """Give a warning at the caller's caller."""
    warnings.warn(DumpWarning(text, kind), stacklevel=stacklevel)
