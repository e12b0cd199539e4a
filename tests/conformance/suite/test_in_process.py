"""Several ranks in one process: they exchange as real ones do, and one that fails takes nobody with it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from monolith_conformance.backends import make_backend
from monolith_conformance.backends.engine_sync import InProcessCommunicator, Meeting, _all_ranks
from monolith_conformance.backends.sync_requests import SyncBackend
from monolith_protos import testee_pb2

from monolith_ref.quirks import Quirks
from monolith_ref.sync.communicator import Communicator


def _on_ranks(ranks: int, work):
    meeting, found = Meeting(ranks), [None] * ranks

    def one(rank: int) -> None:
        found[rank] = work(InProcessCommunicator(meeting, rank))

    _all_ranks(meeting, one)
    return found


def test_it_is_a_communicator() -> None:
    assert isinstance(InProcessCommunicator(Meeting(1), 0), Communicator)


def test_blocks_reach_the_ranks_that_they_are_for() -> None:
    def work(comm: InProcessCommunicator) -> list[int]:
        send = np.arange(6) + 10 * comm.rank
        counts = np.array([1, 2, 3])
        recv_counts = np.full(3, comm.rank + 1)
        return comm.alltoallv(send, counts, np.empty(9, np.int64), recv_counts, "x").tolist()

    assert _on_ranks(3, work) == [[0, 10, 20], [1, 2, 11, 12, 21, 22], [3, 4, 5, 13, 14, 15, 23, 24, 25]]


def test_gathering() -> None:
    def work(comm: InProcessCommunicator):
        return (
            comm.allgather(np.array([comm.rank]), "a").tolist(),
            [part.tolist() for part in comm.allgatherv(np.arange(comm.rank), "b")],
            comm.broadcast_bytes(bytes([comm.rank]), 1, "c"),
            comm.sum_int64(np.array([1, comm.rank]), "d").tolist(),
            comm.alltoall(np.array([[comm.rank], [5]]), "e").tolist(),
        )

    assert _on_ranks(2, work)[1] == ([[0], [1]], [[], [0]], b"\x01", [2, 1], [[5], [5]])


def test_the_error_of_the_rank_that_failed_is_raised() -> None:
    def work(comm: InProcessCommunicator) -> None:
        if comm.rank == 1:
            raise ValueError("rank 1 is ill")
        comm.barrier("waits for rank 1")

    with pytest.raises(ValueError, match="rank 1 is ill"):
        _on_ranks(3, work)
    assert threading.active_count() < 50


@pytest.fixture(params=["engine-cpu", "oracle"])
def backend(request: pytest.FixtureRequest) -> SyncBackend:
    made = make_backend(request.param)
    assert isinstance(made, SyncBackend)
    made.open("ieee", Quirks.parse("default"))
    return made


def test_a_dropped_table_takes_its_held_steps_along(backend: SyncBackend) -> None:
    from monolith_conformance.cases.golden import table_config

    config = table_config([{"dim": 1, "rule": "sgd", "config": {}}]).SerializeToString()
    one = np.array([1], "<f4").tobytes()
    for _ in range(2):
        backend.create(testee_pb2.Create(table="t", config=config))
        backend.sync(testee_pb2.Sync(table="t", reduction="staleness", global_step=1))
        step = testee_pb2.Sync(table="t", reduction="sum", parts=[testee_pb2.Part(ids=[1], floats=one)], rates=one)
        backend.sync(step)
        assert list(backend.op(testee_pb2.Op(table="t", op="size")).ints) == [0]
        backend.drop(testee_pb2.Drop(table="t"))
