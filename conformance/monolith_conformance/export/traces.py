"""Every fixed case as requests and expected results, recorded from the oracle: a case in any language.

One file an area and rounding contract, one case a line; ``avx`` has those alone that differ from ``ieee``. A case is
recorded under the default switches, with those on and off that it needs; the line says which are in force. Table names
begin anew in every case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.cases.case import Case
from monolith_conformance.export.bundle import Bundle
from monolith_conformance.runner import judge_case
from monolith_conformance.session import Session
from monolith_conformance.testee.jsonlines import to_json
from monolith_conformance.transcript import Step
from monolith_ref.errors import StateError
from monolith_ref.progress import Bar
from monolith_ref.quirks import Quirks

__all__ = ["add_traces", "record"]


def record(case: Case, profile: str) -> dict[str, Any] | None:
    """One case as data; None where it asks for something that the oracle does not do.

    Raises
    ------
    StateError
        Where the oracle fails the case: then there is nothing to export.
    """
    default = Quirks.parse("default")
    quirks = Quirks((frozenset(default) | case.quirks) - case.without)
    session = Session(OracleBackend(), profile, quirks)
    session.full = True
    session.open()
    outcome = judge_case(session, case)
    if outcome.status in ("unsupported", "not_asked"):
        return None
    if outcome.status != "passed":
        raise StateError(f"the oracle fails {case.id}: {outcome.mismatch or outcome.message}")
    return {
        "id": case.id,
        "rule": case.rule,
        "section": case.section,
        "required": case.required,
        "accuracy": case.accuracy,
        "profile": profile,
        "quirks": sorted(quirks),
        "needs": sorted(case.needs),
        "fresh": case.fresh,
        "steps": [_plain(step) for step in session.transcript],
    }


def _plain(step: Step) -> dict[str, Any]:
    request = json.loads(to_json(step.request))
    del request["seq"]
    plain: dict[str, Any] = {"request": request}
    if step.expected is not None:
        plain["expected"] = json.loads(to_json(step.expected))
        plain["judged"] = list(step.judged)
    if step.refused:
        plain["refused"] = True
    return plain


def add_traces(bundle: Bundle, cases: Iterable[Case], bar: Bar) -> dict[str, str]:
    """Record cases into ``traces/``; returns the ids of those that are not there, and why."""
    left_out: dict[str, str] = {}
    areas: dict[str, list[Case]] = {}
    for case in cases:
        if case.generated:
            left_out[case.id] = "tries many examples, which only the suite draws"
        elif case.full:
            left_out[case.id] = "takes long and is large"
        elif any(need.startswith("checkpoint.") for need in case.needs):
            left_out[case.id] = "reads or writes files"
        else:
            areas.setdefault(case.area, []).append(case)
    bar.begin("recording cases", sum(map(len, areas.values())))
    for area, members in areas.items():
        lines: dict[str, list[str]] = {"ieee": [], "avx": []}
        for case in members:
            _add_lines(case, lines, left_out)
            bar.advance()
        for profile, recorded in lines.items():
            if recorded:
                path = f"traces/{profile}/{area.replace('/', '.')}.jsonl"
                about = f"cases of {area}, recorded"
                bundle.add_lines(path, recorded, "trace", about, schema="trace", cases=len(recorded))
    return dict(sorted(left_out.items()))


def _add_lines(case: Case, lines: dict[str, list[str]], left_out: dict[str, str]) -> None:
    steps: Any = None
    for profile, recorded in lines.items():
        plain = record(case, profile) if profile in case.profiles else None
        if plain is not None and plain["steps"] != steps:
            steps = plain["steps"]
            recorded.append(json.dumps(plain, separators=(",", ":"), ensure_ascii=False))
    if steps is None:
        left_out[case.id] = "asks for what the oracle does not do"
