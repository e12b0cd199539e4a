"""Requests beyond tables: combiners, filters and reductions, as backends in this process answer them."""

from __future__ import annotations

import numpy as np
import pytest
from monolith_conformance.backend import Backend
from monolith_conformance.backends import make_backend
from monolith_conformance.cases.golden import table_config
from monolith_protos import testee_pb2

from monolith_ref.quirks import Quirks


@pytest.fixture(params=["engine-cpu", "oracle"])
def backend(request: pytest.FixtureRequest) -> Backend:
    made = make_backend(request.param)
    made.open("ieee", Quirks.parse("default"))
    return made


def _result(backend: Backend, **kind: object) -> testee_pb2.Result:
    reply = backend.answer(testee_pb2.Request(seq=1, **kind))  # type: ignore[arg-type]
    assert reply.WhichOneof("kind") == "result", reply
    return reply.result


def _bytes(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


@pytest.mark.parametrize(
    ("kind", "n", "expected"),
    [
        ("reduce_sum", 0, [4, 0, 5]),
        ("reduce_mean", 0, [2, 0, 5]),
        ("reduce_sqrtn", 0, [np.sqrt(np.float32(10)), 0, 5]),
        ("first_n", 2, [1, 3, 0, 0, 5, 0]),
    ],
)
def test_combiners(backend: Backend, kind: str, n: int, expected: list[float]) -> None:
    combine = testee_pb2.Combine(kind=kind, row_splits=[0, 2, 2, 3], dim=1, floats=_bytes(1, 3, 5), n=n)
    assert _result(backend, combine=combine).floats == _bytes(*expected)


@pytest.mark.parametrize(
    ("kind", "n", "upstream", "expected"),
    [
        ("reduce_sum", 0, [7, 8, 9], [7, 7, 9]),
        ("reduce_mean", 0, [7, 8, 9], [3.5, 3.5, 9]),
        ("first_n", 1, [7, 8, 9], [7, 0, 9]),
    ],
)
def test_gradients(backend: Backend, kind: str, n: int, upstream: list[float], expected: list[float]) -> None:
    combine = testee_pb2.Combine(kind=kind, row_splits=[0, 2, 2, 3], dim=1, floats=_bytes(1, 3, 5), n=n)
    combine.upstream = _bytes(*upstream)
    assert _result(backend, combine=combine).floats == _bytes(*expected)


@pytest.mark.parametrize("kind", ["hash", "hash_u8", "sliding"])
def test_filters_count_before_the_call(backend: Backend, kind: str) -> None:
    names = ["add", "add", "get", "should_be_filtered", "should_be_filtered"]
    ops = [testee_pb2.FilterOp(op=name, id=5, count=1, threshold=3) for name in names]
    message = testee_pb2.Filter(kind=kind, capacity=300, split_num=7, ops=ops)
    # Counted twice, then kept out once more at the third call, admitted at the fourth.
    assert list(_result(backend, filter=message).ints) == [0, 1, 2, 1, 0]


@pytest.mark.parametrize(
    ("reduction", "words"),
    [
        ("sequential", "bd8bb628 3eb33334"),
        ("sum", "bd3aa389 3f170a3f"),
        ("mean", "bd17f618 3e63d70c"),
        ("exact", "bd3aa389 3f170a3f"),
    ],
)
def test_one_id_on_two_ranks(reduction: str, words: str) -> None:
    """sync_training 5: adagrad, rate .05, accumulator .1, gradients .3 and .4."""
    oracle = make_backend("oracle")
    oracle.open("ieee", Quirks.parse("default"))
    config = table_config([{"dim": 1, "rule": "adagrad", "config": {}}])
    _result(oracle, create=testee_pb2.Create(table="t", config=config.SerializeToString()))
    parts = [testee_pb2.Part(ids=[9], floats=_bytes(g)) for g in (0.3, 0.4)]
    _result(oracle, sync=testee_pb2.Sync(table="t", reduction=reduction, parts=parts, rates=_bytes(0.05), time=1))
    (entry,) = _result(oracle, op=testee_pb2.Op(table="t", op="lookup_entry", ids=[9])).entries
    from monolith_conformance.entries import row_of

    row = row_of(entry, ["adagrad"])
    found = np.array([row.num[0], row.opt[0]["norm"][0]], np.float32).view(np.uint32)
    assert " ".join(f"{word:08x}" for word in found) == words


def test_a_second_table_of_one_name_is_an_error(backend: Backend) -> None:
    config = table_config([{"dim": 1, "rule": "sgd", "config": {}}]).SerializeToString()
    create = testee_pb2.Request(seq=1, create=testee_pb2.Create(table="t", config=config))
    assert backend.answer(create).WhichOneof("kind") == "result"
    assert backend.answer(create).error.kind == "StateError"
