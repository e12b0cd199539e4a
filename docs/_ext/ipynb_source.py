"""Notebooks as pages: cells become MyST text, outputs text below their cell. Needs no notebook software."""

from __future__ import annotations

import json
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx

__all__ = ["setup"]


def _fenced(language: str, text: str) -> str:
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}\n"


def _output(output: dict[str, Any]) -> str:
    text = output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
    return ":::{div} nb-output\n" + _fenced("text", "".join(text)) + ":::\n"


def as_myst(notebook: dict[str, Any]) -> str:
    """The notebook as one MyST page."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source + "\n")
        else:
            parts.append(_fenced("python", source))
            parts += [_output(output) for output in cell["outputs"]]
    return "\n".join(parts)


class NotebookParser(MystParser):
    """Reads a notebook as if it were the page that :func:`as_myst` makes of it."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        super().parse(as_myst(json.loads(inputstring)), document)


def setup(app: Sphinx) -> dict[str, bool]:
    """Entry point of the extension."""
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
