"""Importing the package is cheap: it loads no heavy library, compiles nothing and reads no settings."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["numba", "mpi4py", "rich", "typer", "matplotlib", "torch", "tensorflow", "google.protobuf", "jinja2"]


def _in_new_process(code: str, **environment: str) -> str:
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_import_loads_no_heavy_library() -> None:
    loaded = _in_new_process(f"import sys, monolith_ref; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded == "[]"


def test_import_reads_no_setting() -> None:
    # An unknown variable is an error for a command, and none of import's business.
    assert _in_new_process("import monolith_ref; print('ok')", MONOLITH_REF_NO_SUCH_KEY="1") == "ok"


def test_every_public_name_resolves() -> None:
    import monolith_ref

    for name in monolith_ref.__all__:
        assert getattr(monolith_ref, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    import monolith_ref

    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = monolith_ref.no_such_thing
