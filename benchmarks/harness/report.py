"""What a run has found: as text, as JSON, and as figures for the page."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.harness.bends import Point
from benchmarks.harness.floors import Outcome, Verdict, best_form
from benchmarks.harness.plan import Job
from benchmarks.harness.plots import seconds_text

__all__ = [
    "Item",
    "Measured",
    "Run",
    "curves",
    "facts_text",
    "item",
    "job_lines",
    "json_report",
    "ratios",
    "verdict_lines",
]

MEMORY = ("resident bytes a row", "counted bytes a row")


@dataclass
class Measured:
    """A job and what each contender did."""

    job: Job
    outcomes: dict[str, Outcome]


@dataclass
class Run:
    """Everything of a run.

    Attributes
    ----------
    about : dict
        Machine, versions, rounds, what was left out.
    measured, verdicts : list
    absent : dict of contender to reason
    dropped : dict of unit to reason
        What the time did not allow.
    cuda : dict
        ``device``; ``lines`` or ``reason``; empty: not asked for.
    """

    about: dict[str, Any] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    cuda: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """A contender's best form, and its median, least and most seconds by unit."""

    form: str
    middle: float
    low: float
    high: float


def item(measured: Measured, name: str) -> Item | None:
    """None where there are no seconds."""
    outcome = measured.outcomes.get(name)
    form = best_form(outcome)
    if outcome is None or form is None:
        return None
    seconds = [s / measured.job.unit for s in outcome.seconds[form]]
    return Item(form, statistics.median(seconds), min(seconds), max(seconds))


def ratios(measured: Measured, name: str) -> tuple[float, float, float] | None:
    """(median, least, most) over the rounds of a contender's seconds over the engine's, best forms of both."""
    ours, theirs = measured.outcomes.get("engine"), measured.outcomes.get(name)
    form, other = best_form(ours), best_form(theirs)
    if ours is None or theirs is None or form is None or other is None:
        return None
    found = [peer / own for peer, own in zip(theirs.seconds[other], ours.seconds[form], strict=False)]
    return statistics.median(found), min(found), max(found)


def curves(run: Run) -> dict[tuple[str, str], dict[str, list[Point]]]:
    """Points by (axis, curve) and contender, by rising x; of the memory's curve they are bytes."""
    kept: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for measured in run.measured:
        spec = measured.job.spec
        for axis, curve in measured.job.curves:
            for name, outcome in measured.outcomes.items():
                found = item(measured, name)
                counted = [outcome.facts[key] for key in MEMORY if key in outcome.facts and spec["job"] == "memory"]
                if found is not None:
                    point = Point(spec[axis], found.middle, found.low, found.high, spec)
                elif counted:
                    point = Point(spec[axis], counted[-1], min(counted), max(counted), spec)
                else:
                    continue
                kept.setdefault((axis, curve), {}).setdefault(name, []).append(point)
    for by_name in kept.values():
        for points in by_name.values():
            points.sort(key=lambda point: point.x)
    return kept


def facts_text(outcome: Outcome) -> str:
    """What else a contender said."""
    return ", ".join(
        f"{key} {value:,.1f}" if isinstance(value, float) else f"{key} {value}" for key, value in outcome.facts.items()
    )


def job_lines(measured: Measured) -> Iterator[str]:
    """A job's table: per contender its time, spread, ratio to the engine's and form; ``-`` and a reason without."""
    yield f"{measured.job.title} ({measured.job.threads} thread{'s' * (measured.job.threads > 1)})"
    for name, outcome in measured.outcomes.items():
        found, facts = item(measured, name), facts_text(outcome)
        if found is None:
            reason = f"-  {outcome.reason or 'no seconds'}"
            yield f"  {name:16} {facts if facts and not outcome.reason else reason}"
            continue
        over = ratios(measured, name)
        ratio = f"{over[0]:7.2f}x" if over is not None else " " * 8
        spread = f"{seconds_text(found.low)} to {seconds_text(found.high)}"
        form = f"{found.form}{'; ' + facts if facts else ''}"
        yield f"  {name:16} {seconds_text(found.middle):>9} {ratio}  {spread:22} {form}"


def verdict_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The table of floors."""
    yield f"{'floor':56}{'asked':>8}{'found':>8}  {'':9} forms"
    for verdict in verdicts:
        found = "-" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        yield f"{verdict.floor.text:56}{verdict.floor.least:8.2f}{found:>8}  {verdict.state:9} {verdict.note}"


def json_report(run: Run) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "about": run.about,
        "absent": run.absent,
        "dropped": run.dropped,
        "floors": [{**asdict(v.floor), "state": v.state, "ratio": v.ratio, "note": v.note} for v in run.verdicts],
        "jobs": [
            {
                **asdict(m.job),
                "outcomes": {name: asdict(outcome) for name, outcome in m.outcomes.items()},
                "ratios": {name: ratios(m, name) for name in m.outcomes},
            }
            for m in run.measured
        ],
        "cuda": run.cuda,
    }
