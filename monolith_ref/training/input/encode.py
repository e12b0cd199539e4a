"""From cells to fids and labels. Rule: job 1.

Texts are hashed as they are; integers as their decimal text; floats are refused; an empty cell gives no id. Each
distinct text is hashed once. Columns that are ``plain`` hold the lower bits of ids themselves.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.training.input.cells import Cell, Table
from monolith_ref.training.input.hashing import fids_of_texts
from monolith_ref.training.input.label import Kind, parse_label
from monolith_ref.training.input.mapping import ColumnMap, InputMap

__all__ = ["encode", "encode_times"]

_LARGEST_ID = (1 << 48) - 1


def _texts(table: Table, column: ColumnMap) -> tuple[list[str], NDArray[np.int64]]:
    """All ids of a column as texts, and how many each row has."""
    separator = column.separator
    texts: list[str] = []
    lengths = np.zeros(table.rows, np.int64)
    for row, cell in enumerate(table.columns[column.source]):
        if isinstance(cell, str):
            pieces = [cell] if separator is None else cell.split(separator)
        elif cell is None:
            continue
        else:
            pieces = _typed_texts(table, column, row, cell)
        before = len(texts)
        texts += [piece for piece in pieces if piece]
        lengths[row] = len(texts) - before
    return texts, lengths


def _typed_texts(table: Table, column: ColumnMap, row: int, cell: Cell) -> list[str]:
    pieces: list[str] = []
    for value in cell if isinstance(cell, list) else [cell]:
        if isinstance(value, float):
            raise table.fault(row, column.source, f"a categorical column cannot hold the float {value!r}")
        if isinstance(value, str) and column.separator is not None:
            pieces += value.split(column.separator)
        else:
            pieces.append(str(value))
    return pieces


def _ragged(table: Table, column: ColumnMap) -> Ragged:
    texts, lengths = _texts(table, column)
    distinct = list(dict.fromkeys(texts))

    def row_of(text: Any) -> int:
        return int(np.searchsorted(np.cumsum(lengths), texts.index(text), side="right"))

    if column.plain:
        for text in distinct:
            if not (text.isascii() and text.isdecimal() and int(text) <= _LARGEST_ID):
                raise table.fault(
                    row_of(text), column.source, f"an id must be a whole number in 0..2^48-1, not {text!r}"
                )
        fids = np.array([int(text) | column.slot << 48 for text in distinct], np.int64)
    else:
        try:
            fids = fids_of_texts(distinct, column.slot)
        except UnicodeEncodeError as error:
            raise table.fault(row_of(error.object), column.source, "the text has no UTF-8 form") from None
    numbers = {text: number for number, text in enumerate(distinct)}
    codes = np.fromiter(map(numbers.__getitem__, texts), np.int64, len(texts))
    return Ragged.from_lengths(fids[codes], lengths)


def _number(table: Table, name: str, row: int, cell: Cell) -> float:
    value: Any = cell
    if isinstance(cell, str):
        try:
            # float() also takes digits grouped by underscores, which no log means.
            value = float(cell) if "_" not in cell else None
        except ValueError:
            value = None
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise table.fault(row, name, f"expected a number, found {cell!r}")


def _label_column(table: Table, name: str, kind: Kind) -> NDArray[Any]:
    cells = table.columns[name]
    if kind == "number":
        return np.array([_number(table, name, row, cell) for row, cell in enumerate(cells)], np.float64)
    texts = np.empty(len(cells), object)
    for row, cell in enumerate(cells):
        if cell is None or isinstance(cell, list):
            raise table.fault(row, name, f"expected one text, found {cell!r}")
        texts[row] = str(cell)
    return texts


def encode(table: Table, input_map: InputMap) -> Batch:
    """All rows in file order: a Ragged of fids per column, ``label`` float32 [rows] and the numbers, float32 [rows, 1].
    FormatError names the cell."""
    expression = parse_label(input_map.label)
    dense = {"label": expression.evaluate(lambda name, kind: _label_column(table, name, kind), table.rows)}
    for name, column in input_map.numbers:
        dense[name] = _label_column(table, column, "number").astype(np.float32)[:, np.newaxis]
    ragged = {column.name: _ragged(table, column) for column in input_map.columns}
    return Batch(ragged, dense, table.rows)


def encode_times(table: Table, column: str) -> NDArray[np.int64]:
    """Seconds since the epoch of all rows (fractions dropped), int64 [rows]; FormatError outside of 0..2^32-1."""
    values = _label_column(table, column, "number")
    bad = np.flatnonzero((values < 0) | (values >= 2.0**32))
    if len(bad):
        raise table.fault(int(bad[0]), column, f"a time must be in 0..2^32-1 seconds, not {values[bad[0]]!r}")
    return values.astype(np.int64)
