"""``monolith-ref conform list|explain|replay``: what the cases are, and one of them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from monolith_conformance.suite_run import BackendName, Encoding, TimeLimit, run
from monolith_ref.errors import UnknownNameError
from monolith_ref.progress import Bar

__all__ = ["register"]

EXIT_PASS, EXIT_DIFFERENCES = 0, 1


def register(app: typer.Typer) -> None:
    """Add the commands of the suite to ``conform``."""
    app.command("run")(run)
    app.command("list")(list_cases)
    app.command("explain")(explain)
    app.command("replay")(replay)


def list_cases(
    select: Annotated[list[str] | None, typer.Argument(help="Beginnings of case ids.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
) -> int:
    """List cases: id, whether required, rule, section.

    Example: 'monolith-ref conform list core/optimizer.ftrl'.
    """
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
    """Tell what a case checks, what it needs and where its rule is written.

    Example: 'monolith-ref conform explain core/optimizer.sgd/sgd-p0-d1-0'.
    """
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
    profile: Annotated[str | None, typer.Option(help="ieee or avx, in place of the transcript's.")] = None,
    quirks: Annotated[str | None, typer.Option(help="Switches, in place of the transcript's.")] = None,
    encoding: Encoding = "protobuf",
    time_limit: TimeLimit = 10.0,
) -> int:
    """Ask a backend the requests of a transcript again and hold its answers against the expected ones.

    Example: 'monolith-ref conform replay report/failures/CASE.jsonl --backend "testee:./port"'.
    """
    from monolith_conformance.backends import make_backend
    from monolith_conformance.replaying import replay_transcript
    from monolith_conformance.transcript import Transcript

    bad = 0
    with Bar("transcripts", len(files)) as bar:
        for path in files:
            transcript, header = Transcript.load(path)
            tester = make_backend(backend, encoding=encoding, time_limit=time_limit)
            asked = _switches(quirks, header)
            note = replay_transcript(tester, transcript, profile or str(header.get("profile", "ieee")), asked)
            bad += bool(note)
            bar.print(f"{'failed' if note else 'passed'}  {header.get('id', path.name)}{': ' + note if note else ''}")
            bar.advance()
    return EXIT_DIFFERENCES if bad else EXIT_PASS


def _switches(given: str | None, header: dict[str, Any]) -> Any:
    """Switches as given, else those under which the transcript was written."""
    from monolith_ref.quirks import Quirks

    if given is None and "quirks" in header:
        return Quirks(frozenset(map(str, header["quirks"])))
    return Quirks.parse(given or "default")
