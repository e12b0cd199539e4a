"""``monolith-ref conform run``: options, progress, the report, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monolith_ref.errors import ConfigError
from monolith_ref.progress import Bar

if TYPE_CHECKING:
    from monolith_conformance.known import KnownFailure
    from monolith_conformance.outcome import Outcome, RunSummary

__all__ = ["BackendName", "Encoding", "Profile", "QuirkSet", "TimeLimit", "run"]

EXIT_PASS, EXIT_DIFFERENCES = 0, 1

Encoding = Annotated[str, typer.Option(help="protobuf or json; of a testee.")]
TimeLimit = Annotated[float, typer.Option(help="Seconds for one reply of a testee.")]
BackendName = Annotated[
    str,
    typer.Option(
        help="oracle, engine-cpu, engine-cuda, torch, tensorflow, null, testee:COMMAND, mutant:NAME, or module:class."
    ),
]
Profile = Annotated[str, typer.Option(help="Rounding contract: ieee or avx.")]
QuirkSet = Annotated[str, typer.Option("--quirks", help="Preset of switches, as in 'default +wrap_timestamps'.")]


def run(
    backend: BackendName,
    select: Annotated[list[str] | None, typer.Option(help="Beginning of case ids; repeatable.")] = None,
    profile: Profile = "ieee",
    quirks: QuirkSet = "default",
    full: Annotated[
        bool, typer.Option("--full/--quick", help="Many examples of generated cases, and the cases that take long.")
    ] = False,
    accuracy: Annotated[str, typer.Option(help="Of the whole run: exact, ulp(n) or abs(x).")] = "exact",
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Shrink failures and compare them with wrong variants.")
    ] = True,
    cases: Annotated[
        Path | None, typer.Option(help="Folder of transcripts that are cases as well (what fuzzing found).")
    ] = None,
    known: Annotated[
        Path | None, typer.Option(help="File of known failures; 'shipped': the one that comes with the suite.")
    ] = None,
    update_known: Annotated[bool, typer.Option("--update-known", help="Rewrite that file from this run.")] = False,
    report: Annotated[Path | None, typer.Option(help="Folder for report.json, junit.xml, report.html.")] = None,
    encoding: Encoding = "protobuf",
    time_limit: TimeLimit = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of a table.")] = False,
) -> int:
    """Judge an implementation, rule by rule.

    Examples: 'monolith-ref conform run --backend engine-cpu'; 'monolith-ref conform run --backend "testee:./port"
    --encoding json --select core/'; on several ranks 'mpiexec -n 4 monolith-ref conform run --backend engine-cpu'.
    """
    from monolith_ref.sync.guard import run_guarded
    from monolith_ref.sync.launch import make_communicator

    def main() -> int:
        from monolith_conformance.accuracy import Accuracy
        from monolith_conformance.known import known_path, read_known
        from monolith_conformance.whole_run import RunRequest, run_suite

        if update_known and known is None:
            raise ConfigError("--update-known needs --known FILE")
        file = None if known is None else known_path(known, backend)
        lines = read_known(file) if file is not None and file.exists() else []
        request = RunRequest(
            backend=backend,
            encoding=encoding,
            time_limit=time_limit,
            selection=select or (),
            profile=profile,
            quirks=quirks,
            full=full,
            accuracy=Accuracy.parse(accuracy),
            explain=explain,
            saved=cases,
            # Ranks wait for the slowest one's cases, which have limits of their own.
            communicator=make_communicator("auto", 0),
        )
        first = request.communicator.rank == 0
        with Bar("cases", wanted=first and not as_json) as bar:

            def explained(failures: list[Outcome]) -> Iterator[Outcome]:
                bar.begin("explaining failures", len(failures))
                for failure in failures:
                    yield failure
                    bar.advance()

            summary = run_suite(
                request, lambda total, outcome: bar.advance(0 if outcome is None else 1, total=total), explained
            )
        if first:
            _settle_known(summary, request.cases(), file, lines, update_known)
            _write(summary, report, as_json)
        return EXIT_DIFFERENCES if first and summary.failed else EXIT_PASS

    return run_guarded(main)


def _settle_known(
    summary: RunSummary, cases: Iterable[str], known: Path | None, lines: list[KnownFailure], update: bool
) -> None:
    from monolith_conformance.known import apply_known, measured_on, read_known, write_known

    if known is not None and update:
        typer.echo(f"{write_known(known, summary, lines)} lines written to {known}", err=True)
        lines = read_known(known)
    apply_known(summary, lines, cases)
    measured, here = (
        measured_on(known) if known is not None and known.exists() else "",
        f"{summary.backend} {summary.version}",
    )
    if measured and not measured.startswith(here):
        summary.notes.append(f"known failures were measured on {measured}; this is {here}")


def _write(summary: RunSummary, report: Path | None, as_json: bool) -> None:
    from rich.console import Console

    from monolith_conformance.report.suite_files import as_json as plain
    from monolith_conformance.report.suite_files import write_json, write_junit
    from monolith_conformance.report.suite_html import render_suite
    from monolith_conformance.report.suite_terminal import print_summary

    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        _write_transcripts(summary, report / "failures")
        write_json(summary, report / "report.json")
        write_junit(summary, report / "junit.xml")
        (report / "report.html").write_text(render_suite([plain(summary)]))
        typer.echo(f"report: {report / 'report.html'}", err=True)
    if as_json:
        typer.echo(json.dumps(plain(summary), indent=1, ensure_ascii=False))
    else:
        print_summary(summary, Console(soft_wrap=False))


def _write_transcripts(summary: RunSummary, folder: Path) -> None:
    """The requests of every failure, and the smallest ones that show it, to be replayed."""
    for case_id, outcome in summary.outcomes.items():
        name = case_id.replace("/", "__")
        header = {"id": case_id, "profile": summary.profile, "quirks": list(summary.quirks)}
        if outcome.transcript is not None and len(outcome.transcript):
            outcome.transcript.save(folder / f"{name}.jsonl", **header)
        if outcome.smallest is not None:
            outcome.smallest.transcript.save(folder / f"{name}.smallest.jsonl", **header)
