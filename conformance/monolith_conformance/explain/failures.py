"""Explanations of a run's failures, within a budget: first what each equals, then how small it can be made."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from monolith_conformance.accuracy import EXACT, Accuracy
from monolith_conformance.backend import Backend, BackendFault
from monolith_conformance.explain.shrink import shrink
from monolith_conformance.explain.trial import Budget, Shown, Trials
from monolith_conformance.explain.variants import matching
from monolith_conformance.outcome import Outcome
from monolith_conformance.transcript import Transcript
from monolith_ref.quirks import Quirks

__all__ = ["Explanation", "common_causes", "explain_failures", "repeat_command"]

OR = ", or "
SECONDS = 60.0
SECONDS_A_CASE = 4.0


@dataclass(frozen=True)
class Explanation:
    """What can be said about failures of one run.

    Attributes
    ----------
    backend : Backend
        The implementation that failed; opened and closed here.
    profile, quirks, accuracy
        As in the run.
    seconds : float
        Budget for all of the failures together.
    """

    backend: Backend
    profile: str
    quirks: Quirks
    accuracy: Accuracy = EXACT
    seconds: float = SECONDS

    def explain(self, outcomes: Iterable[Outcome]) -> int:
        """Fill in ``cause`` and ``smallest`` of failed outcomes; the number of those that were not looked at."""
        budget, left_out = Budget(self.seconds), 0
        for outcome in outcomes:
            if outcome.status not in ("failed", "fault") or outcome.transcript is None or not len(outcome.transcript):
                continue
            if budget.spent:
                left_out += 1
                continue
            self._explain(outcome, outcome.transcript)
        return left_out

    def _explain(self, outcome: Outcome, transcript: Transcript) -> None:
        share = Budget(SECONDS_A_CASE / 2)
        found = matching(outcome.case, transcript, self.profile, self.quirks, share)
        if outcome.status == "failed" and found:
            outcome.cause = OR.join(found)
        outcome.smallest = self._smallest(outcome, transcript)

    def _smallest(self, outcome: Outcome, transcript: Transcript) -> Shown | None:
        accuracy = self.accuracy if outcome.case.accuracy == "rounded" else EXACT
        trials = Trials(self.backend, self.profile, self.quirks, accuracy, outcome.case.fresh)
        try:
            shown = trials.show(transcript.steps, fresh=True)
            return None if shown is None else shrink(trials, shown, Budget(SECONDS_A_CASE / 2))
        except BackendFault:
            return None  # It does not start any more: there is nothing to try.
        finally:
            trials.close()


def explain_failures(
    backend: Backend,
    outcomes: Iterable[Outcome],
    profile: str,
    quirks: Quirks,
    accuracy: Accuracy = EXACT,
    seconds: float = SECONDS,
) -> int:
    """Explain the failed ones among ``outcomes``; the number of failures that the budget left unexplained."""
    return Explanation(backend, profile, quirks, accuracy, seconds).explain(outcomes)


def common_causes(outcomes: Iterable[Outcome]) -> list[str]:
    """What explains most failures of each area, where several failures have a cause: one sentence an area."""
    failures: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.status in ("failed", "fault"):
            failures.setdefault(outcome.case.area, []).append(outcome)
    sentences = []
    for area, failed in failures.items():
        causes = Counter(cause for outcome in failed if outcome.cause for cause in outcome.cause.split(OR))
        if causes and causes.most_common(1)[0][1] > 1:
            cause, count = causes.most_common(1)[0]
            sentences.append(f"{count} of {len(failed)} failures of {area}: {cause}")
    return sentences


def repeat_command(backend: str, case_id: str, profile: str, quirks: str, encoding: str = "protobuf") -> str:
    """The command that runs one case again."""
    words = ["monolith-ref", "conform", "run", "--backend", backend, "--select", case_id]
    if profile != "ieee":
        words += ["--profile", profile]
    if quirks != "default":
        words += ["--quirks", quirks]
    if encoding != "protobuf":
        words += ["--encoding", encoding]
    return shlex.join(words)
