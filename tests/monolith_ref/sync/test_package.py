"""The package's public names, and what importing it does not do."""

from __future__ import annotations

import subprocess
import sys

import pytest

import monolith_ref.sync as package


def test_every_public_name_is_there() -> None:
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
    with pytest.raises(AttributeError, match="make_comunicator"):
        package.make_comunicator  # noqa: B018


def test_importing_it_loads_neither_kernels_nor_mpi() -> None:
    loaded = "[m for m in ('numba', 'mpi4py') if m in sys.modules]"
    code = f"import sys, monolith_ref.sync, monolith_ref.training.settings; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
