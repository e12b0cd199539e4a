"""The engine on real ranks: every rank holds a table of its own, and a step goes through the job's communicator.

All ranks are asked the same. What is no step of several ranks is done on every rank alike; a step is taken part in by
each rank with its own part, and then the owners tell the others the rows that they updated, so that any of them can
answer for all. Steps of more ranks than there are, means of fewer, and tables that draw are played in the process.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2

from monolith_conformance.backends.engine import EngineBackend
from monolith_conformance.backends.engine_sync import play_part
from monolith_conformance.backends.sync_requests import SyncStep
from monolith_conformance.backends.tables import TableAdaptor
from monolith_ref.errors import MonolithRefError
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.guard import EXIT_FAULT

__all__ = ["RankedBackend"]


class RankedBackend(EngineBackend):
    """The engine on the CPUs of all ranks of a communicator."""

    def __init__(self, communicator: Communicator) -> None:
        self.name = f"engine-cpu on {communicator.size} ranks"
        self.exchanges = 0
        self._ranks = communicator

    def play(self, table: TableAdaptor, step: SyncStep) -> None:
        if not self._spans(table, step):
            super().play(table, step)
            return
        empty = np.zeros(0, np.int64), np.zeros((0, table.dim), np.float32)
        parts = [*step.parts, *[empty] * (self._ranks.size - len(step.parts))]
        whole = SyncStep(step.reduction, step.half, parts, step.rates, step.time, step.global_step)
        try:
            updated = play_part(_engine_table(table), self.target, whole, self._ranks)
            self._tell(table, updated)
        except MonolithRefError:
            raise  # Refused before anything was exchanged, on every rank alike.
        except BaseException:
            # The others wait in an exchange that this rank will not come to.
            traceback.print_exc(file=sys.stderr)
            self._ranks.abort(EXIT_FAULT)
        self.exchanges += 1

    def _spans(self, table: TableAdaptor, step: SyncStep) -> bool:
        fits = len(step.parts) == self._ranks.size
        surplus = step.reduction != "mean" and len(step.parts) < self._ranks.size
        return (fits or surplus) and not _draws(_engine_table(table))

    def _tell(self, table: TableAdaptor, updated: Any) -> None:
        """Give every rank the rows that this one updated, as records."""
        mine = [entry for entry in self._entries(table, updated) if entry]
        sizes = np.array([len(entry) for entry in mine], np.int64)
        all_sizes = self._ranks.allgatherv(sizes, "conform.sizes")
        all_data = self._ranks.allgather_bytes(b"".join(mine), "conform.rows")
        for rank, (lengths, data) in enumerate(zip(all_sizes, all_data, strict=True)):
            if rank != self._ranks.rank and len(lengths):
                ends = np.cumsum(lengths)
                table.restore([data[end - size : end] for end, size in zip(ends, lengths, strict=True)])

    def _entries(self, table: TableAdaptor, ids: Any) -> list[bytes]:
        """The records of rows, with their ids."""
        wanted = {int(fid) for fid in ids}
        return [e for e in table.save() if hash_table_pb2.EntryDump.FromString(e).id in wanted]


def _engine_table(table: TableAdaptor) -> Any:
    return table.table  # type: ignore[attr-defined]


def _draws(table: Any) -> bool:
    """Whether rows take numbers from a stream, whose order depends on which rank draws."""
    return any(
        segment.init_config.HasField("random_uniform") or segment.opt_config.stochastic_rounding_float16
        for segment in table.plan.config.entry_config.segments
    )
