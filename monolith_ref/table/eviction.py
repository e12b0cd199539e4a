"""When a training loop evicts: the original's thread as an explicit call. Rule: tables 5."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from monolith_ref.table.core import Table

__all__ = ["EvictionPolicy"]

SECONDS_PER_HOUR = 3600


class EvictionPolicy:
    """Evicts every table that wants it when its hours have passed; call :meth:`poll` from the training loop.

    The first poll only notes the time. A later one evicts a table once ``feature_evict_every_n_hours`` have gone by
    since the last note, by the table's *own* maximum time, and notes the time again. Tables without
    ``enable_feature_eviction`` are left alone.

    ``tables``: core tables, or public ones that have ``table`` or ``tables``.
    """

    def __init__(self, tables: Iterable[Any]) -> None:
        self._tables: list[Table] = []
        for table in tables:
            self._tables += _cores(table)
        self._noted: dict[int, float] = {}

    def poll(self, now: float | None = None) -> dict[str, int]:
        """Rows that went, by name of the tables that were evicted. ``now`` in seconds (None: the monotonic clock)."""
        moment = time.monotonic() if now is None else now
        gone = {}
        for number, table in enumerate(self._tables):
            hours = table.plan.evict_hours
            if not hours:
                continue
            noted = self._noted.setdefault(number, moment)
            if moment - noted >= hours * SECONDS_PER_HOUR:
                gone[table.name] = table.evict()
                self._noted[number] = moment
        return gone


def _cores(table: Any) -> list[Table]:
    if isinstance(table, Table):
        return [table]
    if hasattr(table, "tables"):
        return [core for part in table.tables.values() for core in _cores(part)]
    core: Table = table.table
    return [core]
