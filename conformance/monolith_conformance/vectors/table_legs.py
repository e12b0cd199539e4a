"""One interface to a table for two legs: the engine's table on a target, and the oracle's dictionary."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from monolith_kernels.target import target as make_target
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig
from numpy.typing import NDArray

from monolith_conformance.oracle.table import OracleTable, Row
from monolith_ref.quirks import Quirks
from monolith_ref.table.core import Table
from monolith_ref.table.store import RowDump

__all__ = ["EngineTable", "TableLeg", "dump_of", "rows_of_dump", "table_leg"]

F4 = NDArray[np.float32]


class TableLeg(Protocol):
    """What traces ask of a table. Rows are float32 ``[n, D]``, ids Python ints."""

    dim: int

    def size(self) -> int: ...
    def lookup(self, ids: Sequence[int]) -> tuple[int, F4]: ...
    def contains(self, ids: Sequence[int]) -> list[bool]: ...
    def assign(self, ids: Sequence[int], values: F4, time: int) -> None: ...
    def assign_add(self, ids: Sequence[int], values: F4, time: int) -> None: ...
    def optimize(self, ids: Sequence[int], grads: F4, rates: F4, time: int, step: int = 0) -> None: ...
    def reinitialize(self, ids: Sequence[int], time: int) -> list[int]: ...
    def evict(self, reference: int) -> int: ...
    def clear(self) -> None: ...
    def dump(self) -> list[Row]: ...
    def entry(self, fid: int) -> Row: ...
    def restore(self, rows: Sequence[Row]) -> int: ...


def rows_of_dump(dump: RowDump) -> list[Row]:
    """Engine rows one by one."""
    return [
        Row(
            int(dump.ids[k]),
            dump.weights[k],
            [{name: array[k] for name, array in segment.items()} for segment in dump.state],
            int(dump.update_time[k]),
        )
        for k in range(len(dump))
    ]


def dump_of(rows: Sequence[Row], dim: int) -> tuple[RowDump, NDArray[np.int64] | None]:
    """Rows as the engine takes them, and the width of each where one is short."""
    weights = np.zeros((len(rows), dim), np.float32)
    widths = np.array([len(row.num) for row in rows], np.int64)
    for k, row in enumerate(rows):
        weights[k, : len(row.num)] = row.num
    state: list[dict[str, Any]] = []
    for number in range(len(rows[0].opt) if rows else 0):
        names = rows[0].opt[number]
        state.append({name: np.array([row.opt[number][name] for row in rows]) for name in names})
    ids = np.array([row.id for row in rows], np.int64)
    times = np.array([row.ts for row in rows], np.int64).astype(np.uint32)
    return RowDump(ids, weights, state, times), None if (widths == dim).all() else widths


class EngineTable:
    """The engine's table as a leg."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.dim = table.dim

    @staticmethod
    def _ids(ids: Sequence[int]) -> NDArray[np.int64]:
        return np.array(list(ids), np.int64)

    def size(self) -> int:
        """Rows."""
        return self.table.size

    def lookup(self, ids: Sequence[int]) -> tuple[int, F4]:
        """(positions found, rows)."""
        rows, found = self.table.lookup(self._ids(ids))
        return found, rows

    def contains(self, ids: Sequence[int]) -> list[bool]:
        """Which ids have a row."""
        present: list[bool] = self.table.contains(self._ids(ids)).tolist()
        return present

    def assign(self, ids: Sequence[int], values: F4, time: int) -> None:
        """Set rows."""
        self.table.assign(self._ids(ids), np.ascontiguousarray(values).reshape(-1), time)

    def assign_add(self, ids: Sequence[int], values: F4, time: int) -> None:
        """Add to rows."""
        self.table.assign_add(self._ids(ids), np.ascontiguousarray(values).reshape(-1), time)

    def optimize(self, ids: Sequence[int], grads: F4, rates: F4, time: int, step: int = 0) -> None:
        """One step per position."""
        self.table.optimize(self._ids(ids), np.ascontiguousarray(grads).reshape(-1), rates, step, time)

    def reinitialize(self, ids: Sequence[int], time: int) -> list[int]:
        """Statuses."""
        statuses: list[int] = self.table.reinitialize(self._ids(ids), time).tolist()
        return statuses

    def evict(self, reference: int) -> int:
        """Rows that went."""
        return self.table.evict(reference)

    def clear(self) -> None:
        """Remove all rows."""
        self.table.clear()

    def dump(self) -> list[Row]:
        """All rows by ascending id."""
        return sorted(rows_of_dump(self.table.training_store.export()), key=lambda row: row.id)

    def entry(self, fid: int) -> Row:
        """One row."""
        store, target = self.table.training_store, self.table.target
        ids = self._ids([fid])
        numbers = np.array(target.to_host(store.find(target.asarray(ids))))
        return rows_of_dump(store.export(numbers, ids))[0]

    def restore(self, rows: Sequence[Row]) -> int:
        """The greatest time seen. Rows may differ in the state fields that they give."""
        latest = max([0, *(row.ts for row in rows)])
        for _, alike in itertools.groupby(rows, key=lambda row: [sorted(state) for state in row.opt]):
            self.table.restore(*dump_of(list(alike), self.dim))
        self.table.max_ts = max(self.table.max_ts, latest)
        return latest


def table_leg(config: EmbeddingHashTableConfig, target: str, profile: str, quirks: Quirks) -> TableLeg:
    """A table of the runtime itself, outside of any graph operation, on a leg."""
    if target == "oracle":
        return OracleTable(config, profile=profile, quirks=quirks.names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # traces configure slots that never match
        table = Table("trace", config, target=make_target(target, profile), quirks=quirks, bare=True)
    return EngineTable(table)
