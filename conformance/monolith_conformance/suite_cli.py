"""``monolith-ref conform run|list|explain|replay``: the suite from its options to its exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monolith_ref.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from monolith_conformance.outcome import Outcome, RunSummary

__all__ = ["register"]

EXIT_PASS, EXIT_DIFFERENCES = 0, 1

Encoding = Annotated[str, typer.Option(help="protobuf or json; of a testee.")]
TimeLimit = Annotated[float, typer.Option(help="Seconds for one reply of a testee.")]
BackendName = Annotated[
    str, typer.Option(help="oracle, engine-cpu, engine-cuda, null, testee:COMMAND, or module:class.")
]
Profile = Annotated[str, typer.Option(help="Rounding contract: ieee or avx.")]
QuirkSet = Annotated[str, typer.Option("--quirks", help="Preset of switches, as in 'default +wrap_timestamps'.")]


def register(app: typer.Typer) -> None:
    """Add the commands of the suite to ``conform``."""
    app.command("run")(run)
    app.command("list")(list_cases)
    app.command("explain")(explain)
    app.command("replay")(replay)


def run(
    backend: BackendName,
    select: Annotated[list[str] | None, typer.Option(help="Beginning of case ids; repeatable.")] = None,
    profile: Profile = "ieee",
    quirks: QuirkSet = "default",
    full: Annotated[
        bool, typer.Option("--full/--quick", help="Many examples of generated cases, and the cases that take long.")
    ] = False,
    known: Annotated[Path | None, typer.Option(help="File of known failures.")] = None,
    update_known: Annotated[bool, typer.Option("--update-known", help="Rewrite that file from this run.")] = False,
    report: Annotated[Path | None, typer.Option(help="Folder for report.json, junit.xml, report.html.")] = None,
    encoding: Encoding = "protobuf",
    time_limit: TimeLimit = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json instead of a table.")] = False,
) -> int:
    """Judge an implementation, rule by rule.

    Examples: 'monolith-ref conform run --backend engine-cpu'; 'monolith-ref conform run --backend "testee:./port"
    --encoding json --select core/'.
    """
    from monolith_conformance.backends import make_backend
    from monolith_conformance.cases import all_cases
    from monolith_conformance.environment import environment_problems, environment_versions
    from monolith_conformance.known import apply_known, read_known, write_known
    from monolith_conformance.runner import run_cases
    from monolith_conformance.runner import select as choose
    from monolith_ref.quirks import Quirks

    if update_known and known is None:
        raise ConfigError("--update-known needs --known FILE")
    cases = all_cases()
    chosen = choose(cases.values(), select or [])
    if not chosen:
        raise ConfigError(f"no case begins with {', '.join(select or [])}")
    tester = make_backend(backend, encoding=encoding, time_limit=time_limit)
    with _progress(len(chosen), as_json) as advance:
        summary = run_cases(
            tester,
            chosen,
            profile=profile,
            quirks=Quirks.parse(quirks),
            selection=" ".join(select or []),
            full=full,
            progress=advance,
        )
    summary.environment = environment_versions()
    summary.problems += environment_problems()
    lines = read_known(known) if known is not None and known.exists() else []
    if known is not None and update_known:
        typer.echo(f"{write_known(known, summary, lines)} lines written to {known}", err=True)
        lines = read_known(known)
    apply_known(summary, lines, cases)
    _write(summary, report, as_json)
    return EXIT_DIFFERENCES if summary.failed else EXIT_PASS


def list_cases(
    select: Annotated[list[str] | None, typer.Argument(help="Beginnings of case ids.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> int:
    """List cases: id, whether required, rule, section."""
    from monolith_conformance.cases import all_cases
    from monolith_conformance.runner import select as choose

    cases = choose(all_cases().values(), select or [])
    if as_json:
        keys = ("id", "rule", "section", "required", "generated", "full", "accuracy")
        plain = [
            {**{k: getattr(c, k) for k in keys}, "needs": sorted(c.needs), "quirks": sorted(c.quirks)} for c in cases
        ]
        typer.echo(json.dumps(plain, indent=1))
    else:
        for c in cases:
            typer.echo(f"{c.id}  {'required' if c.required else 'recommended'}  {c.rule} ({c.section})")
        typer.echo(f"{len(cases)} cases", err=True)
    return EXIT_PASS if cases else EXIT_DIFFERENCES


def explain(case_id: Annotated[str, typer.Argument(metavar="ID", help="A case id.")]) -> int:
    """Tell what a case checks, what it needs and where its rule is written."""
    import difflib

    from monolith_conformance.cases import all_cases

    cases = all_cases()
    if case_id not in cases:
        near = difflib.get_close_matches(case_id, cases, 3)
        raise UnknownNameError(f"no case {case_id!r}" + (f"; near ones: {', '.join(near)}" if near else ""))
    case = cases[case_id]
    facts = {
        "rule": case.rule,
        "section": case.section,
        "level": f"{case.level}, {'required' if case.required else 'recommended'}",
        "needs": ", ".join(sorted(case.needs)) or "nothing",
        "switches on": ", ".join(sorted(case.quirks)) or "none",
        "switches off": ", ".join(sorted(case.without)) or "none",
        "profiles": ", ".join(case.profiles),
        "examples": "generated, shrunk when one fails" if case.generated else "one, fixed",
        "budget": "--full only" if case.full else "--quick and --full",
        "accuracy": case.accuracy,
        "run alone": f"monolith-ref conform run --backend … --select '{case.id}'",
    }
    typer.echo(case.id)
    for key, value in facts.items():
        typer.echo(f"  {key:14}{value}")
    return EXIT_PASS


def replay(
    files: Annotated[list[Path], typer.Argument(help="Transcripts, as a failing run writes them.")],
    backend: BackendName,
    profile: Profile = "ieee",
    quirks: QuirkSet = "default",
    encoding: Encoding = "protobuf",
    time_limit: TimeLimit = 10.0,
) -> int:
    """Ask a backend the requests of a transcript again and hold its answers against the expected ones."""
    from monolith_conformance.backends import make_backend
    from monolith_conformance.replaying import replay_transcript
    from monolith_conformance.transcript import Transcript
    from monolith_ref.quirks import Quirks

    bad = 0
    for path in files:
        transcript, header = Transcript.load(path)
        tester = make_backend(backend, encoding=encoding, time_limit=time_limit)
        note = replay_transcript(tester, transcript, profile, Quirks.parse(quirks))
        bad += bool(note)
        typer.echo(f"{'failed' if note else 'passed'}  {header.get('id', path.name)}{': ' + note if note else ''}")
    return EXIT_DIFFERENCES if bad else EXIT_PASS


def _write(summary: RunSummary, report: Path | None, as_json: bool) -> None:
    from rich.console import Console

    from monolith_conformance.report.suite_files import as_json as plain
    from monolith_conformance.report.suite_files import write_json, write_junit
    from monolith_conformance.report.suite_html import render_suite
    from monolith_conformance.report.suite_terminal import print_summary

    if as_json:
        typer.echo(json.dumps(plain(summary), indent=1, ensure_ascii=False))
    else:
        print_summary(summary, Console(soft_wrap=False))
    if report is None:
        return
    report.mkdir(parents=True, exist_ok=True)
    write_json(summary, report / "report.json")
    write_junit(summary, report / "junit.xml")
    (report / "report.html").write_text(render_suite([plain(summary)]))
    for case_id, outcome in summary.outcomes.items():
        if outcome.transcript is not None and len(outcome.transcript):
            name = case_id.replace("/", "__") + ".jsonl"
            outcome.transcript.save(report / "failures" / name, id=case_id, profile=summary.profile)
    typer.echo(f"report: {report / 'report.html'}", err=True)


class _progress:
    """A bar on standard error while cases run, where that is a terminal."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total = total
        self._shown = sys.stderr.isatty() and not quiet

    def __enter__(self) -> _progress:
        if self._shown:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("cases", total=self._total)
        return self

    def __call__(self, outcome: Outcome) -> None:
        if self._shown:
            self._bar.advance(self._task)

    def __exit__(self, *exc: object) -> None:
        if self._shown:
            self._bar.stop()
