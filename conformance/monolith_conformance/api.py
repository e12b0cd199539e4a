"""The suite as one call, for whoever has an implementation in Python and a test runner of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from monolith_conformance.backend import Backend

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
    accuracy: str = "exact",
    full: bool = False,
    explain: bool = False,
    known: Path | str | None = None,
    cases: Path | str | None = None,
    encoding: str = "protobuf",
    time_limit: float = 10.0,
    progress: Callable[[int, Outcome | None], None] | None = None,
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
    accuracy : str
        How far floats may be off in the whole run: ``exact``, ``ulp(n)`` or ``abs(x)``.
    full : bool
        The long budget: many examples of generated cases, and the cases that take long.
    explain : bool
        Whether failures are shrunk and compared with wrong variants.
    known : path, optional
        File of known failures; must exist. ``"shipped"``: the one that comes with the suite for this backend.
    cases : path, optional
        Folder of transcripts (what fuzzing found) that are run as cases too.
    encoding, time_limit
        Of a testee: ``protobuf`` or ``json``; seconds for one reply.
    progress : callable, optional
        Told (number of cases, outcome): first with None, then with every outcome as it comes.

    Returns
    -------
    RunSummary
        ``line`` is the badge, ``failed`` whether it failed, ``conforms`` the levels reached, ``outcomes`` everything.

    Raises
    ------
    ConfigError
        Where there is no such backend, or no case begins with ``select``.
    EnvironmentMissing
        Where results of this process would be void (subnormals are flushed, say).

    Examples
    --------
    >>> from monolith_conformance import run_conformance
    >>> run_conformance("oracle", select=["core/optimizer.sgd/"]).failed
    False
    """
    from monolith_conformance.accuracy import Accuracy
    from monolith_conformance.known import apply_known, known_path, read_known
    from monolith_conformance.whole_run import RunRequest, run_suite

    name = backend if isinstance(backend, str) else backend.name
    lines = read_known(known_path(known, name)) if known is not None else []
    request = RunRequest(
        backend,
        encoding=encoding,
        time_limit=time_limit,
        selection=select,
        profile=profile,
        quirks=quirks,
        full=full,
        accuracy=Accuracy.parse(accuracy),
        explain=explain,
        saved=Path(cases) if cases is not None else None,
    )
    summary = run_suite(request, progress)
    apply_known(summary, lines, request.cases())
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
