"""Columns of cells as readers give them, and where each row came from."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from monolith_ref.errors import ConfigError, FormatError

__all__ = ["Cell", "Table", "missing_column"]

Scalar: TypeAlias = str | int | float
Cell: TypeAlias = Scalar | list[Scalar] | None
"""One cell: text, a number, several of them, or nothing."""


@dataclass
class Table:
    """Cells by column, rows of all files one after the other.

    Attributes
    ----------
    columns : dict of name to list of Cell
    files : list of (path, number of its first row)
    rows : int
    """

    names: Sequence[str]
    columns: dict[str, list[Cell]] = field(default_factory=dict)
    files: list[tuple[str, int]] = field(default_factory=list)
    rows: int = 0

    def __post_init__(self) -> None:
        self.columns = {name: [] for name in self.names}

    def begin_file(self, path: str) -> None:
        """Rows that follow come from ``path``."""
        self.files.append((path, self.rows))

    def append_columns(self, columns: Sequence[Iterable[Cell]], rows: int) -> None:
        """Add ``rows`` rows, given column by column in the order of ``names``."""
        for name, cells in zip(self.names, columns, strict=True):
            self.columns[name].extend(cells)
        self.rows += rows

    def part(self, low: int, high: int) -> Table:
        """Rows ``low`` to ``high``, which know where they came from (cells are shared)."""
        made = Table(self.names, files=[(path, first - low) for path, first in self.files], rows=high - low)
        made.columns = {name: cells[low:high] for name, cells in self.columns.items()}
        return made

    def fault(self, row: int, column: str, message: str) -> FormatError:
        """The error of a cell: file, record and column are named."""
        number = bisect.bisect_right([first for _, first in self.files], row) - 1
        path, first = self.files[number]
        return FormatError(f"column {column!r}: {message}", path=path, record=row - first)


def missing_column(path: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error of a map that names a column which a file does not have."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"; the nearest one is {near[0]!r}" if near else ""
    return ConfigError(f"{path}: there is no column {name!r}{hint}")
