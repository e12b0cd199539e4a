"""Notebooks without notebook software: their cells are run in order, and what they print is compared or stored.

``python -m tests.docs.notebooks`` runs every notebook and stores what its cells print. A notebook may name what it
needs in its metadata (``"needs": ["torch"]``); the output of a cell whose metadata says ``"varies": true`` is not
compared.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.docs.pages import DOCS
from tests.docs.running import missing

__all__ = ["NOTEBOOKS", "Notebook", "read_notebook"]

NOTEBOOKS = sorted(DOCS.glob("notebooks/*.ipynb"))


@dataclass
class Notebook:
    """A notebook file as its JSON."""

    path: Path
    content: dict[str, Any]

    @property
    def needs(self) -> list[str]:
        """Modules without which it cannot run."""
        return list(self.content["metadata"].get("needs", []))

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The cells with code."""
        return [cell for cell in self.content["cells"] if cell["cell_type"] == "code"]

    def run(self) -> list[str]:
        """What each cell prints; the working folder is a fresh one."""
        names: dict[str, Any] = {"__name__": "__main__"}
        printed: list[str] = []
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            for number, cell in enumerate(self.cells, 1):
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile("".join(cell["source"]), f"{self.path.name}, cell {number}", "exec"), names)
                printed.append(out.getvalue())
        return printed

    def store(self, printed: list[str]) -> None:
        """Write the file with these outputs."""
        for number, (cell, text) in enumerate(zip(self.cells, printed, strict=True), 1):
            stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
            cell["outputs"] = [stream] if text else []
            cell["execution_count"] = number
        self.path.write_text(json.dumps(self.content, indent=1, ensure_ascii=False) + "\n")


def read_notebook(path: Path) -> Notebook:
    """The notebook at ``path``."""
    return Notebook(path, json.loads(path.read_text()))


def stored(cell: dict[str, Any]) -> str:
    """What the file says that a cell prints."""
    return "".join("".join(output["text"]) for output in cell["outputs"])


if __name__ == "__main__":
    for path in NOTEBOOKS:
        notebook = read_notebook(path)
        absent = [reason for need in notebook.needs if (reason := missing(need))]
        print(os.fspath(path.name), absent or "stored")
        if not absent:
            notebook.store(notebook.run())
