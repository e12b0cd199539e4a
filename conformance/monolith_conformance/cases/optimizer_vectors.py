"""Every measured trajectory of every optimizer, as one case each: embedding and state after every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.golden import floats, golden, number, result_of, state_values, table_config
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle.table import Row
from monolith_conformance.session import Session, Table

__all__: list[str] = []

FID = (3 << 48) | 0x1234_5678
RULES = (
    "sgd", "adagrad", "adadelta", "adam", "amsgrad", "momentum", "moving_average", "rmsprop", "rmspropv2", "ftrl",
    "group_adagrad", "batch_softmax", "stochastic_rounding", "dynamic_wd_adagrad", "group_ftrl",
)  # fmt: skip
UNBUILT = ("dynamic_wd_adagrad", "group_ftrl")


def _given(case: Mapping[str, Any]) -> bool:
    """Whether the row begins with a state that initialisation does not give."""
    return "given_state" in case.get("tags", ()) or case["rule"] in UNBUILT


def put_row(table: Table, case: Mapping[str, Any], rule: str) -> None:
    """Make the row of a vector: restored where its state is given, assigned where it is that of a new row."""
    weights = floats(case["w0"])
    if _given(case):
        state = state_values(case["state0"])
        row = Row(FID, weights, [state], 0)
        table.op("restore", entries=[entry_of(row, [rule])])
    else:
        table.op("assign", [FID], weights)


def expect_row(session: Session, table: Table, rule: str, expected: Mapping[str, Any], time: int) -> None:
    """Hold embedding and, where the backend shows it, state against a vector's result."""
    weights = floats(expected["w"])
    table.op("lookup", [FID])
    session.expect(floats=weights, ints=[1])
    if session.can("table.lookup_entry"):
        table.op("lookup_entry", [FID])
        row = Row(FID, weights, [state_values(expected["state"])], time)
        session.expect(entries=[entry_of(row, [rule], with_id=False)])


def _judge(case: Mapping[str, Any], rounding: bool) -> Any:
    def judge(session: Session) -> None:
        table = session.table(table_config([{**case, "stochastic_rounding_float16": rounding}]))
        put_row(table, case, case["rule"])
        for time, step in enumerate(case["steps"], 1):
            rate = np.array([number(step["lr"])], np.float32)
            table.op("optimize", [FID], floats(step["g"]), rate, time=time, global_step=step.get("global_step", 0))
            expect_row(session, table, case["rule"], result_of(step, session.profile), time)

    return judge


def _register(name: str) -> None:
    document = golden(f"rows_{name}")
    for case in document["cases"]:
        rounding = bool(case.get("stochastic_rounding_float16", name == "stochastic_rounding"))
        needs = {f"optimizer.{case['rule']}", "initializer.zeros", "table.optimize", "table.lookup"}
        needs.add("table.restore" if _given(case) else "table.assign")
        quirks = set(case.get("quirks", ()))
        if rounding:
            needs.add("optimizer.stochastic_rounding")
        if case["rule"] in UNBUILT:
            quirks.add("unbuilt_rules")
        area = "stochastic_rounding" if rounding else case["rule"]
        tags = f" ({', '.join(case['tags'])})" if case.get("tags") else ""
        register(
            Case(
                id=f"core/optimizer.{area}/{case['id']}",
                rule=f"{case['rule']} gives the measured rows and state, step by step{tags}",
                section="optimizers 1, 2" + (", 3" if rounding else ""),
                judge=_judge(case, rounding),
                needs=frozenset(needs),
                quirks=frozenset(quirks),
                without=frozenset({"adam_restore_powers"} if case["rule"] == "adam" and _given(case) else ()),
                required=case["rule"] not in UNBUILT,
                fresh=rounding,
            )
        )


for _name in RULES:
    _register(_name)
