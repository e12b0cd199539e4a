"""Known failures: one text file a backend, failing the run as soon as it is not true any more.

A line is ``id  @fingerprint  # reason``. The fingerprint is that of the first difference; a line may leave it out, and
may end in ``*`` to cover at most twenty cases. Where one reason explains many cases, a line with the beginning of their
ids, up to a slash, tells it, and indented lines below it name the rest of each id::

    core/optimizer.adagrad/  # the rate is multiplied before it is divided
        adagrad-p0-d15-3
        generated

Lines that match nothing, or cases that pass, are not run or fail in another way, are stale: the file then no longer
says what is known. A case that tries many examples is listed without a fingerprint: that an example fails is known, not
which one is found first.

Files for the frameworks that the suite brings as backends are shipped with it (:func:`known_path`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from monolith_conformance.outcome import Outcome, RunSummary
from monolith_ref.errors import ArgumentError, ConfigError, FormatError

__all__ = [
    "MOST_BY_STAR",
    "SHIPPED",
    "KnownFailure",
    "apply_known",
    "known_path",
    "measured_on",
    "read_known",
    "settle",
    "write_known",
]

MOST_BY_STAR = 20
SHIPPED = "shipped"
_MEMBER = re.compile(r"^(?P<id>[^\s#@]+)(?:\s+@(?P<print>[0-9a-f]{8}))?$")
_MEASURED = re.compile(r"^# measured on: (.+)$", re.MULTILINE)
_LINE = re.compile(r"^(?P<id>[^\s#@]+)(?:\s+@(?P<print>[0-9a-f]{8}))?\s+#\s*(?P<reason>\S.*)$")


@dataclass(frozen=True)
class KnownFailure:
    """One line: the id (or a beginning, with ``star``), the fingerprint or None, the reason, the group's beginning."""

    id: str
    star: bool
    fingerprint: str | None
    reason: str
    group: str = ""

    def covers(self, case_id: str) -> bool:
        """Whether the line speaks of this case."""
        return case_id.startswith(self.id) if self.star else case_id == self.id


def known_path(name: Path | str, backend: str) -> Path:
    """The file of that name; ``shipped`` means the one that comes with the suite for a backend.

    Raises
    ------
    ConfigError
        Where none comes for it.
    """
    if str(name) != SHIPPED:
        return Path(name)
    folder = Path(__file__).parent / "backends" / "known"
    path = folder / f"{backend}.txt"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.txt")))
        raise ConfigError(f"no file of known failures is shipped for backend {backend!r}; there are some for {there}")
    return path


def measured_on(path: Path) -> str:
    """What a file says that it was measured on (name, version, settings); empty where it does not say."""
    found = _MEASURED.search(path.read_text())
    return "" if found is None else found[1]


def read_known(path: Path) -> list[KnownFailure]:
    """The lines of a file. Raises :class:`~monolith_ref.errors.FormatError` naming the line."""
    found = []
    group: KnownFailure | None = None
    waiting = 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        member = line[0].isspace() and group is not None
        match = (_MEMBER if member else _LINE).match(line.strip())
        if match is None:
            what = "one case of the group" if member else "'id  @fingerprint  # reason'"
            raise FormatError(f"line {number}: {what} was expected", path=str(path), record=number)
        name = match["id"]
        if member:
            assert group is not None
            found.append(KnownFailure(group.id + name, False, match["print"], group.reason, group.id))
            waiting = 0
            continue
        if waiting:
            raise FormatError(f"line {waiting}: a group without cases", path=str(path), record=waiting)
        entry = KnownFailure(name.rstrip("*"), name.endswith("*"), match["print"], match["reason"])
        group, waiting = (entry, number) if name.endswith("/") else (None, 0)
        if group is None:
            found.append(entry)
    if waiting:
        raise FormatError(f"line {waiting}: a group without cases", path=str(path), record=waiting)
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
    if outcome.case.generated and line.fingerprint is not None:
        outcome.message = "a case that tries many examples is known without a fingerprint: leave it out"
        outcome.status = "stale_known"
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
    single: list[str] = []
    groups: dict[tuple[str, str], list[str]] = {(line.group, line.reason): [] for line in kept if line.group}
    for case_id, outcome in summary.outcomes.items():
        if outcome.status not in ("failed", "fault", "known"):
            continue
        line = next((line for line in kept if line.covers(case_id)), None)
        reason = line.reason if line is not None else outcome.cause or "reason not yet stated"
        # A line that leaves the fingerprint out goes on without one: some first differences depend on the machine.
        bare = line is not None and not line.star and line.fingerprint is None
        mark = "" if bare or outcome.case.generated else f"  @{outcome.fingerprint}"
        if line is not None and line.group:
            groups[line.group, reason].append(f"    {case_id.removeprefix(line.group)}{mark}")
        else:
            single.append(f"{case_id}{mark}  # {reason}")
    measured = f"{summary.backend} {summary.version}, profile {summary.profile}"
    lines = [f"# Known failures of {summary.backend}: id, fingerprint of the first difference, reason."]
    lines += [f"# measured on: {measured}", *single]
    for (group, reason), members in groups.items():
        if members:
            lines += ["", f"{group}  # {reason}", *members]
    path.write_text("\n".join(lines) + "\n")
    return len(single) + sum(map(len, groups.values()))
