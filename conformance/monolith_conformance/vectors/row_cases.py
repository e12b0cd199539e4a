"""Replay of one-rule files: rows_<rule>, rows_stochastic_rounding, rows_dc, rows_restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from monolith_conformance.vectors.legs import RowLeg, row_leg
from monolith_conformance.vectors.registry import Outcome, Setting, judged, replays
from monolith_conformance.vectors.words import config_values, first_difference, floats, number, result_of
from monolith_ref.quirks import Quirks
from monolith_ref.rows import Rows, RowSegment

__all__ = ["compare_rows", "result_of", "state_arrays", "under_every_set"]

_SINGLE = ("beta1_power", "beta2_power", "grad_square_sum")


def state_arrays(state: Mapping[str, Any]) -> dict[str, Any]:
    """A dump element of one row as the engine's state of ``n = 1`` rows."""
    arrays: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, str):
            arrays[name] = floats(value) if name in _SINGLE else floats(value)[None]
        else:
            arrays[name] = np.array([value], np.int64)
    return arrays


def compare_rows(what: str, rows: Rows, weights: str, states: list[Mapping[str, Any]]) -> str:
    """First difference between one row and its expected weights and states."""
    note = first_difference(f"{what} w", rows.weights[0], floats(weights))
    if note:
        return note
    for got, wanted in zip(rows.states, states, strict=True):
        expected = state_arrays(wanted)
        if set(got) != set(expected):
            return f"{what}: state fields {sorted(got)}, expected {sorted(expected)}"
        for name, array in expected.items():
            note = first_difference(f"{what} {name}", got[name], array)
            if note:
                return note
    return ""


def _segment(case: Mapping[str, Any], document: Mapping[str, Any]) -> RowSegment:
    rounding = case.get("stochastic_rounding_float16", document.get("stochastic_rounding_float16", False))
    if "base" in case:
        base, config = case["base"], config_values(case["config"])
        return RowSegment(
            case["dim"], base["rule"], config_values(base["config"]), dc_lambda=config.get("lambda_", np.float32(0)),
            stochastic_rounding=bool(base.get("stochastic_rounding_float16", rounding)),
        )  # fmt: skip
    return RowSegment(case["dim"], case["rule"], config_values(case["config"]), stochastic_rounding=bool(rounding))


def _run_steps(leg: RowLeg, case: Mapping[str, Any], setting: Setting) -> str:
    tags = case.get("tags", ())
    fresh = leg.create(1)
    if case["state0"] and "given_state" not in tags and "base" not in case and _initialised(case):
        note = compare_rows("initial", Rows(floats(case["w0"])[None], fresh.states), case["w0"], [case["state0"]])
        if note:
            return note
    rows = leg.rows(floats(case["w0"])[None], [state_arrays(case["state0"])])
    for index, step in enumerate(case["steps"]):
        rates = np.array([number(step["lr"])], np.float32)
        latest = floats(step["latest"])[None] if "latest" in step else None
        rows = leg.optimize(rows, floats(step["g"])[None], rates, step.get("global_step", 0), latest=latest)
        expected = result_of(step, setting.profile)
        note = compare_rows(f"step {index}", rows, expected["w"], [expected["state"]])
        if note:
            return note
    return ""


def _initialised(case: Mapping[str, Any]) -> bool:
    # The two rules that the original cannot build were called as bare functions, with any state.
    return case["rule"] not in ("group_ftrl", "dynamic_wd_adagrad")


def under_every_set(
    case: Mapping[str, Any], segments: Sequence[RowSegment], setting: Setting, run: Callable[[RowLeg], str]
) -> str:
    """First difference of a case under the sets of switches it has to be run with; equal legs run once."""
    seen: list[Any] = []
    for label, text in setting.switch_sets(case.get("quirks")):
        leg = row_leg(segments, setting.target, setting.profile, Quirks.parse(text))
        if leg.identity() in seen:
            continue
        seen.append(leg.identity())
        note = run(leg)
        if note:
            return f"[quirks {label}] {note}"
    return ""


def _is_steps(document: dict[str, Any]) -> bool:
    cases = document.get("cases")
    return isinstance(cases, list) and bool(cases) and all({"rule", "steps", "w0"} <= set(case) for case in cases)


@replays(when=_is_steps)
def replay_steps(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    """Every step of every case, each profile its own trajectory."""
    for case in document["cases"]:

        def run(case: Mapping[str, Any] = case) -> str:
            segment = _segment(case, document)
            return under_every_set(case, [segment], setting, lambda leg: _run_steps(leg, case, setting))

        group = f"dc({case['base']['rule']})" if "base" in case else case["rule"]
        yield from judged(case["id"], group, run)


def _run_restore(leg: RowLeg, case: Mapping[str, Any], setting: Setting) -> str:
    dump = Rows(floats(case["dump"]["w"])[None], [state_arrays(case["dump"]["state"])])
    rows = leg.restore(dump)
    note = compare_rows("saved_again", rows, case["saved_again"]["w"], [case["saved_again"]["state"]])
    if note:
        return note
    same = not compare_rows("", rows, case["dump"]["w"], [case["dump"]["state"]])
    if same != case["faithful"]:
        return f"saved_again {'equals' if same else 'differs from'} dump, faithful is {case['faithful']}"
    step = case["then"]
    rates = np.array([number(step["lr"])], np.float32)
    rows = leg.optimize(rows, floats(step["g"])[None], rates, step["global_step"])
    expected = result_of(step, setting.profile)
    return compare_rows("then", rows, expected["w"], [expected["state"]])


def _is_restore(document: dict[str, Any]) -> bool:
    cases = document.get("cases")
    return isinstance(cases, list) and bool(cases) and all({"dump", "saved_again", "then"} <= set(c) for c in cases)


@replays(when=_is_restore)
def replay_restore(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    """A fresh row restored from a dump, dumped again, then one step."""
    for case in document["cases"]:

        def run(case: Mapping[str, Any] = case) -> str:
            segment = _segment(case, document)
            return under_every_set(case, [segment], setting, lambda leg: _run_restore(leg, case, setting))

        yield from judged(case["id"], case["rule"], run)
