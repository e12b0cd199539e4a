"""What a comparison found: per step, per run (one layout on one target), and altogether."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from monolith_conformance.compare.difference import Difference

__all__ = ["Finding", "RunResult", "StepRecord", "Verdict"]

Verdict = Literal["pass", "fail", "vacuous"]


@dataclass(frozen=True)
class Finding:
    """A difference and its likely cause."""

    difference: Difference
    cause: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.difference.as_dict(), "cause": self.cause}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Finding:
        """Back from :meth:`as_dict`."""
        return cls(Difference.from_dict(data), data["cause"])


@dataclass
class StepRecord:
    """One step on one rank, or summed over ranks.

    Attributes
    ----------
    rows : int
        Touched rows that this rank owns.
    moved : int
        Those of them whose weights changed bits.
    distinct, occurrences, batch_rows : int
        Distinct fids, id occurrences and rows of the global batch.
    compared, different : list of int
        Numbers compared and found different, per feature; the last entry is the head.
    phases : dict of phase to seconds
    sent : dict of exchange to bytes
    """

    step: int
    features: int = 0
    loss: float = 0.0
    loss_bits: int = 0
    rows: int = 0
    moved: int = 0
    distinct: int = 0
    occurrences: int = 0
    batch_rows: int = 0
    compared: list[int] = field(default_factory=list)
    different: list[int] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    oracle_seconds: float = 0.0
    compare_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.compared:
            self.compared = [0] * (self.features + 1)
            self.different = [0] * (self.features + 1)

    @property
    def engine_seconds(self) -> float:
        """All phases of the engine together."""
        return sum(self.phases.values())

    @classmethod
    def over_ranks(cls, records: Sequence[StepRecord]) -> StepRecord:
        """Sums over ranks; times are the slowest rank's."""
        first = records[0]
        total = cls(**{**asdict(first), "compared": list(first.compared), "different": list(first.different)})
        for other in records[1:]:
            total.rows += other.rows
            total.moved += other.moved
            total.compared = [a + b for a, b in zip(total.compared, other.compared, strict=True)]
            total.different = [a + b for a, b in zip(total.different, other.different, strict=True)]
            total.oracle_seconds = max(total.oracle_seconds, other.oracle_seconds)
            total.compare_seconds = max(total.compare_seconds, other.compare_seconds)
            for name, seconds in other.phases.items():
                total.phases[name] = max(total.phases.get(name, 0.0), seconds)
            for name, count in other.sent.items():
                total.sent[name] = total.sent.get(name, 0) + count
        return total


@dataclass
class RunResult:
    """One layout on one target, all ranks together.

    ``digests`` holds ``data``, ``state`` and ``loss``, 64 hex digits each; ``verdict`` is ``vacuous`` where some step
    moved no row at all. ``skipped`` says why a target was not run (then nothing else is filled in).
    """

    layout: str
    target: str
    verdict: Verdict = "fail"
    steps: int = 0
    rows: int = 0
    moved_rows: int = 0
    comparisons: int = 0
    differences: int = 0
    findings: list[Finding] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    records: list[StepRecord] = field(default_factory=list)
    rows_per_rank: list[int] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""
    resumed_at: int = 0

    @property
    def finished(self) -> list[StepRecord]:
        """Records of the steps that the engine made to their end (a difference may stop one half-way)."""
        return [record for record in self.records if record.phases]

    @property
    def engine_ms(self) -> float:
        """Median milliseconds of a step of the engine."""
        return _median_ms([record.engine_seconds for record in self.finished])

    @property
    def oracle_ms(self) -> float:
        """Median milliseconds of a step of path B."""
        return _median_ms([record.oracle_seconds for record in self.finished])

    @property
    def compare_ms(self) -> float:
        """Median milliseconds spent comparing in a step."""
        return _median_ms([record.compare_seconds for record in self.finished])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for ``report.json``."""
        plain = asdict(self)
        plain["findings"] = [finding.as_dict() for finding in self.findings]
        plain["median_step_ms"] = {
            "engine": self.engine_ms,
            "oracle": self.oracle_ms,
            "comparison": self.compare_ms,
        }
        return plain


def _median_ms(seconds: Sequence[float]) -> float:
    return 1e3 * median(seconds) if seconds else 0.0
