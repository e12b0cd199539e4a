"""Run every vector file of a directory and count."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monolith_conformance.vectors.registry import Outcome, Setting, replayer_for

__all__ = ["FileResult", "replay_directory", "replay_file"]


@dataclass
class FileResult:
    """Outcomes of a file; ``problem`` says why it could not be run at all."""

    name: str
    setting: Setting
    outcomes: list[Outcome] = field(default_factory=list)
    problem: str = ""

    @property
    def failed(self) -> bool:
        """Whether a case failed or the file could not be run."""
        return bool(self.problem) or any(outcome.status == "failed" for outcome in self.outcomes)

    def counts(self) -> dict[str, dict[str, int]]:
        """Cases by rule and status."""
        table: dict[str, dict[str, int]] = {}
        for outcome in self.outcomes:
            row = table.setdefault(outcome.rule, {"passed": 0, "failed": 0, "unsupported": 0})
            row[outcome.status] += 1
        return table

    def first(self, status: str) -> Outcome | None:
        """The first outcome of a status."""
        return next((outcome for outcome in self.outcomes if outcome.status == status), None)

    def as_json(self) -> dict[str, Any]:
        """The result as plain data."""
        return {
            "file": self.name,
            "target": self.setting.target,
            "profile": self.setting.profile,
            "problem": self.problem,
            "rules": self.counts(),
            "differences": [
                {"case": o.case, "rule": o.rule, "status": o.status, "note": o.note}
                for o in self.outcomes
                if o.status != "passed"
            ],
        }


def replay_file(path: Path, setting: Setting) -> FileResult:
    """All cases of a file; an unreadable file or one of unknown kind is a problem that names it."""
    result = FileResult(path.name, setting)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        result.problem = f"{path.name}: not a JSON file: {error}"
        return result
    replayer = replayer_for(path.stem, document)
    if replayer is None:
        result.problem = f"{path.name}: unknown kind of vector file"
        return result
    try:
        result.outcomes.extend(replayer(document, setting))
    except (KeyError, TypeError, ValueError) as error:
        result.problem = f"{path.name}: not of its kind's format: {type(error).__name__}: {error}"
    if not result.outcomes and not result.problem:
        result.problem = f"{path.name}: no cases"
    return result


def replay_directory(paths: Iterable[Path], setting: Setting) -> list[FileResult]:
    """Results of files in the order of their names."""
    return [replay_file(path, setting) for path in sorted(paths)]
