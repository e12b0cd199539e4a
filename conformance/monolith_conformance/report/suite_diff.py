"""Two reports held against each other: what was lost, what was gained, what fails in another way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["KINDS", "Change", "diff_reports", "plain_changes"]

KINDS = ("lost", "gained", "other", "new", "gone")
"""``lost``: passed before and does not now; ``other``: another status, or the same failure in another way."""


@dataclass(frozen=True)
class Change:
    """One case of which two reports say different things; statuses are empty where a report lacks it."""

    kind: str
    id: str
    before: str
    after: str
    first: str = ""

    def __str__(self) -> str:
        first = f"  ({self.first})" if self.first else ""
        return f"{self.kind:7}{self.id}  {self.before or 'absent'} -> {self.after or 'absent'}{first}"


def diff_reports(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What changed from one report to the other, the losses first; order of cases within a kind is kept."""
    old = {case["id"]: case for case in before["cases"]}
    new = {case["id"]: case for case in after["cases"]}
    changes = []
    for case_id in [*new, *(case_id for case_id in old if case_id not in new)]:
        a, b = old.get(case_id), new.get(case_id)
        kind = _kind(a, b)
        if kind:
            changes.append(
                Change(kind, case_id, a["status"] if a else "", b["status"] if b else "", _first(b) if b else "")
            )
    return sorted(changes, key=lambda change: KINDS.index(change.kind))


def _kind(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> str:
    if a is None or b is None:
        return "new" if a is None else "gone"
    if a["status"] != b["status"]:
        return "lost" if a["status"] == "passed" else "gained" if b["status"] == "passed" else "other"
    return "other" if a.get("fingerprint") != b.get("fingerprint") else ""


def _first(case: Mapping[str, Any]) -> str:
    difference = case.get("difference")
    if difference is None:
        return str(case.get("message", ""))
    return f"{difference['what']}: {difference['actual']}, expected {difference['expected']}"


def plain_changes(changes: list[Change]) -> list[dict[str, str]]:
    """Changes as plain values."""
    return [asdict(change) for change in changes]
