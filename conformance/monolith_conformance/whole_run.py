"""A whole run of the suite, from the name of a backend to the summary: alone, or as one of several ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monolith_conformance.accuracy import EXACT, Accuracy
from monolith_conformance.backend import Backend
from monolith_conformance.backends import make_backend
from monolith_conformance.cases import Case, all_cases
from monolith_conformance.cases.saved import saved_cases
from monolith_conformance.environment import environment_problems, environment_versions
from monolith_conformance.explain import explain_failures
from monolith_conformance.explain.failures import common_causes, repeat_command
from monolith_conformance.outcome import Outcome, RunSummary
from monolith_conformance.ranks import deal, gather
from monolith_conformance.runner import run_cases, select
from monolith_ref.errors import ConfigError, EnvironmentMissing
from monolith_ref.quirks import Quirks
from monolith_ref.sync.communicator import Communicator, SerialCommunicator

__all__ = ["RunRequest", "run_suite"]

EXPLAIN_SECONDS = 60.0


@dataclass(frozen=True)
class RunRequest:
    """What is to be run.

    Attributes
    ----------
    backend, encoding, time_limit
        As for :func:`~monolith_conformance.backends.make_backend`; or a backend of one's own, ready made.
    selection : sequence of str
        Beginnings of case ids; all cases where there is none.
    profile, quirks : str
        Rounding contract, and preset of switches with additions.
    full : bool
        The long budget.
    accuracy : Accuracy
        How far floats may be off in the whole run.
    explain : bool
        Whether failures are shrunk and compared with wrong variants.
    saved : Path or None
        Folder of transcripts that are cases as well (what fuzzing found).
    """

    backend: str | Backend
    encoding: str = "protobuf"
    time_limit: float = 10.0
    selection: Sequence[str] = ()
    profile: str = "ieee"
    quirks: str = "default"
    full: bool = False
    accuracy: Accuracy = EXACT
    explain: bool = True
    saved: Path | None = None
    communicator: Communicator = field(default_factory=SerialCommunicator)

    def cases(self) -> dict[str, Case]:
        """All cases that there are, the saved ones last."""
        return all_cases() | (saved_cases(self.saved) if self.saved is not None else {})


def run_suite(
    request: RunRequest,
    progress: Callable[[int, Outcome | None], None] | None = None,
    watch: Callable[[list[Outcome]], Iterable[Outcome]] = list,
) -> RunSummary:
    """Run what is asked for; on several ranks every rank calls this, and each gets the summary of all.

    Parameters
    ----------
    request : RunRequest
    progress : callable, optional
        Told (number of cases that this rank will run, outcome), first with None and then with every outcome.
    watch : callable, optional
        Given the failures that are to be explained; yields them again, one after the other as they are explained.

    Raises
    ------
    ConfigError
        Where no case is selected or there is no such backend.
    EnvironmentMissing
        Where results of this process would be void.
    """
    quirks, ranks = Quirks.parse(request.quirks), request.communicator
    chosen = select(request.cases().values(), list(request.selection))
    if not chosen:
        raise ConfigError(f"no case begins with {', '.join(request.selection)}")
    problems = environment_problems()
    if problems:
        raise EnvironmentMissing(f"a run in this process would be void: {'; '.join(problems)}")
    backend = request.backend
    if isinstance(backend, str):
        backend = make_backend(backend, encoding=request.encoding, time_limit=request.time_limit)
    together, rest = _together(backend, chosen, ranks)
    mine = deal(rest, ranks.rank, ranks.size)

    def told(outcome: Outcome) -> None:
        if progress is not None:
            progress(len(together) + len(mine), outcome)

    if progress is not None:
        progress(len(together) + len(mine), None)

    def run(under_test: Backend, cases: Sequence[Case]) -> RunSummary:
        return run_cases(
            under_test,
            cases,
            profile=request.profile,
            quirks=quirks,
            accuracy=request.accuracy,
            selection=" ".join(request.selection),
            full=request.full,
            progress=told,
        )

    summary, exchanges = run(backend, mine), 0
    if together:
        spanning = backend.over_ranks(ranks)
        joined = run(spanning, together)
        exchanges = spanning.exchanges
        summary.outcomes = {**joined.outcomes, **summary.outcomes}
        summary.problems += joined.problems
        summary.seconds += joined.seconds
    _explain(request, backend, summary, quirks, watch)
    summary = gather(ranks, summary, chosen)
    summary.notes += common_causes(summary.outcomes.values())
    summary.environment = environment_versions()
    if ranks.size > 1:
        shared = f"{len(together)} cases on all of them together, {exchanges} steps from rank to rank"
        summary.environment["ranks"] = f"{ranks.size}: {shared}"
        summary.notes.append(f"{ranks.size} ranks: {shared}, the other cases dealt")
    summary.problems += [f"after the run: {problem}" for problem in environment_problems()]
    return summary


def _together(backend: Backend, cases: Sequence[Case], ranks: Communicator) -> tuple[list[Case], list[Case]]:
    """(cases for all ranks at once, cases to be dealt)."""
    if ranks.size == 1 or not backend.spans_ranks:
        return [], list(cases)
    joint = [case for case in cases if case.level == "sync" and not case.generated]
    ids = {case.id for case in joint}
    return joint, [case for case in cases if case.id not in ids]


def _explain(
    request: RunRequest,
    backend: Backend,
    summary: RunSummary,
    quirks: Quirks,
    watch: Callable[[list[Outcome]], Iterable[Outcome]],
) -> None:
    failures = [o for o in summary.outcomes.values() if o.status in ("failed", "fault")]
    name = request.backend
    if not isinstance(name, str):
        name = f"{type(name).__module__}:{type(name).__qualname__}"
    for outcome in failures:
        outcome.command = repeat_command(name, outcome.case.id, request.profile, request.quirks, request.encoding)
    if request.explain and failures:
        left = explain_failures(backend, watch(failures), request.profile, quirks, request.accuracy, EXPLAIN_SECONDS)
        if left:
            summary.notes.append(f"{left} failures were not explained: the {EXPLAIN_SECONDS:g} s for it were over")
