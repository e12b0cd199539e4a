"""What the synchronous requests of the protocol mean, for backends in this process: oracle and engine alike.

``Sync`` plays one step of as many ranks as there are parts (occurrences, gradients) on one table. ``reduction``
is one of :data:`REDUCTIONS`, with ``_f16`` behind it where local sums travel as half floats; or it asks for something
about the exchange:

* ``owners``, ``owners_empty_rank0``: ``ints`` is the owner of every id of every part;
* ``split``, ``split_empty_rank0``: ``ints`` is, rank after rank, the number of ids that go to each owner, then the
  distinct ids in the order in which they are sent;
* ``staleness``: from now on updates of this table are held back for ``global_step`` steps; what was held back so far is
  applied first.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from monolith_protos import testee_pb2
from numpy.typing import NDArray

from monolith_conformance.backend import Missing
from monolith_conformance.backends.tables import F4, TableAdaptor, TableBackend
from monolith_ref.errors import ArgumentError, ShapeError

__all__ = ["REDUCTIONS", "Part", "SyncBackend", "SyncStep"]

REDUCTIONS = ("sequential", "sum", "mean", "exact")
HALVES = tuple(f"{name}_f16" for name in REDUCTIONS if name != "exact")
QUESTIONS = ("owners", "owners_empty_rank0", "split", "split_empty_rank0")

Part = tuple[NDArray[np.int64], F4]


@dataclass(frozen=True)
class SyncStep:
    """One step of all ranks on one table: parts by rank, rates [segments]; ``half``: local sums travel as half."""

    reduction: str
    half: bool
    parts: Sequence[Part]
    rates: F4
    time: int
    global_step: int


class SyncBackend(TableBackend):
    """Tables, and steps of several ranks on them."""

    def start(self, profile: str, quirks: Any) -> None:
        super().start(profile, quirks)
        self._staleness: dict[str, int] = {}
        self._held: dict[str, deque[SyncStep]] = {}

    def capabilities(self) -> list[str]:
        names = super().capabilities()
        return names + [f"sync.{kind}" for kind in (*REDUCTIONS, *HALVES, *QUESTIONS, "staleness")]

    @abstractmethod
    def owners(self, ids: NDArray[np.int64], ranks: int, empty_rank0: bool) -> Iterable[int]:
        """The owner of every id."""

    @abstractmethod
    def split(self, ids: NDArray[np.int64], ranks: int, empty_rank0: bool) -> tuple[Iterable[int], Iterable[int]]:
        """(ids for each owner counted, distinct ids in the order in which they are sent)."""

    @abstractmethod
    def play(self, table: TableAdaptor, step: SyncStep) -> None:
        """Apply one step."""

    def sync(self, message: testee_pb2.Sync) -> testee_pb2.Result:
        if message.reduction in QUESTIONS:
            return self._answer(message)
        table = self.table(message.table)
        if message.reduction == "staleness":
            self._set_staleness(message.table, message.global_step)
            return testee_pb2.Result()
        name = message.reduction.removesuffix("_f16")
        if message.reduction not in (*REDUCTIONS, *HALVES):
            raise Missing(f"sync.{message.reduction}")
        rates = np.frombuffer(message.rates, "<f4")
        self._check_rates(table, rates)
        parts = [_part(part, table.dim) for part in message.parts]
        if not parts:
            raise ArgumentError("a step needs at least one rank")
        step = SyncStep(name, name != message.reduction, parts, rates, message.time, message.global_step)
        held = self._held.setdefault(message.table, deque())
        held.append(step)
        self._release(message.table, self._staleness.get(message.table, 0))
        return testee_pb2.Result()

    def drop(self, message: testee_pb2.Drop) -> testee_pb2.Result:
        self._held.pop(message.table, None)
        self._staleness.pop(message.table, None)
        return super().drop(message)

    def _answer(self, message: testee_pb2.Sync) -> testee_pb2.Result:
        result, ranks = testee_pb2.Result(), len(message.parts)
        empty = message.reduction.endswith("empty_rank0")
        for part in message.parts:
            ids = np.array(part.ids, np.int64)
            if message.reduction.startswith("owners"):
                result.ints.extend(int(owner) for owner in self.owners(ids, ranks, empty))
            else:
                counts, sent = self.split(ids, ranks, empty)
                result.ints.extend(int(count) for count in counts)
                result.ints.extend(int(fid) for fid in sent)
        return result

    def _set_staleness(self, table: str, steps: int) -> None:
        if steps < 0:
            raise ArgumentError(f"steps are held back by {steps}")
        self._release(table, 0)
        self._staleness[table] = steps

    def _release(self, name: str, keep: int) -> None:
        held = self._held.get(name, deque())
        while len(held) > keep:
            self.play(self.table(name), held.popleft())


def _part(part: testee_pb2.Part, dim: int) -> Part:
    flat = np.frombuffer(part.floats, "<f4")
    if flat.size != len(part.ids) * dim:
        raise ShapeError(f"a part has {flat.size} floats for {len(part.ids)} ids of {dim} floats each")
    return np.array(part.ids, np.int64), flat.reshape(len(part.ids), dim).astype(np.float32)
