"""Scenarios of ``recorder.json`` against what is expected of them, clean and as measured on the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monolith_conformance.dumps.scenarios import Scenario

__all__ = ["expected", "replay_scenario"]


def expected(scenario: Mapping[str, Any], column: str) -> dict[str, Any]:
    """The whole expectation of one column; ``original_newest`` lists only what differs from ``clean``."""
    clean = dict(scenario["clean"])
    if column == "clean":
        return clean
    changed = scenario[column]
    if changed == "same":
        return clean
    out = {**clean, **{key: value for key, value in changed.items() if key != "outcomes"}}
    outcomes = list(clean["outcomes"])
    for place, outcome in changed.get("outcomes", {}).items():
        outcomes[int(place)] = outcome
    out["outcomes"] = outcomes
    return {key: value for key, value in out.items() if value is not None}


def replay_scenario(document: Mapping[str, Any], scenario: Mapping[str, Any], column: str) -> list[str]:
    """Replay one scenario against one column; returns what differs."""
    compat = "clean" if column == "clean" else "original"
    got = Scenario(scenario, document["wrapped_functions"], document["model_attributes"], compat).run()
    want = expected(scenario, column)
    problems = []
    for place, (found, wanted) in enumerate(zip(got["outcomes"], want["outcomes"], strict=True)):
        if _comparable(found, column) != _comparable(wanted, column):
            problems.append(f"call {place} ({scenario['calls'][place]['call']}): got {found}, expected {wanted}")
    for key in ("recorded", "configs", "sub_models", "modes"):
        if key in want and got[key] != want[key]:
            problems.append(f"{key}: got {got[key]}, expected {want[key]}")
        elif key == "modes" and key not in want and got[key]:
            problems.append(f"modes: got {got[key]}, expected none")
    return problems


def _comparable(outcome: Mapping[str, Any], column: str) -> dict[str, Any]:
    """Without texts; the original's warnings by count."""
    out = {key: value for key, value in outcome.items() if key != "message"}
    if column != "clean" and "warnings" in out:
        out["warnings"] = len(out["warnings"])
    return out
