"""Steps of several ranks on generated ids and gradients, in every reduction, against the oracle."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from monolith_conformance.backends.sync_requests import HALVES, QUESTIONS, REDUCTIONS
from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.generated_rows import segments
from monolith_conformance.cases.golden import table_config
from monolith_conformance.cases.sync import sync
from monolith_conformance.generating import exploring, float_lists, numbers, words
from monolith_conformance.mirror import Mirror
from monolith_conformance.session import Session

__all__: list[str] = []

RULES = ("sgd", "adagrad", "adam", "ftrl", "momentum", "rmspropv2")
IDS = [0, 1, 2, 3, 7, -1, -2, (5 << 48) | 4, -(1 << 63), (1 << 63) - 1]


@st.composite
def _parts(draw: st.DrawFn, dim: int, most: int = 4) -> list[tuple[list[int], Any]]:
    parts = []
    of = words() if draw(st.booleans()) else numbers()
    for _ in range(draw(st.integers(1, most))):
        ids = draw(st.lists(st.sampled_from(IDS), max_size=6))
        parts.append((ids, draw(float_lists(len(ids) * dim, of))))
    return parts


@st.composite
def _runs(draw: st.DrawFn, reduction: str, stale: bool) -> tuple[Any, int, list[tuple[str, Any]]]:
    made = draw(segments(RULES, most=1, widest=9))
    steps = [(reduction, draw(_parts(made[0]["dim"]))) for _ in range(draw(st.integers(1, 4)))]
    return made, draw(st.integers(1, 3)) if stale else 0, steps


def _run(session: Session, example: tuple[Any, int, list[tuple[str, Any]]]) -> None:
    made, stale, steps = example
    mirror = Mirror(session)
    table = mirror.table(table_config(made))
    if stale:
        mirror.ask(sync(table.table, "staleness", [], global_step=stale))
    for number, (reduction, parts) in enumerate(steps):
        mirror.ask(sync(table.table, reduction, parts, 0.125, time=number + 1, global_step=number))
        table.op("lookup", IDS)
    if stale:
        mirror.ask(sync(table.table, "staleness", []))
    table.op("lookup_entry", IDS)
    table.op("size")


@st.composite
def _questions(draw: st.DrawFn, kind: str) -> tuple[str, list[list[int]]]:
    fids = st.one_of(st.sampled_from(IDS), st.integers(-(1 << 63), (1 << 63) - 1))
    return kind, draw(st.lists(st.lists(fids, max_size=8), min_size=1, max_size=7))


def _question(session: Session, example: tuple[str, list[list[int]]]) -> None:
    kind, parts = example
    Mirror(session).ask(sync(None, kind, [(ids, []) for ids in parts]))


def _add(id: str, rule: str, judge: Any, needs: set[str], required: bool = True) -> None:
    register(
        Case(
            id=id,
            rule=rule,
            section="sync_training 2.2, 2.4, 2.5, 5",
            judge=judge,
            needs=frozenset(needs),
            generated=True,
            required=required,
        )
    )


def _register() -> None:
    table = {f"optimizer.{rule}" for rule in RULES} | {"initializer.zeros"}
    table |= {f"table.{op}" for op in ("lookup", "lookup_entry", "size")}
    for reduction in (*REDUCTIONS, *HALVES):
        strategy = _runs(reduction, False)
        _add(
            f"sync/{reduction}/generated",
            "generated steps of one to four ranks leave the oracle's rows",
            exploring(strategy, _run, quick=12, full=100),
            table | {f"sync.{reduction}"},
            reduction in REDUCTIONS,
        )
    late = _runs("sequential", True)
    _add(
        "sync/staleness/generated",
        "steps that are held back are applied later, one by one, as the oracle applies them",
        exploring(late, _run, quick=12, full=100),
        table | {"sync.sequential", "sync.staleness"},
        False,
    )
    for kind in QUESTIONS:
        asked = _questions(kind)
        _add(
            f"sync/{kind.split('_')[0]}/generated[kind={kind}]",
            "owners, and what is sent to them, are the oracle's for any ids and ranks",
            exploring(asked, _question, quick=40, full=800),
            {f"sync.{kind}"},
            "empty" not in kind,
        )


_register()
