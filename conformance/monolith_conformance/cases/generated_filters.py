"""Filters as machines: generated counts and questions, alone and in front of tables, against the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.filter_counts import ask
from monolith_conformance.cases.generated_tables import DAY
from monolith_conformance.cases.golden import table_config
from monolith_conformance.generating import exploring
from monolith_conformance.mirror import Mirror
from monolith_conformance.session import Session

__all__: list[str] = []

COUNTING = ("hash", "hash_u8", "sliding")
SPREAD = 1 << 17
OPS = ("add", "add", "add", "get", "should_be_filtered")


@st.composite
def _ids(draw: st.DrawFn) -> list[int]:
    """A small world of ids: of few signatures, so that they meet, or of many."""
    step = draw(st.sampled_from([1, SPREAD, SPREAD + 1, SPREAD << 12]))
    count = draw(st.integers(1, 200))
    return [(k * step) ^ ((k % 3) << 48) for k in range(1, count + 1)]


@st.composite
def _traces(draw: st.DrawFn, kind: str) -> tuple[str, int, int, list[tuple[str, int, int, int]]]:
    ids = draw(_ids())
    counts = st.one_of(st.integers(0, 5), st.sampled_from([14, 15, 16, 1000, (1 << 32) - 1]))
    one = st.tuples(st.sampled_from(OPS), st.sampled_from(ids), counts, st.integers(-1, 15))
    ops = draw(st.lists(one, max_size=40))
    walk = [("add", fid, 1 + fid % 3, 0) for fid in ids]  # Enough to fill splits and move a window.
    where = draw(st.integers(0, len(ops)))
    capacity = draw(st.sampled_from([10, 60, 300] if kind != "sliding" else [1, 300, 450]))
    return kind, capacity, draw(st.sampled_from([0, 1, 5, 7, 40])), [*ops[:where], *walk, *ops[where:]]


def _count(session: Session, example: tuple[str, int, int, list[tuple[str, int, int, int]]]) -> None:
    kind, capacity, split_num, ops = example
    Mirror(session).ask(ask(session, kind, ops, capacity=capacity, split_num=split_num))


_STEPS = ("optimize", "optimize", "optimize-dedup", "assign", "assign_add", "evict", "lookup")


@st.composite
def _admissions(draw: st.DrawFn, kind: str) -> tuple[str, list[tuple[str, list[int], int]]]:
    ids = draw(_ids())[:30]
    text = f"{kind} capacity=300 split_num={draw(st.sampled_from([5, 7]))} threshold={draw(st.integers(0, 4))}"
    for slot in draw(st.lists(st.integers(0, 2), unique=True)):
        text += f" threshold.{slot}={draw(st.integers(0, 15))}"
    one = st.tuples(
        st.sampled_from(_STEPS),
        st.lists(st.sampled_from(ids), min_size=1, max_size=12),
        st.sampled_from([1, DAY, 3 * DAY]),
    )
    return text, draw(st.lists(one, min_size=1, max_size=12))


def _admit(session: Session, example: tuple[str, list[tuple[str, list[int], int]]]) -> None:
    text, steps = example
    config = table_config([{"dim": 1, "rule": "sgd", "config": {}}])
    config.slot_expire_time_config.default_expire_time = 1
    table = Mirror(session).table(config, text)
    for op, ids, time in steps:
        values: Any = np.arange(1, len(ids) + 1, dtype=np.float32)
        if op.startswith("optimize"):
            table.op("optimize", ids, values, np.array([0.5], np.float32), time=time, dedup=op != "optimize")
        elif op in ("assign", "assign_add"):
            table.op(op, ids, values, time=time)
        else:
            table.op(op, ids, time=time)
    table.op("save")


def _register() -> None:
    for kind in COUNTING:
        strategy = _traces(kind)
        register(
            Case(
                id=f"filter/{kind}/generated",
                rule="generated counts and questions are answered as the oracle answers them",
                section="filters 2, 3, 4",
                judge=exploring(strategy, _count, quick=25, full=400),
                needs=frozenset({f"filter.{kind}"}),
                generated=True,
                accuracy="exact",
            )
        )
    for kind in (*COUNTING, "probabilistic", "probabilistic_equal"):
        admitting = _admissions(kind)
        register(
            Case(
                id=f"filter/admission/generated[kind={kind}]",
                rule="tables behind a filter make the rows that the oracle makes",
                section="filters 5, 6, 7",
                judge=exploring(admitting, _admit, quick=25, full=400),
                needs=frozenset(
                    {f"filter.{kind}", "filter.admission", "optimizer.sgd", "initializer.zeros", "expiry"}
                    | {f"table.{op}" for op in ("optimize", "assign", "assign_add", "evict", "lookup", "save")}
                ),
                generated=True,
            )
        )


_register()
