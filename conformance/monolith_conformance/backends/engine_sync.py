"""Several ranks of the engine in one process: real exchanges, one thread a rank, on one table's rows.

Every rank runs the engine's own stages; what they send goes through memory. All ranks work on the rows of one store,
each on the ids that it owns, and they take turns wherever they touch it, so that nothing depends on threads. Where rows
are drawn at random, new rows of one step are therefore drawn owner by owner.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.backends.sync_requests import Part, SyncStep
from monolith_ref.sync.communicator import Traffic

__all__ = ["InProcessCommunicator", "Meeting", "play_part", "play_step"]

NAME = "t"
PATIENCE = 60.0


class Meeting:
    """Where the ranks of one process exchange: everybody puts something down, then everybody takes all of it.

    ``turn`` is held by the rank that works; it is let go only while a rank waits for the others. So kernels never run
    beside each other, which a simulated device could not stand.
    """

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.turn = threading.Lock()
        self._barrier = threading.Barrier(ranks, timeout=PATIENCE)
        self._places: list[Any] = [None] * ranks

    def exchange(self, rank: int, value: Any) -> list[Any]:
        """The values of all ranks, in rank order."""
        self._places[rank] = value
        self._wait()
        values = list(self._places)
        self._wait()
        return values

    def _wait(self) -> None:
        self.turn.release()
        try:
            self._barrier.wait()
        finally:
            self.turn.acquire()

    def abandon(self) -> None:
        """Let nobody wait for a rank that has failed."""
        self._barrier.abort()


class InProcessCommunicator:
    """One rank of a :class:`Meeting`; see :class:`~monolith_ref.sync.communicator.Communicator`."""

    name = "in-process"
    timeout = PATIENCE

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self._meeting = meeting
        self.rank, self.size = rank, meeting.ranks
        self.traffic: dict[str, Traffic] = {}

    def barrier(self, what: str) -> None:
        """See the protocol class."""
        self._meeting.exchange(self.rank, None)

    def allgather(self, values: NDArray[Any], what: str) -> NDArray[Any]:
        """See the protocol class."""
        return np.stack(self._meeting.exchange(self.rank, values.copy()))

    def allgatherv(self, values: NDArray[Any], what: str) -> list[NDArray[Any]]:
        """See the protocol class."""
        return self._meeting.exchange(self.rank, values.copy())

    def allgather_bytes(self, data: bytes, what: str) -> list[bytes]:
        """See the protocol class."""
        return self._meeting.exchange(self.rank, bytes(data))

    def broadcast_bytes(self, data: bytes, root: int, what: str) -> bytes:
        """See the protocol class."""
        return bytes(self._meeting.exchange(self.rank, bytes(data))[root])

    def alltoall(self, send: NDArray[Any], what: str) -> NDArray[Any]:
        """See the protocol class."""
        return np.stack([sent[self.rank] for sent in self._meeting.exchange(self.rank, send.copy())])

    def alltoallv(
        self,
        send: NDArray[Any],
        send_counts: NDArray[np.int64],
        recv: NDArray[Any],
        recv_counts: NDArray[np.int64],
        what: str,
    ) -> NDArray[Any]:
        """See the protocol class."""
        ends = np.cumsum(send_counts)
        blocks = [send[end - count : end].copy() for end, count in zip(ends, send_counts, strict=True)]
        arrived = np.concatenate([sent[self.rank] for sent in self._meeting.exchange(self.rank, blocks)])
        recv[: len(arrived)] = arrived
        return recv[: len(arrived)]

    def sum_int64(self, values: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """See the protocol class."""
        total: NDArray[np.int64] = np.sum(self._meeting.exchange(self.rank, values.copy()), axis=0, dtype=np.int64)
        return total

    def abort(self, code: int) -> NoReturn:
        """See the protocol class."""
        self._meeting.abandon()
        raise SystemExit(code)

    def close(self) -> None:
        """See the protocol class."""


class _Rows:
    """A table as the exchanges see it: its rows behind its filter, every update with its time."""

    def __init__(self, table: Any, time: int) -> None:
        self.dim = table.dim
        self._table, self._time = table, time
        self.find = table.training_store.find
        self.gather = table.training_store.gather

    def find_or_insert(self, ids: Any, found: Any = None) -> Any:
        return self._table.find_or_insert(ids, req_time=self._time)

    def optimize(
        self, rows: Any, gradients: Any, rates: Any, global_step: int, time: int, start: int, *, distinct: bool
    ) -> None:
        self._table.optimize_rows(rows, gradients, rates, global_step, time, start, distinct=distinct)


def play_step(table: Any, target: Any, step: SyncStep) -> None:
    """One step of all ranks on an engine table (``monolith_ref.table.core.Table``)."""
    table.check_update(step.rates, step.global_step, step.time)
    meeting, rows = Meeting(len(step.parts)), _Rows(table, step.time)

    def one(rank: int) -> None:
        communicator = InProcessCommunicator(meeting, rank)
        embeddings = _embeddings(rows, communicator, target, step)
        for stage in ("lookup", "update"):
            embeddings.wrap(stage, lambda old, at: _in_turn(communicator, lambda: old(at)))
        _take_part(embeddings, target, step, rank)

    _all_ranks(meeting, one)


def play_part(table: Any, target: Any, step: SyncStep, communicator: Any) -> Any:
    """This rank's part of a step on real ranks, on its own table; the ids that it updated as their owner."""
    table.check_update(step.rates, step.global_step, step.time)
    embeddings = _embeddings(_Rows(table, step.time), communicator, target, step)
    _take_part(embeddings, target, step, communicator.rank)
    return embeddings.updated()[NAME]


