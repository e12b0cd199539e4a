"""Measured rows of several segments, retrievers, serving rows, initial values and restored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.golden import floats, golden, number, result_of, state_values, table_config
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle.table import Row
from monolith_conformance.session import Session, Table

__all__: list[str] = []

FIRST = 0x0005_0000_0000_0100


def _rules(case: Mapping[str, Any]) -> list[str]:
    return [str(segment["rule"]) for segment in case["segments"]]


def _states(rules: Sequence[str], dumps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One state a segment; moving_average has no dump element."""
    elements = iter(dumps)
    return [{} if rule == "moving_average" else state_values(next(elements)[rule]) for rule in rules]


def _play(session: Session, table: Table, case: Mapping[str, Any]) -> None:
    rules = _rules(case)
    latest = [case["state0"]] * len(case["rows_w0"])
    for number_of_row, weights in enumerate(case["rows_w0"]):
        row = Row(FIRST + number_of_row, floats(weights), _states(rules, case["state0"]), 0)
        table.op("restore", entries=[entry_of(row, rules)])
    for time, op in enumerate(case["ops"], 1):
        fid, expected = FIRST + op["row"], result_of(op, session.profile)
        if op["op"] == "optimize":
            table.op("optimize", [fid], floats(op["g"]), floats(op["lr"]), time=time, global_step=op["global_step"])
        elif op["op"] != "fill":
            table.op(op["op"], [fid], floats(op["v"]), time=time)
        if "w" in expected:
            # Where a vector names no state, the operation keeps it.
            latest[op["row"]] = expected.get("state", latest[op["row"]])
            row = Row(fid, floats(expected["w"]), _states(rules, latest[op["row"]]), time)
            table.op("lookup_entry", [fid])
            session.expect(entries=[entry_of(row, rules, with_id=False)])
        if "fill" in expected:
            table.op("lookup", [fid])
            session.expect(floats=floats(expected["w"] if expected["fill"] == "w" else expected["fill"]), ints=[1])


def _needs(segments: Sequence[Mapping[str, Any]]) -> set[str]:
    needs = set()
    for segment in segments:
        needs.add(f"initializer.{(segment.get('initializer') or {'kind': 'zeros'})['kind']}")
        if "rule" in segment:
            needs.add(f"optimizer.{segment['rule']}")
        if segment.get("stochastic_rounding_float16"):
            needs.add("optimizer.stochastic_rounding")
        if segment.get("compressor"):
            needs.add(f"compressor.{segment['compressor']['kind']}")
    return needs


def _register_entries(name: str, area: str, section: str, rule: str) -> None:
    for case in golden(f"rows_{name}")["cases"]:
        needs = _needs(case["segments"]) | {"table.restore", "table.lookup", "table.lookup_entry", "table.optimize"}
        needs |= {f"table.{op['op']}" for op in case["ops"] if op["op"] != "fill"}

        def judge(session: Session, case: Mapping[str, Any] = case) -> None:
            _play(session, session.table(table_config(case["segments"])), case)

        register(
            Case(
                id=f"core/{area}/{case['id']}",
                rule=rule,
                section=section,
                judge=judge,
                needs=frozenset(needs),
                quirks=frozenset(case.get("quirks", ())),
                without=frozenset({"adam_restore_powers"} if "adam" in _rules(case) else ()),
                fresh=True,
            )
        )


def _register_compressors() -> None:
    for case in golden("rows_compressors")["cases"]:
        if "segments" not in case:
            continue  # The digest of all halves speaks of a function, not of a table.

        def judge(session: Session, case: Mapping[str, Any] = case) -> None:
            expected = result_of(case, session.profile)
            table = session.table(table_config(case["segments"], serving=True))
            table.op("assign", [FIRST], floats(case["in"]), time=1)
            table.op("lookup", [FIRST])
            session.expect(floats=floats(expected["decoded"]), ints=[1])
            if "after_add_decoded" in expected:
                table.op("assign_add", [FIRST], floats(case["add"]), time=2)
                table.op("lookup", [FIRST])
                session.expect(floats=floats(expected["after_add_decoded"]), ints=[1])

        kinds = {f"compressor.{segment['compressor']['kind']}" for segment in case["segments"]}
        register(
            Case(
                id=f"core/compressor/{case['id']}",
                rule="a serving row reads back as its compressor encodes it",
                section="optimizers 6",
                judge=judge,
                needs=frozenset({"table.serving", "table.assign", "table.lookup", *kinds}),
                quirks=frozenset(case.get("quirks", ())),
            )
        )


def _register_initializers() -> None:
    for case in golden("rows_initializers")["cases"]:
        tables = case.get("tables") or [case["segments"]]

        def judge(session: Session, case: Mapping[str, Any] = case, tables: Any = tables) -> None:
            made = [session.table(table_config([{**s, "rule": "sgd"} for s in segments])) for segments in tables]
            rows = result_of(case["rows"], session.profile)
            for number_of_row, expected in enumerate(rows):
                table = made[case["order"][number_of_row]] if "order" in case else made[0]
                # A zero gradient and rate leave the new row as its initializer made it (up to the sign of zero).
                table.op("assign_add", [FIRST + number_of_row], np.full(table.dim, -0.0, np.float32), time=1)
                table.op("lookup", [FIRST + number_of_row])
                session.expect(floats=floats(expected), ints=[1])

        needs = {need for segments in tables for need in _needs(segments)}
        register(
            Case(
                id=f"core/initializer/{case['id']}",
                rule="new rows hold what the initializers give, drawn in order of creation",
                section="optimizers 5",
                judge=judge,
                needs=frozenset({"optimizer.sgd", "table.assign_add", "table.lookup", *needs}),
                quirks=frozenset(case.get("quirks", ())),
                fresh=True,
            )
        )


def _register_restores() -> None:
    for case in golden("rows_restore")["cases"]:

        def judge(session: Session, case: Mapping[str, Any] = case) -> None:
            rules = [case["rule"]]
            table = session.table(table_config([case]))
            dump = Row(FIRST, floats(case["dump"]["w"]), [state_values(case["dump"]["state"])], 7)
            table.op("restore", entries=[entry_of(dump, rules)])
            saved = case["saved_again"]
            table.op("save")
            again = Row(FIRST, floats(saved["w"]), [state_values(saved["state"])], 7)
            session.expect(entries=[entry_of(again, rules)])
            step = case["then"]
            rate = np.array([number(step["lr"])], np.float32)
            table.op("optimize", [FIRST], floats(step["g"]), rate, time=8, global_step=step["global_step"])
            expected = result_of(step, session.profile)
            table.op("save")
            row = Row(FIRST, floats(expected["w"]), [state_values(expected["state"])], 8)
            session.expect(entries=[entry_of(row, rules)])

        ops = ("table.restore", "table.save", "table.optimize")
        register(
            Case(
                id=f"core/restore/{case['id']}",
                rule=f"a restored row of {case['rule']} goes on as the saved one would have",
                section="optimizers 1.2, checkpoints 4.2",
                judge=judge,
                needs=frozenset({f"optimizer.{case['rule']}", "initializer.zeros", *ops}),
                quirks=frozenset(case.get("quirks", ())),
            )
        )


_register_entries("combination", "segments", "optimizers 4", "a row of several segments is updated segment by segment")
_register_entries("retrievers", "retriever", "optimizers 6", "training reads and gradients go through the compressor")
_register_compressors()
_register_initializers()
_register_restores()
