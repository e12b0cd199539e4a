"""The set of keys that were touched since it was last emptied. Rule: tables 11."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_kernels.cpu import lookup
from monolith_kernels.memory import Buffer
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError
from monolith_ref.table.arrays import as_ids

__all__ = ["TouchedKeySet"]

_NO_ROWS = np.empty(0, np.int32)


class TouchedKeySet:
    """Distinct (id, table) keys, at most ``capacity`` and one more: an insert that finds more first drops all of them.

    ``concurrency_level`` and ``name_suffix`` are taken and not used. ArgumentError for a negative capacity.
    """

    def __init__(self, capacity: int = 2097152, concurrency_level: int = 1024, name_suffix: str = "") -> None:
        if capacity < 0:
            raise ArgumentError(f"capacity must not be negative, got {capacity}")
        self.capacity = capacity
        self._indexes: dict[str, Any] = {}
        self._rows = Buffer(np.int32)
        self._new = Buffer(np.int32)

    def __len__(self) -> int:
        return sum(int(index.size) for index in self._indexes.values())

    def insert(self, ids: Any, table: str = "") -> NDArray[np.int64]:
        """Add ids int64[n] of a table, in order; returns how many keys were dropped, int64[1]."""
        todo = as_ids(ids).reshape(-1)
        dropped = 0
        while len(todo):
            if len(self) > self.capacity:
                dropped += len(self)
                self._drop()
            # The key that exceeds the capacity is still taken; whatever follows it finds too many.
            room = self.capacity + 1 - len(self)
            batch = todo
            if len(todo) > room:
                new_positions = self._positions_of_new(todo, table)
                if len(new_positions) >= room:
                    batch = todo[: new_positions[room - 1] + 1]
            self._put(batch, table)
            todo = todo[len(batch) :]
        return np.array([dropped], np.int64)

    def _drop(self) -> None:
        for index in self._indexes.values():
            lookup.clear(index)

    def _index(self, table: str) -> Any:
        if table not in self._indexes:
            self._indexes[table] = lookup.make_index()
        return self._indexes[table]

    def _positions_of_new(self, ids: NDArray[np.int64], table: str) -> NDArray[np.int64]:
        """Where each id that is not in the set occurs first, ascending."""
        rows = self._rows.take(len(ids))
        lookup.find(self._index(table), ids, rows)
        absent = np.flatnonzero(rows < 0)
        _, first = np.unique(ids[absent], return_index=True)
        return np.sort(absent[first])

    def _put(self, ids: NDArray[np.int64], table: str) -> None:
        index = self._index(table)
        lookup.insert(index, ids, self._rows.take(len(ids)), self._new.take(len(ids)), int(index.size), _NO_ROWS)

    def steal_by_table(self) -> dict[str, NDArray[np.int64]]:
        """The ids of every table that has some, ascending, by table name; the set is empty afterwards."""
        found = {}
        for table in sorted(self._indexes):
            ids = np.sort(lookup.items(self._indexes[table])[0])
            if len(ids):
                found[table] = ids
        self._drop()
        return found

    def steal(self) -> NDArray[np.int64]:
        """All distinct ids, ascending; the set is empty afterwards."""
        parts = list(self.steal_by_table().values())
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
