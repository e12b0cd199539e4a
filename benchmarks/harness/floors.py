"""The floors that a run must keep, and how results are judged.

A ratio is a quotient of two contenders' seconds in the same round; the median over the rounds is judged. Of a
contender that has several forms of a job the one with the least median counts, and is named.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FLOORS", "REQUIRED", "Floor", "Outcome", "Verdict", "best_form", "exit_status", "judge", "last_line"]

REQUIRED = ("torch", "fbgemm")
"""Peers without which a run is not complete."""

LEAST_BYTES = (16 + 16) * 4 + 8 + 4
"""Bytes of a row of dim 16 with adagrad: weights and accumulators, its id, its number."""


@dataclass(frozen=True)
class Floor:
    """What must hold between the engine and a peer.

    Attributes
    ----------
    key : str
        The job in the results.
    text : str
    peer : str
        A contender, or ``form:<name>`` of the engine's own.
    least : float
        The least that (peer's seconds / engine's seconds) may be.
    form : str
        The engine's form that is meant; empty: its best.
    """

    key: str
    text: str
    peer: str
    least: float
    form: str = ""


FLOORS = (
    Floor("lookup", "lookup of hits, over TFRA", "tfra", 5.0),
    Floor("lookup", "lookup of hits, over torch's dense gather", "torch", 1.0),
    Floor("pooled", "lookup + segment sum, over torch embedding_bag", "torch", 1.0),
    Floor("pooled", "lookup + segment sum, over fbgemm", "fbgemm", 1.0),
    Floor("update", "Adagrad update, over fbgemm", "fbgemm", 4.0),
    Floor("update", "Adagrad update, over TensorFlow", "tensorflow", 7.0),
    Floor("update", "Adagrad update, over torch", "torch", 7.0),
    Floor("insert", "insert into reserved, touched rows, over TFRA", "tfra", 6.0),
    Floor("row_update", "random-row update, over the memory limit / 1.15", "limit", 1 / 1.15),
    Floor("two_threads", "two threads over one, same bits", "form:one thread", 1.7, "two threads"),
    Floor("step", "training step, over torch (sparse=True)", "torch", 4.0),
    Floor("step", "training step, over TensorFlow (IndexedSlices)", "tensorflow", 4.0),
    Floor("memory", f"least bytes over bytes a row / 1.25 ({LEAST_BYTES} bytes)", "", 1 / 1.25),
)


@dataclass
class Outcome:
    """What a contender did in one job.

    Attributes
    ----------
    seconds : dict of form to list
        By round.
    facts : dict
    reason : str
        Why there are no seconds.
    prepared : float
        Seconds it took to fill tables and to try every form once.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    prepared: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """A judged floor: ``state`` is ``kept``, ``missed`` or ``unjudged``; ``note`` names forms or the reason."""

    floor: Floor
    state: str
    ratio: float | None
    note: str


Results = Mapping[str, Mapping[str, Outcome]]
"""Job → contender → outcome."""


def best_form(outcome: Outcome | None) -> str | None:
    """The form with the least median; None without any."""
    if outcome is None or not any(outcome.seconds.values()):
        return None
    return min((f for f, s in outcome.seconds.items() if s), key=lambda form: statistics.median(outcome.seconds[form]))


def judge(results: Results, floors: Sequence[Floor] = FLOORS) -> list[Verdict]:
    """Every floor, in order."""
    return [_judge(floor, results.get(floor.key, {})) for floor in floors]


def _judge(floor: Floor, outcomes: Mapping[str, Outcome]) -> Verdict:
    ours = outcomes.get("engine", Outcome(reason="did not run"))
    if floor.key == "memory":
        found = ours.facts.get("resident bytes a row")
        if not found:
            return Verdict(floor, "unjudged", None, f"engine: {ours.reason or 'no figure'}")
        return _settle(floor, LEAST_BYTES / found, f"{found:.1f} bytes a row", True)
    form = floor.form or best_form(ours)
    if form is None or not ours.seconds.get(form):
        return Verdict(floor, "unjudged", None, f"engine: {ours.reason or 'no seconds'}")
    if floor.peer.startswith("form:"):
        theirs, other = ours, floor.peer.removeprefix("form:")
    else:
        theirs = outcomes.get(floor.peer, Outcome(reason="not in this run"))
        other = best_form(theirs) or ""
    if not theirs.seconds.get(other):
        return Verdict(floor, "unjudged", None, f"{floor.peer}: {theirs.reason or 'no seconds'}")
    pairs = zip(theirs.seconds[other], ours.seconds[form], strict=True)
    ratio = statistics.median(peer / own for peer, own in pairs)
    same = ours.facts.get("same bits", True)
    note = f"{form} / {floor.peer.removeprefix('form:')}: {other}" + ("" if same else "; BITS DIFFER")
    return _settle(floor, ratio, note, same)


def _settle(floor: Floor, ratio: float, note: str, also: bool) -> Verdict:
    return Verdict(floor, "kept" if ratio >= floor.least and also else "missed", ratio, note)


def exit_status(verdicts: Sequence[Verdict], missing: Sequence[str]) -> int:
    """3 where a required peer is missing (the run is not complete), else 1 where a floor is missed, else 0.

    A run without the engine has missed everything: 1.
    """
    if any(name in missing for name in REQUIRED):
        return 3
    return 1 if "engine" in missing or any(verdict.state == "missed" for verdict in verdicts) else 0


def last_line(verdicts: Sequence[Verdict]) -> str:
    """The line that ends a run."""
    counts = {state: sum(v.state == state for v in verdicts) for state in ("kept", "missed", "unjudged")}
    return (
        f"floors: {counts['kept'] + counts['missed']} judged, {counts['missed']} missed, {counts['unjudged']} unjudged"
    )
