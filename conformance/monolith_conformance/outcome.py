"""What became of one case, and of a run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monolith_conformance.cases.case import LEVELS, Case
from monolith_conformance.transcript import Mismatch, Transcript

if TYPE_CHECKING:
    from monolith_conformance.explain.trial import Shown

__all__ = ["STATUSES", "Outcome", "RunSummary"]

STATUSES = ("passed", "failed", "known", "fault", "unsupported", "not_asked", "stale_known")
"""``fault``: the backend broke; ``not_asked``: outside the profile or switches; ``stale_known``: listed wrongly."""


@dataclass
class Outcome:
    """The result of one case.

    Attributes
    ----------
    status : str
        One of :data:`STATUSES`.
    mismatch : Mismatch or None
        The first difference of a failed case.
    message : str
        Everything else there is to say: the missing capability, the fault, the reason of a known failure.
    cause : str
        The wrong variant that explains the difference, where one does.
    seconds : float
        Time spent.
    transcript : Transcript or None
        Requests of the smallest failing example.
    stderr : str
        What the backend wrote to standard error when it broke.
    smallest : Shown or None
        The smallest requests found that still show the failure, with the difference that they show.
    command : str
        What runs this case alone again.
    """

    case: Case
    status: str
    mismatch: Mismatch | None = None
    message: str = ""
    cause: str = ""
    seconds: float = 0.0
    transcript: Transcript | None = None
    stderr: str = ""
    smallest: Shown | None = None
    command: str = ""

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of the first difference: a known failure must keep failing in this way."""
        return hashlib.sha256(f"{self.mismatch or self.message}".encode()).hexdigest()[:8]


@dataclass
class RunSummary:
    """A whole run: who was judged, under what, and every outcome by case id.

    ``problems`` fail the run; ``notes`` are only shown.
    """

    backend: str
    version: str
    language: str
    suite: str
    profile: str
    quirks: tuple[str, ...]
    accuracy: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    selection: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    capabilities: tuple[str, ...] = ()

    def count(self, status: str) -> int:
        """Number of outcomes of that status."""
        return sum(outcome.status == status for outcome in self.outcomes.values())

    @property
    def conforms(self) -> list[str]:
        """Levels of which every required case was run and passed (judged only where the whole level was run)."""
        if self.selection:
            return []
        return [level for level in LEVELS if self._whole(level)]

    def _whole(self, level: str) -> bool:
        required = [o for o in self.outcomes.values() if o.case.level == level and o.case.required]
        asked = [o for o in required if o.status != "not_asked"]
        return bool(asked) and all(o.status == "passed" for o in asked)

    @property
    def failed(self) -> bool:
        """Whether the run as a whole fails."""
        bad = self.count("failed") + self.count("fault") + self.count("stale_known")
        return bool(bad or self.problems)

    @property
    def line(self) -> str:
        """One line like a badge."""
        levels = ", ".join(self.conforms) or ("(a part of the suite was run)" if self.selection else "no level")
        counts = [f"{self.count('passed')} passed", f"{self.count('known')} known"]
        counts.append(f"{self.count('failed') + self.count('fault') + self.count('stale_known')} failed")
        counts.append(f"{self.count('unsupported')} unsupported")
        return (
            f"conforms: {levels} (profile {self.profile}, {self.accuracy}) — {', '.join(counts)} — suite {self.suite}"
        )
