"""Run by mpiexec: communicator calls, dense reductions and the worked numbers, checked on every rank."""

from __future__ import annotations

import os
import sys
from fractions import Fraction

import numpy as np
import pytest
from monolith_kernels import reduction as exact
from monolith_kernels.target import target

import monolith_ref.sync.mpi as mpi
from monolith_ref.errors import ConfigError, ShapeError, SyncError
from monolith_ref.features.combiners import ReduceSum
from monolith_ref.features.ragged import Ragged
from monolith_ref.sync.agreement import check_agreement
from monolith_ref.sync.communicator import Communicator, Traffic
from monolith_ref.sync.dense import DenseReducer
from monolith_ref.sync.embeddings import ShardedEmbeddings
from monolith_ref.sync.finite import NonFiniteGuard
from monolith_ref.sync.guard import run_guarded
from monolith_ref.sync.launch import make_communicator
from tests.monolith_ref.sync.naive import Plan, make_store, rounded

F = np.float32


def bits(values: np.ndarray) -> list[str]:
    """Hexadecimal patterns."""
    return [f"{int(v):08x}" for v in np.ascontiguousarray(values, F).reshape(-1).view("u4")]


def check_calls(c: Communicator) -> None:
    """Every call of the communicator, with blocks in many pieces."""
    rank, size = c.rank, c.size
    mpi.MAX_PIECE_BYTES = 24
    send_counts = np.array([3 * (rank + r) for r in range(size)], np.int64)
    send = np.concatenate([np.full(3 * (rank + r), 100 * rank + r, np.int64) for r in range(size)])
    recv_counts = send_counts.copy()
    got = c.alltoallv(send, send_counts, np.empty(1000, np.int64), recv_counts, "v")
    assert got.tolist() == [100 * r + rank for r in range(size) for _ in range(3 * (rank + r))]
    parts = c.allgatherv(np.full((rank * 5, 2), rank, F), "gv")
    assert [p.shape for p in parts] == [(r * 5, 2) for r in range(size)]
    assert all((p == r).all() for r, p in enumerate(parts))
    assert c.allgather(np.array([[rank, 7]]), "g").tolist() == [[[r, 7]] for r in range(size)]
    assert c.alltoall(np.arange(size) * 10 + rank, "a").tolist() == [rank * 10 + r for r in range(size)]
    assert c.broadcast_bytes(b"x" * (rank + 50), size - 1, "b") == b"x" * (size + 49)
    assert c.allgather_bytes(b"y" * rank, "gb") == [b"y" * r for r in range(size)]
    assert c.sum_int64(np.array([rank, 1]), "s").tolist() == [size * (size - 1) // 2, size]
    assert c.traffic["v"].sent == 8 * int(send_counts.sum() - send_counts[rank])
    mpi.MAX_PIECE_BYTES = 1 << 30
    with pytest.raises(ShapeError):
        c.alltoallv(send, send_counts, np.empty(0, np.int64), recv_counts, "short")


def check_dense(c: Communicator) -> None:
    """Reductions of dense gradients against naive sums of all ranks' gradients."""
    rng = np.random.default_rng(5)
    every = (rng.standard_normal((c.size, 1, 37)) * 2.0 ** rng.integers(-40, 40, (c.size, 1, 37))).astype(F)
    every[:, 0, :3] = 0
    every[:, 0, 0] = F(-0.0)
    total = np.zeros((1, 37), F)
    for d in every:
        total = total + d
    total = total / F(c.size)
    mine = {"a": every[c.rank], "b": every[c.rank][:, :5].copy()}
    for fusion in ("none", "one"):
        reduced = DenseReducer(c, "sequential", fusion=fusion).reduce(mine)
        assert bits(reduced["a"]) == bits(total)
        assert bits(reduced["b"]) == bits(total[:, :5])
        assert reduced["a"].shape == (1, 37)
    small = {"a": (every[c.rank] % 8).astype(F)}
    halves = np.zeros((1, 37), F)
    for d in every:
        halves = halves + (d % 8).astype(F).astype(np.float16).astype(F)
    assert bits(DenseReducer(c, wire="f16").reduce(small)["a"]) == bits(halves / F(c.size))
    assert bits(DenseReducer(c, skip=True).reduce(mine)["a"]) == bits(every[c.rank])
    partials = {"a": exact.exact_sum(every[c.rank])}
    truth = [rounded(sum((Fraction(float(d[0, e])) for d in every), Fraction(0))) for e in range(37)]
    partials["b"] = exact.exact_sum(every[c.rank][:, 5:9])
    shapes = {"a": (1, 37), "b": (2, 2)}
    for fusion in ("none", "one"):
        before = c.traffic.get("dense slow elements", Traffic()).sent
        reduced = DenseReducer(c, "exact", fusion=fusion).reduce_exact(partials, shapes)
        assert bits(reduced["a"]) == bits(np.array(truth))
        assert bits(reduced["b"]) == bits(np.array(truth[5:9]))
        assert reduced["b"].shape == (2, 2)
        spread = every[c.rank] * F(2) ** 80
        wide = {"a": exact.exact_sum(np.concatenate([spread, every[c.rank], -spread]))}
        assert bits(DenseReducer(c, "exact", fusion=fusion).reduce_exact(wide, shapes)["a"]) == bits(np.array(truth))
        assert c.traffic["dense slow elements"].sent > before, "the slow path did not run"
    reducer = DenseReducer(c)
    rows = 0 if c.rank == 0 else c.rank + 3
    expected = F(0)
    for r in range(1, c.size):
        expected = expected + F(r) / F(r + 3)
    assert bits(np.array([reducer.reduce_loss(F(c.rank), rows)])) == bits(np.array([expected / F(c.size)]))
    terms = {0: [1e8, 1.0], 1: [-1e8]}.get(c.rank, [])
    loss = reducer.reduce_loss_exact(exact.exact_sum(np.array(terms, F)), 4)
    assert loss == F(0.25), loss
    assert "loss slow elements" not in c.traffic
    terms = {0: [1e38, 1e-30], 1: [-1e38]}.get(c.rank, [])
    loss = reducer.reduce_loss_exact(exact.exact_sum(np.array(terms, F)), 1)
    assert loss == F(1e-30), loss
    assert c.traffic["loss slow elements"].calls


def check_worked_numbers(c: Communicator) -> None:
    """One id on two ranks: adagrad lr .05, accumulator .1, w 0, gradients .3 and .4."""
    expected = {
        "sequential": ["bd8bb628", "3eb33334"],
        "sum": ["bd3aa389", "3f170a3f"],
        "mean": ["bd17f618", "3e63d70c"],
    }
    for reduction, numbers in expected.items():
        place = target("cpu")
        store = make_store(place, 1)
        plan = Plan("f", ("f",), (1,), (ReduceSum(),), 1)
        embeddings = ShardedEmbeddings([plan], {"f": store}, c, target=place, reduction=reduction)
        rows = 1 if c.rank < 2 else 0
        fid = np.full(rows, (1 << 48) + 6, np.int64)
        embeddings.forward({"f": Ragged.from_lengths(fid, np.ones(rows, np.int64))}, rows)
        embeddings.backward(np.full((rows, 16), [0.3, 0.4, 0][min(c.rank, 2)], F))
        embeddings.apply({"f": [0.05]}, 0)
        dump = store.export()
        owner = int(((1 << 48) + 6) % c.size)
        if c.rank == owner and c.size == 2:
            assert [*bits(dump.weights), *bits(dump.state[0]["norm"])] == numbers, reduction
        assert len(dump.ids) == (c.rank == owner)


def check_agreements(c: Communicator) -> None:
    """Configurations and findings: every rank hears the same."""
    same = {"a": "1", "b": "x=y"}
    assert len(check_agreement(c, same)) == 64
    with pytest.raises(ConfigError) as caught:
        check_agreement(c, {**same, "sync.timeout": str(c.rank // 2), "z": str(c.rank)})
    text = str(caught.value)
    key = "sync.timeout: '0' on ranks 0, 1, '1' on rank 2" if c.size == 3 else "z: '0' on rank 0, '1' on rank 1"
    assert text == f"ranks disagree on {key}", text
    with pytest.raises(ConfigError, match="a: unset on rank 0"):
        check_agreement(c, same if c.rank else {"b": "x=y"})
    place = target("cpu")
    plan = Plan("f", ("f",), (1,), (ReduceSum(),), 3)
    embeddings = ShardedEmbeddings([plan], {"f": make_store(place, 3)}, c, target=place)
    fid = np.array([(1 << 48) + 8], np.int64)
    for policy in ("raise", "skip", "propagate"):
        embeddings.forward({"f": Ragged.from_lengths(fid, np.ones(1, np.int64))}, 1)
        dx = np.zeros((1, 16), F)
        dx[0, 1] = np.nan if c.rank == 1 else 0
        embeddings.backward(dx)
        finding = embeddings.find_non_finite()
        assert (finding is not None) == (c.rank == 1)
        guard = NonFiniteGuard(c, policy)
        if policy == "raise":
            with pytest.raises(SyncError) as caught:
                guard.admits(finding, 12)
            said = f"step 12, rank 1: gradient of fid {fid[0]} (feature f), element 1: nan"
            assert str(caught.value).startswith(said)
        else:
            assert guard.admits(finding, 12) is (policy == "propagate")
        embeddings.discard()


def main() -> int:
    c = make_communicator(timeout=60)
    check_calls(c)
    check_dense(c)
    check_worked_numbers(c)
    check_agreements(c)
    os.write(1, f"fine {c.rank}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
