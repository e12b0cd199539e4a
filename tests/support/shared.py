"""Find the optional folder of shared specifications and vectors; users do not have it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_path(relative: str) -> Path:
    """A file or folder of the shared vectors, or a skip with the reason where they are absent."""
    root = Path(os.environ.get("MONOLITH_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    path = root / relative
    if not path.exists():
        pytest.skip(f"the shared vectors are not beside this checkout ({relative})")
    return path
