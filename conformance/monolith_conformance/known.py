"""Known failures: one text file a backend, failing the run as soon as it is not true any more.

A line is ``id  @fingerprint  # reason``. The fingerprint is that of the first difference; a line may leave it out, and
may end in ``*`` to cover at most twenty cases. Lines that match nothing, or cases that pass, are not run or fail in
another way, are stale: the file then no longer says what is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from monolith_conformance.outcome import Outcome, RunSummary
from monolith_ref.errors import ArgumentError, FormatError

__all__ = ["MOST_BY_STAR", "KnownFailure", "apply_known", "read_known", "settle", "write_known"]

MOST_BY_STAR = 20
_LINE = re.compile(r"^(?P<id>[^\s#@]+)(?:\s+@(?P<print>[0-9a-f]{8}))?\s+#\s*(?P<reason>\S.*)$")


@dataclass(frozen=True)
class KnownFailure:
    """One line: the id (or a beginning, with ``star``), the fingerprint or None, the reason."""

    id: str
    star: bool
    fingerprint: str | None
    reason: str

    def covers(self, case_id: str) -> bool:
        """Whether the line speaks of this case."""
        return case_id.startswith(self.id) if self.star else case_id == self.id


def read_known(path: Path) -> list[KnownFailure]:
    """The lines of a file. Raises :class:`~monolith_ref.errors.FormatError` naming the line."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise FormatError(
                f"line {number}: 'id  @fingerprint  # reason' was expected", path=str(path), record=number
            )
        name = match["id"]
        found.append(KnownFailure(name.rstrip("*"), name.endswith("*"), match["print"], match["reason"]))
    return found


def apply_known(summary: RunSummary, known: Iterable[KnownFailure], all_ids: Iterable[str]) -> None:
    """Turn listed failures into ``known``, and everything that is stale into a problem of the run."""
    ids = list(all_ids)
    for line in known:
        shown = line.id + ("*" if line.star else "")
        covered = [case_id for case_id in ids if line.covers(case_id)]
        if not covered:
            summary.problems.append(f"known failure {shown}: no such case")
        if len(covered) > MOST_BY_STAR:
            summary.problems.append(f"known failure {shown}: covers {len(covered)} cases, at most {MOST_BY_STAR} may")
        for case_id in covered:
            outcome = summary.outcomes.get(case_id)
            # Cases outside the selection, or outside the budget of this run, are left alone.
            if outcome is not None and not (outcome.case.full and outcome.status == "not_asked"):
                settle(outcome, line)


def settle(outcome: Outcome, line: KnownFailure) -> None:
    """Judge an outcome by a line that covers it: ``known``, or ``stale_known`` where the line is not true any more."""
    if outcome.case.generated:
        outcome.status, outcome.message = "stale_known", "a case that tries many examples cannot be a known failure"
    elif outcome.status not in ("failed", "fault"):
        outcome.message = f"listed as a known failure ({line.reason}), but it {_came(outcome.status)}"
        outcome.status = "stale_known"
    elif line.fingerprint is not None and line.fingerprint != outcome.fingerprint:
        outcome.message = f"listed as a known failure ({line.reason}), but it fails in another way"
        outcome.status = "stale_known"
    else:
        outcome.status, outcome.message = "known", line.reason


def _came(status: str) -> str:
    return {"passed": "passes", "unsupported": "is unsupported"}.get(status, "was not asked")


def write_known(path: Path, summary: RunSummary, before: Iterable[KnownFailure]) -> int:
    """Rewrite the file from a whole run, keeping reasons; returns the number of lines.

    Raises
    ------
    ArgumentError
        Where only a part of the suite was run: the rest of the file would be lost.
    """
    if summary.selection:
        raise ArgumentError("--update-known needs a run of the whole suite; leave --select out")
    kept = sorted(before, key=lambda line: line.star)
    lines = [f"# Known failures of {summary.backend}: id, fingerprint of the first difference, reason."]
    for case_id, outcome in summary.outcomes.items():
        if outcome.status in ("failed", "fault", "known") and not outcome.case.generated:
            line = next((line for line in kept if line.covers(case_id)), None)
            reason = line.reason if line is not None else outcome.cause or "reason not yet stated"
            # A line that leaves the fingerprint out goes on without one: some first differences depend on the machine.
            mark = (
                "" if line is not None and not line.star and line.fingerprint is None else f"  @{outcome.fingerprint}"
            )
            lines.append(f"{case_id}{mark}  # {reason}")
    path.write_text("\n".join(lines) + "\n")
    return len(lines) - 1
