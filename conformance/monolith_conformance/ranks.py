"""One run on several ranks: cases dealt like cards, each rank with its own backend, one summary on rank 0.

What all ranks must do together (reductions over real ranks) is done first; everything else goes to rank number
``index mod ranks``. Outcomes travel as JSON. A rank that ends early takes the job down with it, as launchers do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from monolith_conformance.cases.case import Case
from monolith_conformance.explain.trial import Shown
from monolith_conformance.outcome import Outcome, RunSummary
from monolith_conformance.transcript import Mismatch, Transcript
from monolith_ref.sync.communicator import Communicator

__all__ = ["deal", "gather"]


def deal(cases: Sequence[Case], rank: int, ranks: int) -> list[Case]:
    """Every ``ranks``-th case, beginning with number ``rank``."""
    return list(cases[rank::ranks])


def gather(communicator: Communicator, summary: RunSummary, order: Sequence[Case]) -> RunSummary:
    """The summaries of all ranks as one, on every rank: outcomes in ``order``, the worst where several have one."""
    plain = {
        "outcomes": [_as_json(outcome) for outcome in summary.outcomes.values()],
        "problems": summary.problems,
        "seconds": summary.seconds,
    }
    parts = [json.loads(data) for data in communicator.allgather_bytes(json.dumps(plain).encode(), "outcomes")]
    cases = {case.id: case for case in order}
    found: dict[str, Outcome] = {}
    for rank, part in enumerate(parts):
        for data in part["outcomes"]:
            outcome = _from_json(cases[data["id"]], data)
            if outcome.status in ("failed", "fault") and communicator.size > 1:
                outcome.message = "; ".join(filter(None, (outcome.message, f"on rank {rank}")))
            held = found.get(outcome.case.id)
            if held is None or held.status == "passed":
                found[outcome.case.id] = outcome
    summary.outcomes = {case.id: found[case.id] for case in order if case.id in found}
    summary.problems = list(dict.fromkeys(problem for part in parts for problem in part["problems"]))
    summary.seconds = max(part["seconds"] for part in parts)
    return summary


def _as_json(outcome: Outcome) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "id": outcome.case.id,
        **{name: getattr(outcome, name) for name in ("status", "message", "cause", "seconds", "stderr", "command")},
    }
    if outcome.mismatch is not None:
        plain["mismatch"] = asdict(outcome.mismatch)
    if outcome.transcript is not None:
        plain["transcript"] = outcome.transcript.lines()
    if outcome.smallest is not None:
        plain["smallest"] = outcome.smallest.transcript.lines()
        plain["smallest_mismatch"] = asdict(outcome.smallest.mismatch)
    return plain


def _from_json(case: Case, plain: Mapping[str, Any]) -> Outcome:
    outcome = Outcome(case, plain["status"])
    for name in ("message", "cause", "seconds", "stderr", "command"):
        setattr(outcome, name, plain[name])
    if "mismatch" in plain:
        outcome.mismatch = Mismatch(**plain["mismatch"])
    if "transcript" in plain:
        outcome.transcript = Transcript.from_lines(plain["transcript"])
    if "smallest" in plain:
        steps = Transcript.from_lines(plain["smallest"]).steps
        outcome.smallest = Shown(tuple(steps), Mismatch(**plain["smallest_mismatch"]))
    return outcome
