"""The mutation table: every wrong variant against the cases that name it, and only those."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from monolith_conformance.backends.mutant import MutantBackend
from monolith_conformance.cases.case import Case
from monolith_conformance.mutants.mutant import Mutant
from monolith_conformance.runner import run_cases, select
from monolith_ref.quirks import Quirks

__all__ = ["Verdict", "judge_mutant", "judge_mutants"]


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant.

    Attributes
    ----------
    mutant : Mutant
    killer : str
        Id of the case that failed; empty where none did.
    difference : str
        The first difference of that case.
    broken : str
        What the mutant raised that no implementation would: it is then no variant of anything, but a faulty entry.
    cases : int
        Cases that were run until then.
    seconds : float
    """

    mutant: Mutant
    killer: str
    difference: str
    cases: int
    seconds: float
    broken: str = ""

    @property
    def killed(self) -> bool:
        """Whether a case failed it."""
        return bool(self.killer)

    @property
    def as_expected(self) -> bool:
        """Killed, or listed as one that changes nothing visible."""
        return self.killed != bool(self.mutant.survives) and not self.broken


def judge_mutant(mutant: Mutant, cases: Iterable[Case]) -> Verdict:
    """Run the cases that name a mutant, until one fails."""
    began = time.perf_counter()
    backend = MutantBackend(mutant)
    # Fixed cases tell most; generated and long ones only where none of those does.
    chosen = sorted(select(cases, mutant.killed_by), key=lambda case: (case.full, case.generated))
    for number, case in enumerate(chosen, 1):
        quirks = Quirks.parse(mutant.quirks)
        summary = run_cases(backend, [case], profile=mutant.profile, quirks=quirks, full=case.full)
        outcome = summary.outcomes.get(case.id)
        seconds = time.perf_counter() - began
        if outcome is not None and outcome.status == "failed" and outcome.mismatch is not None:
            return Verdict(mutant, case.id, str(outcome.mismatch), number, seconds)
        if outcome is None or outcome.status in ("failed", "fault"):
            note = "; ".join(summary.problems) if outcome is None else outcome.message
            return Verdict(mutant, "", "", number, seconds, note)
    return Verdict(mutant, "", "", len(chosen), time.perf_counter() - began)


def judge_mutants(
    mutants: Sequence[Mutant], cases: Iterable[Case], progress: Callable[[Verdict], None] | None = None
) -> list[Verdict]:
    """All verdicts, in order."""
    known = list(cases)
    verdicts = []
    for mutant in mutants:
        verdicts.append(judge_mutant(mutant, known))
        if progress is not None:
            progress(verdicts[-1])
    return verdicts
