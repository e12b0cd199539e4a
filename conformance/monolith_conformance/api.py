"""The suite as one call, for whoever has an implementation in Python and a test runner of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from monolith_conformance.backend import Backend
from monolith_ref.errors import ConfigError

if TYPE_CHECKING:
    from monolith_conformance.known import KnownFailure
    from monolith_conformance.outcome import Outcome, RunSummary

__all__ = ["Judge", "run_conformance"]


def run_conformance(
    backend: Backend | str,
    *,
    select: Sequence[str] = (),
    profile: str = "ieee",
    quirks: str = "default",
    known: Path | str | None = None,
    full: bool = False,
    cases: Path | str | None = None,
    encoding: str = "protobuf",
    time_limit: float = 10.0,
    progress: Callable[[Outcome], None] | None = None,
) -> RunSummary:
    """Judge an implementation, as ``monolith-ref conform run`` does.

    Parameters
    ----------
    backend : Backend or str
        An object of one's own, or what ``--backend`` takes: ``engine-cpu``, ``testee:COMMAND``, ``module:class``.
    select : sequence of str
        Beginnings of case ids; all cases where it is empty.
    profile : str
        Rounding contract, ``ieee`` or ``avx``.
    quirks : str
        Preset of switches, as in ``"default +wrap_timestamps"``.
    known : path, optional
        File of known failures; must exist.
    full : bool
        Also run the cases that take long.
    cases : path, optional
        Folder of transcripts (what fuzzing found) that are run as cases too.
    encoding, time_limit
        Of a testee: ``protobuf`` or ``json``; seconds for one reply.
    progress : callable, optional
        Told every outcome as it comes.

    Returns
    -------
    RunSummary
        ``line`` is the badge, ``failed`` whether it failed, ``conforms`` the levels reached, ``outcomes`` everything.

    Raises
    ------
    ConfigError
        Where there is no such backend, or no case begins with ``select``.

    Examples
    --------
    >>> from monolith_conformance import run_conformance
    >>> run_conformance("oracle", select=["core/optimizer.sgd/"]).failed
    False
    """
    from monolith_conformance.backends import make_backend
    from monolith_conformance.cases import all_cases
    from monolith_conformance.cases.saved import saved_cases
    from monolith_conformance.environment import environment_problems, environment_versions
    from monolith_conformance.known import apply_known, read_known
    from monolith_conformance.runner import run_cases
    from monolith_conformance.runner import select as choose
    from monolith_ref.quirks import Quirks

    everything = all_cases() | (saved_cases(Path(cases)) if cases is not None else {})
    chosen = choose(everything.values(), select)
    if not chosen:
        raise ConfigError(f"no case begins with {', '.join(select)}")
    lines = read_known(Path(known)) if known is not None else []
    tester = make_backend(backend, encoding=encoding, time_limit=time_limit) if isinstance(backend, str) else backend
    summary = run_cases(
        tester,
        chosen,
        profile=profile,
        quirks=Quirks.parse(quirks),
        selection=" ".join(select),
        full=full,
        progress=progress,
    )
    summary.environment = environment_versions()
    summary.problems += environment_problems()
    apply_known(summary, lines, everything)
    return summary


class Judge:
    """One implementation asked case by case: the backend stays open in between, and is opened again when it breaks.

    Parameters
    ----------
    backend : Backend
        The implementation.
    profile, quirks : str
        Rounding contract and preset of switches.
    known : sequence of KnownFailure
        Lines of a file of known failures.
    """

    def __init__(
        self, backend: Backend, profile: str = "ieee", quirks: str = "default", known: Sequence[KnownFailure] = ()
    ) -> None:
        from monolith_conformance.session import Session
        from monolith_ref.quirks import Quirks

        self._session = Session(backend, profile, Quirks.parse(quirks))
        self._known = known
        self._open = False

    def __call__(self, case_id: str) -> Outcome:
        """The outcome of one case, known failures settled. Raises BackendFault where the backend does not start."""
        from monolith_conformance.cases import all_cases
        from monolith_conformance.known import settle
        from monolith_conformance.runner import judge_case

        if not self._open:
            self._session.open()
        outcome = judge_case(self._session, all_cases()[case_id])
        self._open = outcome.status != "fault"
        for line in self._known:
            if line.covers(case_id):
                settle(outcome, line)
        return outcome

    @staticmethod
    def explain(outcome: Outcome) -> str:
        """Everything that is known about an outcome, as lines."""
        from rich.console import Console

        from monolith_conformance.report.suite_terminal import print_case

        text = StringIO()
        print_case(outcome, Console(file=text, width=200))
        return text.getvalue().rstrip()

    def close(self) -> None:
        """Let go of the backend."""
        self._session.backend.close()
        self._open = False
