"""Rows that were read whole and checked, on their way into a table: nothing changes before everything is known good."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from monolith_kernels.target import target
from monolith_protos import hash_table_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.rows import Decoded
from monolith_ref.checkpoint.shape import RowShape, whole_columns
from monolith_ref.checkpoint.tables import duplicates
from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import check_table_config
from monolith_ref.table.row_codec import StagedRows
from monolith_ref.table.store import RowDump, RowStore

__all__ = ["LoadedTable", "make_stage"]


def make_stage(config: bytes, rows: int) -> StagedRows | None:
    """Where some ``rows`` rows of a table of this configuration are read to; None where they must be copied."""
    message = hash_table_pb2.EmbeddingHashTableConfig.FromString(config)
    shape = RowShape.of_config(message)
    if shape.weights_only:
        return None
    with warnings.catch_warnings():
        # The table that takes the rows has warned of its configuration.
        warnings.simplefilter("ignore")
        try:
            layout = row_layout(check_table_config(message, Quirks()), Quirks())
        except (ConfigError, ValueError):
            return None
    columns = whole_columns(layout, shape)
    return None if columns is None else StagedRows(layout, columns, target("cpu"), rows)


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
    stage : StagedRows or None
        Where the rows of ``parts`` lie (they are views then), ready to be taken over.
    """

    parts: list[tuple[RowDump, NDArray[np.int64] | None]] = field(default_factory=list)
    max_ts: int | None = None
    learning_rates: tuple[str, ...] = ()
    one_bit_scale: tuple[int, ...] = ()
    stage: StagedRows | None = None

    def __len__(self) -> int:
        return sum(len(rows) for rows, _widths in self.parts)

    def add(self, decoded: Decoded) -> None:
        """Keep the rows of a batch."""
        rows, found = decoded.rows, decoded.found
        if len(rows):
            short = bool((found < decoded.shape.dim).any())
            self.parts.append((rows, found if short else None))
            if self.stage is not None:
                self.stage.number(rows.ids, rows.update_time)
                # What a short record leaves out, the table it goes to must have.
                self.stage.distinct &= not short

    def ids(self) -> NDArray[np.int64]:
        """All ids, in order."""
        parts = [rows.ids for rows, _widths in self.parts]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def check_distinct(self, path: Path, table: str) -> None:
        """CheckpointError (``duplicate_id``) where an id occurs twice, which a set of ours never does."""
        if self.stage is not None and self.stage.distinct:
            return
        twice = duplicates(self.ids())
        if len(twice):
            raise damage("duplicate_id", f"table {table}: id {twice[0]} stands twice ({len(twice)} such ids)", path)

    def put_into(self, store: RowStore) -> None:
        """Write the rows into a table (later duplicates win) and forget them here, part by part.

        A table that has been cleared takes them over where they lie, if it can.
        """
        parts, self.parts = self.parts[::-1], []
        stage, self.stage = self.stage, None
        if stage is not None and store.take_over(stage):
            return
        while parts:
            rows, widths = parts.pop()
            store.import_(rows, widths)
