"""The blocks of a Markdown page, and what the comment above a block asks for.

Fences of ``python`` and ``console`` are run. Python blocks of a page share their names and a folder; a ``text`` fence
that follows one is what it prints. Lines of a console block that begin with ``$`` are commands, the lines below a
command are what it prints. ``...`` stands for anything. Comments above a fence change this:

* ``<!-- skip: why -->``: never run;
* ``<!-- needs: torch, mpi -->``: run in a test of its own, which is skipped where that is absent;
* ``<!-- exit: 1 -->``: the exit code of the block's last command;
* ``<!-- file: NAME -->``: the fence's text is written to that file first, of whatever language it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import monolith_ref

__all__ = ["DOCS", "ROOT", "Block", "Page", "pages"]

ROOT = Path(monolith_ref.__file__).parents[1]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w{}+-]*)[^\n`]*$")
_COMMENT = re.compile(r"^ *<!-- *(?P<key>skip|needs|exit|file): *(?P<value>.*?) *-->$")


@dataclass
class Block:
    """One fence: its language, text, first line in the page (from 1) and comments."""

    language: str
    text: str
    line: int
    asks: dict[str, str] = field(default_factory=dict)
    output: str | None = None

    @property
    def needs(self) -> frozenset[str]:
        """What must be there for the block to run."""
        return frozenset(re.split(r"[ ,]+", self.asks["needs"])) if "needs" in self.asks else frozenset()

    @property
    def runs(self) -> bool:
        """Whether the block is code that some test runs."""
        return self.language in ("python", "console") and "skip" not in self.asks


@dataclass
class Page:
    """A Markdown file and its fences."""

    path: Path
    blocks: list[Block]

    @property
    def name(self) -> str:
        """Path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()


def read_page(path: Path) -> Page:
    """Parse one file."""
    return Page(path, list(_blocks(path.read_text().splitlines())))


def pages() -> list[Page]:
    """The README and every page of the documentation; none where there is no checkout."""
    if not DOCS.is_dir():
        return []
    return [read_page(path) for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))]


def _blocks(lines: list[str]) -> Iterator[Block]:
    asks: dict[str, str] = {}
    before: Block | None = None
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if comment := _COMMENT.match(line):
            asks[comment["key"]] = comment["value"]
        elif fence := _FENCE.match(line):
            first = number + 1
            text: list[str] = []
            while number < len(lines) and lines[number].strip() != fence["ticks"]:
                text.append(lines[number].removeprefix(fence["indent"]))
                number += 1
            number += 1
            block = Block(fence["language"], "".join(f"{row}\n" for row in text), first, asks)
            if block.language == "text" and before is not None and not asks:
                before.output = block.text
            before = block if block.language == "python" and block.runs else None
            asks = {}
            yield block
        elif line.strip():
            asks = {}
            before = None
