"""The oracle stands on its own: it shares no arithmetic with the engine, and the engine none with it."""

from __future__ import annotations

import ast
from importlib.resources import files
from pathlib import Path

import pytest

ORACLE = Path(str(files("monolith_conformance") / "oracle"))
ENGINE = Path(str(files("monolith_ref")))
KERNELS = Path(str(files("monolith_kernels")))
ALLOWED = {
    "__future__", "collections", "dataclasses", "fractions", "functools", "itertools", "math", "numpy", "types",
    "typing", "struct", "pathlib", "json", "hashlib", "enum", "decimal", "re",
}  # fmt: skip


def _imported(path: Path) -> set[str]:
    """Modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted(ORACLE.rglob("*.py")), ids=lambda path: path.relative_to(ORACLE).as_posix())
def test_the_oracle_imports_numpy_and_itself(path: Path) -> None:
    for name in _imported(path):
        own = name.startswith("monolith_conformance.oracle") or name == "monolith_conformance"
        # Messages are data, and so are compressed record files; neither is arithmetic under test.
        data = name.startswith("monolith_protos") or name in ("google_crc32c", "cramjam")
        assert own or data or name.split(".")[0] in ALLOWED, f"{path.name} imports {name}"


@pytest.mark.parametrize("room", [ENGINE, KERNELS], ids=lambda room: room.name)
def test_the_rooms_above_never_import_the_suite(room: Path) -> None:
    guilty = [path.name for path in room.rglob("*.py") if any("monolith_conformance" in n for n in _imported(path))]
    assert guilty == []


def test_kernels_import_nothing_of_the_rooms_below() -> None:
    for path in KERNELS.rglob("*.py"):
        assert not any(name.startswith(("monolith_ref", "monolith_protos")) for name in _imported(path)), path.name