def _embeddings(rows: _Rows, communicator: Any, target: Any, step: SyncStep) -> Any:
    from monolith_ref.features.combiners import ReduceSum
    from monolith_ref.sync.embeddings import ShardedEmbeddings

    plan = SimpleNamespace(
        name=NAME, features=(NAME,), slots=(None,), slot_names=(NAME,), combiners=(ReduceSum(),), dim=rows.dim
    )
    return ShardedEmbeddings(
        [plan],
        {NAME: rows},
        communicator,
        target=target,
        reduction=step.reduction,  # type: ignore[arg-type]
        grad_wire="f16" if step.half else "f32",
    )


def _take_part(embeddings: Any, target: Any, step: SyncStep, rank: int) -> None:
    from monolith_ref.features.ragged import Ragged

    ids, gradients = _padded(step.parts[rank])
    embeddings.forward({NAME: Ragged(ids, np.arange(len(ids) + 1, dtype=np.int64))}, len(ids))
    embeddings.backward(target.asarray(gradients))
    embeddings.apply({NAME: step.rates.tolist()}, step.global_step, step.time)


def _padded(part: Part) -> Part:
    """Ids, and gradients [n, dim] in memory of their own."""
    ids, gradients = part
    return ids, np.ascontiguousarray(gradients)


def _in_turn(communicator: InProcessCommunicator, work: Callable[[], None]) -> None:
    for rank in range(communicator.size):
        if rank == communicator.rank:
            work()
        communicator.barrier("turn")


def _all_ranks(meeting: Meeting, work: Callable[[int], None]) -> None:
    """Run ``work`` for every rank, each in a thread; raise what the first of them raised by itself."""
    failures: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            with meeting.turn:
                work(rank)
        except threading.BrokenBarrierError as error:
            failures.append(error)  # Another rank failed, or fell silent.
        except Exception as error:
            failures.insert(0, error)
            meeting.abandon()

    if meeting.ranks == 1:
        with meeting.turn:
            work(0)
        return
    threads: Sequence[threading.Thread] = [
        threading.Thread(target=run, args=(rank,), name=f"rank {rank}") for rank in range(meeting.ranks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
