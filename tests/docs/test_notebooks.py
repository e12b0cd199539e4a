"""The notebooks run, and print what is stored in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.notebooks import NOTEBOOKS, read_notebook, stored
from tests.docs.running import missing

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="the documentation is not part of an installed package")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path: Path) -> None:
    notebook = read_notebook(path)
    for reason in filter(None, map(missing, notebook.needs)):
        pytest.skip(reason)
    printed = notebook.run()
    for number, (cell, text) in enumerate(zip(notebook.cells, printed, strict=True), 1):
        if not cell["metadata"].get("varies"):
            assert text == stored(cell), f"cell {number}; run: python -m tests.docs.notebooks"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_been_run(path: Path) -> None:
    notebook = read_notebook(path)
    assert [cell["execution_count"] for cell in notebook.cells] == list(range(1, len(notebook.cells) + 1))
    assert any(stored(cell) for cell in notebook.cells)
