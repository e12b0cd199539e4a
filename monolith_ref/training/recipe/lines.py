"""Which line of a TOML text a key stands on: tomllib gives values without places."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["Path", "line_numbers"]

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(
    r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=(.*)$"
)
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")
_QUOTED = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*")


def _parts(text: str) -> Path:
    return tuple(next(part for part in match.groups() if part is not None) for match in _PART.finditer(text))


def _open_brackets(text: str) -> int:
    """Brackets that a line leaves open, texts and comments left out."""
    plain = _QUOTED.sub("", text)
    return plain.count("[") + plain.count("{") - plain.count("]") - plain.count("}")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number from 1, first line) of everything that may be a header or an assignment: lines inside of a value of
    several lines are passed over."""
    depth, fence = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if depth == 0:
            yield number, line
        if depth or _ASSIGNMENT.match(line):
            depth = max(0, depth + _open_brackets(line.split("=", 1)[1] if depth == 0 else line))
        for mark in ('"""', "'''"):
            if line.count(mark) % 2:
                fence = mark


def line_numbers(text: str) -> dict[Path, int]:
    """Line of every table and key of a valid TOML text, by path; elements of arrays of tables are numbered from 0."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    current: Path = ()

    def placed(parts: Path) -> Path:
        """The path of a header, where names of arrays of tables stand for their latest element."""
        path: Path = ()
        for part in parts:
            path = (*path, part)
            if path in counts:
                path = (*path, counts[path] - 1)
        return path

    for number, line in _logical_lines(text):
        header = _HEADER.match(line)
        if header:
            names = _parts(header.group(2))
            if header.group(1) == "[[":
                base = (*placed(names[:-1]), names[-1])
                counts[base] = counts.get(base, 0) + 1
                current = (*base, counts[base] - 1)
                found.setdefault(base, number)
            else:
                current = placed(names)
            found.setdefault(current, number)
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment:
            parts = _parts(assignment.group(1))
            for end in range(1, len(parts) + 1):
                found.setdefault((*current, *parts[:end]), number)
    return found
