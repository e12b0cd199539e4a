"""Bad input: refused with an error, before anything changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2

from monolith_conformance.cases.case import Case, case, register
from monolith_conformance.cases.golden import table_config
from monolith_conformance.session import Session, Table

__all__: list[str] = []

ID = 5
SEGMENT = {"dim": 2, "rule": "adagrad", "config": {}}
NEEDS = frozenset({"optimizer.adagrad", "initializer.zeros", "table.assign", "table.lookup_entry", "table.size"})


def _optimize(table: Table, **changes: Any) -> testee_pb2.Request:
    wanted: dict[str, Any] = {"ids": [ID, 6], "floats": np.ones(4), "rates": [0.5], "time": 9, **changes}
    return table.request("optimize", **wanted)


_CALLS: dict[str, tuple[str, str, Callable[[Table], testee_pb2.Request], frozenset[str]]] = {
    "assign-too-few-values": (
        "assign with fewer values than rows need is refused",
        "table.assign",
        lambda table: table.request("assign", [ID, 6], np.ones(3)),
        frozenset(),
    ),
    "assign-too-many-values": (
        "assign with more values than rows take is refused",
        "table.assign",
        lambda table: table.request("assign", [ID, 6], np.ones(5)),
        frozenset(),
    ),
    "assign-half-a-float": (
        "values that are no whole number of floats are refused",
        "table.assign",
        lambda table: _cut(table.request("assign", [ID], np.ones(2))),
        frozenset(),
    ),
    "add-too-few-values": (
        "assign_add with fewer values than rows need changes none of them",
        "table.assign_add",
        lambda table: table.request("assign_add", [ID, 6], np.ones(3)),
        frozenset(),
    ),
    "optimize-too-few-values": (
        "optimize with fewer values than rows need changes none of them",
        "table.optimize",
        lambda table: _optimize(table, floats=np.ones(3)),
        frozenset(),
    ),
    "optimize-too-few-rates": (
        "optimize with fewer rates than segments changes no row",
        "table.optimize",
        lambda table: _optimize(table, rates=[]),
        frozenset(),
    ),
    "optimize-too-many-rates": (
        "optimize with more rates than segments changes no row",
        "table.optimize",
        lambda table: _optimize(table, rates=[0.5, 0.5]),
        frozenset({"extra_learning_rates"}),
    ),
    "time-below-zero": (
        "a time below zero is refused",
        "table.optimize",
        lambda table: _optimize(table, time=-1),
        frozenset({"wrap_timestamps"}),
    ),
    "time-beyond-32-bits": (
        "a time of 2^32 is refused",
        "table.assign",
        lambda table: table.request("assign", [ID], np.ones(2), time=1 << 32),
        frozenset({"wrap_timestamps"}),
    ),
}


def _cut(request: testee_pb2.Request) -> testee_pb2.Request:
    request.op.floats = request.op.floats[:-2]
    return request


def _judge(make: Callable[[Table], testee_pb2.Request]) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        table = session.table(table_config([SEGMENT]))
        table.op("assign", [ID], [1.0, 2.0], time=3)
        before = list(table.op("lookup_entry", [ID, 6]).entries)
        session.expect_error(make(table))
        table.op("lookup_entry", [ID, 6])
        session.expect(entries=before)
        table.op("size")
        session.expect(ints=[1])

    return judge


for _name, (_rule, _op, _make, _without) in _CALLS.items():
    register(
        Case(
            id=f"table/refused/{_name}",
            rule=_rule,
            section="tables 12",
            judge=_judge(_make),
            needs=NEEDS | {_op},
            without=_without,
            accuracy="exact",
        )
    )


@case(
    "table/refused/negative-step-of-batch-softmax",
    "optimizers 1",
    needs=("optimizer.batch_softmax", "initializer.zeros", "table.optimize", "table.size"),
    accuracy="exact",
)
def _negative_step(session: Session) -> None:
    """batch_softmax refuses a negative step, and goes on."""
    table = session.table(table_config([{"dim": 1, "rule": "batch_softmax", "config": {}}]))
    session.expect_error(table.request("optimize", [ID], [1.0], [0.5], global_step=-1))
    table.op("size")
    session.expect(ints=[0])


@case("table/refused/unknown-table", "testee", needs=("table.size",), accuracy="exact")
def _unknown(session: Session) -> None:
    """An operation on a table that was never made is an error, and no table comes of it."""
    request = testee_pb2.Request()
    request.op.table, request.op.op = "nobody", "size"
    session.expect_error(request)


def _no_type(config: hash_table_pb2.EmbeddingHashTableConfig) -> None:
    config.ClearField("cuckoo")


def _no_initializer(config: hash_table_pb2.EmbeddingHashTableConfig) -> None:
    config.entry_config.segments[0].ClearField("init_config")


def _empty_optimizer(config: hash_table_pb2.EmbeddingHashTableConfig) -> None:
    config.entry_config.segments[0].opt_config.Clear()
    config.entry_config.segments[0].opt_config.SetInParent()


def _no_width(config: hash_table_pb2.EmbeddingHashTableConfig) -> None:
    config.entry_config.segments[0].dim_size = 0


def _negative_width(config: hash_table_pb2.EmbeddingHashTableConfig) -> None:
    config.entry_config.segments[0].dim_size = -3


def _no_segments(config: hash_table_pb2.EmbeddingHashTableConfig) -> None:
    del config.entry_config.segments[:]


def _skips_zeros(config: hash_table_pb2.EmbeddingHashTableConfig) -> None:
    config.skip_zero_embedding = True


_CONFIGS: dict[str, tuple[str, Callable[[hash_table_pb2.EmbeddingHashTableConfig], None]]] = {
    "no-table-type": ("a table message without a type is refused", _no_type),
    "no-initializer": ("a segment without initializer is refused in a training table", _no_initializer),
    "empty-optimizer": ("an optimizer message without a rule is refused", _empty_optimizer),
    "zero-width": ("a segment of no floats is refused", _no_width),
    "negative-width": ("a segment of less than no floats is refused", _negative_width),
    "no-segments": ("a table without segments is refused", _no_segments),
    "training-skips-zeros": ("a training table cannot skip zero rows", _skips_zeros),
}


def _judge_config(change: Callable[[hash_table_pb2.EmbeddingHashTableConfig], None]) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        config = table_config([SEGMENT])
        change(config)
        request = testee_pb2.Request()
        request.create.table = "refused"
        request.create.config = config.SerializeToString(deterministic=True)
        session.expect_error(request)

    return judge


for _name, (_rule, _change) in _CONFIGS.items():
    register(
        Case(
            id=f"table/refused/{_name}",
            rule=_rule,
            section="tables 12, entry 7",
            judge=_judge_config(_change),
            needs=NEEDS,
            accuracy="exact",
        )
    )
