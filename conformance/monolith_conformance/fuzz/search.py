"""Rounds of generated cases, each with examples that no round before had, until the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monolith_conformance.backend import Backend
from monolith_conformance.cases.case import Case
from monolith_conformance.cases.saved import saved_cases
from monolith_conformance.fuzz.corpus import Corpus
from monolith_conformance.outcome import Outcome
from monolith_conformance.runner import judge_case
from monolith_conformance.session import Search, Session
from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks

__all__ = ["Finding", "Found", "Searcher"]

PER_ROUND = 40
"""Examples of a case in one round of a search by time: small, so that every case gets its turn."""

BAD = ("failed", "fault")


@dataclass(frozen=True)
class Finding:
    """A failure, and the fixed case that shows it."""

    outcome: Outcome
    path: Path
    new: bool


@dataclass
class Found:
    """What a search did: rounds, examples at most, kept cases played, seconds, findings, ids of generated cases."""

    rounds: int = 0
    examples: int = 0
    kept: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    cases: set[str] = field(default_factory=set)


class Searcher:
    """One search of one backend.

    Parameters
    ----------
    backend : Backend
        The implementation; opened and closed by :meth:`run`.
    cases : sequence of Case
        Those that try many examples are used; a case that failed is not tried again in this search.
    corpus : Corpus
        What earlier searches left; this one goes on from there.
    profile, quirks
        Rounding contract and switches.
    tell : callable, optional
        Told in words what happens.
    watch : callable, optional
        Told before every case which one of the round it is (from 0 on), and how many a round has.
    clock : callable, optional
        Seconds on some clock.

    Raises
    ------
    ConfigError
        Where no case generates examples.
    """

    def __init__(
        self,
        backend: Backend,
        cases: Sequence[Case],
        corpus: Corpus,
        *,
        profile: str = "ieee",
        quirks: Quirks,
        tell: Callable[[str], None] = lambda text: None,
        watch: Callable[[int, int], None] = lambda done, total: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cases = [case for case in cases if case.generated]
        if not self._cases:
            raise ConfigError("none of the chosen cases generates examples")
        self._session = Session(backend, profile, quirks)
        self._corpus, self._tell, self._watch, self._clock = corpus, tell, watch, clock
        self._failed: set[str] = set()
        self._open = False
        self.found = Found()

    def run(self, seconds: float | None, examples: int | None = None) -> Found:
        """Play what the corpus holds, then rounds of new examples.

        ``seconds``: time for it (a case that is being tried is finished); None: one round. ``examples``: of each case
        in a round.
        """
        began, progress = self._clock(), self._corpus.progress
        try:
            self._play_kept()
            while self._round(examples or PER_ROUND, None if seconds is None else began + seconds):
                pass
        finally:
            self._session.backend.close()
            self.found.seconds = self._clock() - began
            progress.seconds = round(progress.seconds + self.found.seconds, 3)
            self._corpus.save_progress()
        return self.found

    def _play_kept(self) -> None:
        for case in saved_cases(self._corpus.cases).values():
            outcome = self._judge(case)
            self.found.kept += outcome.status in ("passed", *BAD)
            if outcome.status in BAD:
                path = self._corpus.cases / f"{case.id.split('/')[-1]}.jsonl"
                self.found.findings.append(Finding(outcome, path, new=False))
                self._tell(f"still fails  {path.name}: {outcome.mismatch or outcome.message}")

    def _round(self, examples: int, until: float | None) -> bool:
        """Every case once; whether there is time, and anything left, for another round."""
        progress = self._corpus.progress
        progress.rounds += 1
        self.found.rounds += 1
        for number, case in enumerate(self._cases):
            self._watch(number, len(self._cases))
            if case.id in self._failed:
                continue
            if until is not None and self._clock() >= until:
                return False
            self._session.search = Search(examples, progress.rounds, self._corpus.examples(case))
            outcome = self._judge(case)
            if outcome.status in ("passed", *BAD):
                self.found.cases.add(case.id)
                self.found.examples += examples
                progress.examples += examples
            if outcome.status in BAD:
                self._keep(outcome)
        self._tell(f"round {progress.rounds}: {self.found.examples} examples of {len(self.found.cases)} cases so far")
        left = self.found.cases - self._failed
        return until is not None and bool(left) and self._clock() < until

    def _keep(self, outcome: Outcome) -> None:
        self._failed.add(outcome.case.id)
        path = self._corpus.keep(outcome, self._session.profile, tuple(sorted(self._session.quirks)))
        self.found.findings.append(Finding(outcome, path, new=True))
        self._tell(f"found  {outcome.case.id}: {outcome.mismatch or outcome.message}")

    def _judge(self, case: Case) -> Outcome:
        if not self._open:
            self._session.open()
        outcome = judge_case(self._session, case)
        self._open = outcome.status != "fault"
        return outcome
