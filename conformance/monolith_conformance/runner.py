"""Runs cases against a backend: selects, judges, restarts what broke, and collects the outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from monolith_conformance.accuracy import EXACT, Accuracy
from monolith_conformance.backend import Backend, BackendFault
from monolith_conformance.cases.case import Case
from monolith_conformance.outcome import Outcome, RunSummary
from monolith_conformance.session import CaseFailed, RefusedClaim, Session
from monolith_conformance.transcript import Mismatch
from monolith_ref import __version__
from monolith_ref.quirks import Quirks

__all__ = ["SUITE_VERSION", "judge_case", "open_session", "run_cases", "select"]

SUITE_VERSION = ".".join(__version__.split(".")[:2])


def select(cases: Iterable[Case], prefixes: Sequence[str]) -> list[Case]:
    """Cases whose id begins with one of ``prefixes`` (all of them where there is none)."""
    return [c for c in cases if not prefixes or any(c.id.startswith(prefix) for prefix in prefixes)]


def run_cases(
    backend: Backend,
    cases: Sequence[Case],
    *,
    profile: str = "ieee",
    quirks: Quirks,
    accuracy: Accuracy = EXACT,
    selection: str = "",
    full: bool = False,
    progress: Callable[[Outcome], None] | None = None,
) -> RunSummary:
    """Judge a backend by cases.

    Parameters
    ----------
    backend : Backend
        The implementation; opened and closed here.
    cases : sequence of Case
        What to run, in this order.
    profile, quirks
        The rounding contract and the switches that the run asks for.
    accuracy : Accuracy
        How far floats may be off, in the whole run; cases of the class ``exact`` are held to the bits all the same.
    selection : str
        How the cases were chosen, empty for all of them.
    full : bool
        The long budget: more examples of generated cases, and the cases that take long.
    progress : callable, optional
        Told every outcome as it comes.
    """
    began = time.perf_counter()
    session = Session(backend, profile, quirks)
    session.full = full
    summary = RunSummary(backend.name, "", "", SUITE_VERSION, profile, tuple(sorted(quirks)), str(accuracy))
    summary.selection = selection
    is_open = False
    try:
        for case in cases:
            if not is_open:
                is_open = open_session(session, summary)
                if not is_open:
                    break
            session.accuracy = accuracy if case.accuracy == "rounded" else EXACT
            outcome = judge_case(session, case)
            summary.outcomes[case.id] = outcome
            if progress is not None:
                progress(outcome)
            is_open = outcome.status != "fault"
    finally:
        backend.close()
    summary.seconds = time.perf_counter() - began
    return summary


def open_session(session: Session, summary: RunSummary) -> bool:
    """Start the backend and note who it is; False, and a problem of the run, where it does not start."""
    try:
        session.open()
    except BackendFault as fault:
        summary.problems.append(f"the backend does not start: {fault}")
        return False
    summary.backend = session.info.name or summary.backend
    summary.version, summary.language = session.info.version, session.info.language
    summary.capabilities = tuple(sorted(session.capabilities))
    return True


def judge_case(session: Session, case: Case) -> Outcome:
    """The outcome of one case in an opened session; after a fault the session is to be opened again."""
    reason = _why_not(session, case)
    if reason is not None:
        return Outcome(case, *reason)
    began = time.perf_counter()
    outcome = _once(session, case)
    if outcome.status == "fault":
        # A crash may come from what earlier cases left behind: one replay on a fresh start tells.
        outcome = _replayed(session, case, outcome)
    outcome.seconds = time.perf_counter() - began
    return outcome


def _why_not(session: Session, case: Case) -> tuple[str, None, str] | None:
    if case.full and not session.full:
        return "not_asked", None, "takes long: run by --full"
    if session.profile not in case.profiles:
        return "not_asked", None, f"holds under profile {', '.join(case.profiles)}"
    missing = sorted(case.quirks - set(session.quirks)) + [f"-{name}" for name in case.without & set(session.quirks)]
    if missing:
        return "not_asked", None, f"holds with the switches {' '.join(missing)}"
    lacking = sorted(case.needs - session.capabilities)
    if lacking:
        return "unsupported", None, f"not among the backend's capabilities: {', '.join(lacking)}"
    return None


def _once(session: Session, case: Case) -> Outcome:
    try:
        if case.fresh:
            session.open()
        session.begin()
        case.judge(session)
    except CaseFailed as failure:
        return Outcome(case, "failed", failure.mismatch, transcript=session.transcript)
    except RefusedClaim as refusal:
        text = f"claims {', '.join(sorted(case.needs)) or 'nothing'}, but answered unsupported: {refusal}"
        mismatch = Mismatch(len(session.transcript) - 1, "reply", f"unsupported {refusal}", "a result")
        return Outcome(case, "failed", mismatch, text, transcript=session.transcript)
    except BackendFault as fault:
        return Outcome(case, "fault", message=str(fault), stderr=fault.stderr, transcript=session.transcript)
    except Exception as error:
        text = f"the case itself raised {type(error).__name__}: {error}"
        return Outcome(case, "failed", message=text, transcript=session.transcript)
    return Outcome(case, "passed")


def _replayed(session: Session, case: Case, first: Outcome) -> Outcome:
    session.backend.close()
    try:
        session.open()
    except BackendFault as fault:
        first.message += f"; it does not start again: {fault}"
        return first
    again = _once(session, case)
    if again.status == "passed":
        first.message += "; the case passes on a fresh start"
        first.status = "failed"
        return first
    return again
