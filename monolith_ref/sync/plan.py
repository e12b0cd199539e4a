"""Which features read which table, and where their sums go: fixed for the life of a model. Rule: sync_training 2.2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError

__all__ = ["ExchangePlan", "FeaturePlan", "TableLike", "TablePlan", "pooled_width"]


class TableLike(Protocol):
    """What this room needs to know of a table's plan (``monolith_ref.features.tables.TableSpec`` has it)."""

    @property
    def name(self) -> str:
        """Tables are exchanged in string order of their names."""
        ...

    @property
    def features(self) -> tuple[str, ...]:
        """Features that read the table, in string order."""
        ...

    @property
    def slots(self) -> tuple[Any, ...]:
        """Slot of each feature; None or negative: ids carry no slot."""
        ...

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Slot of each feature by name: features of one slot share rows on purpose."""
        ...

    @property
    def combiners(self) -> tuple[Any, ...]:
        """Combiner of each feature (``monolith_ref.features.combiners``)."""
        ...

    @property
    def dim(self) -> int:
        """Floats of an embedding."""
        ...


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """One feature: its slot by name and number (None: ids carry none), its combiner, its columns of x."""

    name: str
    slot_name: str
    slot: int | None
    combiner: Any
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table: its features in string order, floats of an embedding."""

    name: str
    features: tuple[FeaturePlan, ...]
    dim: int


class ExchangePlan:
    """All tables in string order of their names, and the columns of x.

    Attributes
    ----------
    tables : tuple of TablePlan
    dims : int64 [K]
    columns : dict of feature to (first column, width)
    width : int
        Columns of x that are used.
    """

    def __init__(self, tables: Sequence[TableLike], columns: Mapping[str, tuple[int, int]] | None) -> None:
        ordered = sorted(tables, key=lambda table: table.name)
        self.columns: dict[str, tuple[int, int]] = dict(columns) if columns is not None else _side_by_side(ordered)
        self.tables = tuple(self._table(table) for table in ordered)
        self.dims: NDArray[np.int64] = np.array([table.dim for table in self.tables], np.int64)
        self.width = max((first + width for first, width in self.columns.values()), default=0)
        names = [feature.name for table in self.tables for feature in table.features]
        for kind, found in (("table", [table.name for table in ordered]), ("feature", names)):
            twice = sorted({name for name in found if found.count(name) > 1})
            if twice:
                raise ConfigError(f"{kind} {twice[0]!r} is planned twice")

    def _table(self, table: TableLike) -> TablePlan:
        features = []
        parts = zip(table.features, table.slot_names, table.slots, table.combiners, strict=True)
        for name, slot_name, slot, combiner in sorted(parts, key=lambda part: part[0]):
            if name not in self.columns:
                raise ConfigError(f"feature {name!r} of table {table.name!r} has no columns")
            column, width = self.columns[name]
            if width != pooled_width(combiner, table.dim):
                raise ConfigError(
                    f"feature {name!r} has {width} columns; {combiner.name} of {table.dim} floats needs "
                    f"{pooled_width(combiner, table.dim)}"
                )
            has_slot = slot is not None and slot >= 0
            features.append(FeaturePlan(name, slot_name, int(slot) if has_slot else None, combiner, column, width))
        return TablePlan(table.name, tuple(features), table.dim)


def pooled_width(combiner: Any, dim: int) -> int:
    """Columns that a feature needs in x: the first n vectors side by side, or one."""
    return dim * max(1, int(combiner.max_seq_length))


def _side_by_side(tables: Sequence[TableLike]) -> dict[str, tuple[int, int]]:
    columns: dict[str, tuple[int, int]] = {}
    first = 0
    for table in tables:
        for name, combiner in zip(table.features, table.combiners, strict=True):
            width = pooled_width(combiner, table.dim)
            columns[name] = (first, width)
            first += width
    return columns
