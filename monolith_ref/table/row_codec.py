"""A table's rows on their way to and from files: where each field stands, and rows filled before a table has them.

A :class:`StagedRows` is index, rows and times of a table to be: a reader decodes records straight into it, and a
cleared :class:`RowStore` takes it over whole, without a copy. Until then no table knows of it.
Rule: checkpoints 4.3, 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from monolith_kernels import rules
from monolith_kernels.layout import RowLayout
from monolith_kernels.target import Target
from numpy.typing import NDArray

from monolith_ref.table.rows import make_storage

__all__ = ["StagedRows", "TableRows", "float_columns"]

_PART = 1 << 16


def float_columns(layout: RowLayout) -> list[dict[str, int]] | None:
    """Per segment the column of every state field; None where a rule keeps a field in another form than floats."""
    columns: list[dict[str, int]] = []
    for segment, place in zip(layout.segments, layout.places, strict=True):
        rule = rules.of(segment.rule)
        if rule.words and rule.words_to_fields is not rules.Rule.words_to_fields:
            return None
        found = {name: place.state + number * place.pad for number, name in enumerate(rule.state)}
        found.update({name: place.words + number for number, name in enumerate(rule.words)})
        columns.append(found)
    return columns


@dataclass(frozen=True)
class TableRows:
    """Rows where they lie in a table, to be written out without a copy.

    Attributes
    ----------
    ids : int64[n]
    numbers : int32[n]
        Their rows in ``words``.
    words : uint32[*, width]
        The table's rows.
    columns : list of dict
        :func:`float_columns` of the table's layout.
    update_time : uint32[n]
    """

    ids: NDArray[np.int64]
    numbers: NDArray[np.int32]
    words: NDArray[np.uint32]
    columns: list[dict[str, int]]
    update_time: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask: NDArray[np.bool_]) -> TableRows:
        """The rows that a mask selects."""
        return TableRows(self.ids[mask], self.numbers[mask], self.words, self.columns, self.update_time[mask])


class StagedRows:
    """Rows of one layout on the host, in the order in which they came; row k has number k.

    Attributes
    ----------
    layout : RowLayout
    columns : list of dict
        :func:`float_columns` of the layout.
    count : int
        Rows taken so far.
    distinct : bool
        No id came twice, and every row that was taken was kept.
    """

    def __init__(self, layout: RowLayout, columns: list[dict[str, int]], target: Target, expected: int = 0) -> None:
        self.layout = layout
        self.columns = columns
        self.count = 0
        self.distinct = True
        self.storage = make_storage(target, layout.width)
        self.times = make_storage(target, 1)
        self.index = target.lookup.make_index(expected)
        self._target = target
        self._numbered = 0

    def take(self, n: int) -> NDArray[np.uint32]:
        """Room for ``n`` more rows: words [n, width], anything in them."""
        begin, self.count = self.count, self.count + n
        self.storage.ensure(self.count)
        words: NDArray[np.uint32] = self.storage.rows[begin : self.count].view(np.uint32)
        return words

    def number(self, ids: NDArray[np.int64], times: NDArray[np.uint32]) -> None:
        """Give the rows that were taken next their ids and times; in order, and all of them."""
        begin, end = self._numbered, self._numbered + len(ids)
        rows, new = np.empty((2, len(ids)), np.int32)
        self.times.ensure(end)
        self.times.rows[begin:end, 0] = times.view(np.float32)
        self._numbered = end
        if self.distinct:
            self.distinct = self._target.lookup.insert(self.index, ids, rows, new, begin, _NO_ROWS) == len(ids)

    def fits(self, layout: RowLayout) -> bool:
        """Whether a table of this layout can take these rows over."""
        same = (layout.width, layout.dim, layout.places) == (self.layout.width, self.layout.dim, self.layout.places)
        return self.distinct and self._numbered == self.count and same

    def draw(self, target: Target, generator: Any) -> None:
        """Draw what initialising these rows would have drawn."""
        scratch = np.zeros((1, self.layout.width), np.float32)
        for begin in range(0, self.count, _PART):
            numbers = np.zeros(min(_PART, self.count - begin), np.int32)
            target.optimize.init_rows(target.profile, self.layout, scratch, numbers, generator)


_NO_ROWS = np.empty(0, np.int32)
