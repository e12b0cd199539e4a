"""Rows that were read whole and checked, on their way into a table: nothing changes before everything is known good."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.rows import Decoded
from monolith_ref.checkpoint.tables import duplicates
from monolith_ref.table.store import RowDump, RowStore

__all__ = ["LoadedTable"]


@dataclass
class LoadedTable:
    """The rows of one table out of a set.

    Attributes
    ----------
    parts : list of (RowDump, int64[n] or None)
        Rows in the order of files and records, and how many weights each really had where some had fewer.
    max_ts : int or None
        What the table's maximum time becomes: the manifest's; None for a foreign set, whose rows tell it.
    learning_rates, one_bit_scale
        The manifest's.
    """

    parts: list[tuple[RowDump, NDArray[np.int64] | None]] = field(default_factory=list)
    max_ts: int | None = None
    learning_rates: tuple[str, ...] = ()
    one_bit_scale: tuple[int, ...] = ()

    def __len__(self) -> int:
        return sum(len(rows) for rows, _widths in self.parts)

    def add(self, decoded: Decoded) -> None:
        """Keep the rows of a batch."""
        rows, found = decoded.rows, decoded.found
        if len(rows):
            self.parts.append((rows, found if (found < decoded.shape.dim).any() else None))

    def ids(self) -> NDArray[np.int64]:
        """All ids, in order."""
        parts = [rows.ids for rows, _widths in self.parts]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def check_distinct(self, path: Path, table: str) -> None:
        """CheckpointError (``duplicate_id``) where an id occurs twice, which a set of ours never does."""
        twice = duplicates(self.ids())
        if len(twice):
            raise damage("duplicate_id", f"table {table}: id {twice[0]} stands twice ({len(twice)} such ids)", path)

    def put_into(self, store: RowStore) -> None:
        """Write the rows into a table (later duplicates win) and forget them here, part by part."""
        parts, self.parts = self.parts[::-1], []
        while parts:
            rows, widths = parts.pop()
            store.import_(rows, widths)
