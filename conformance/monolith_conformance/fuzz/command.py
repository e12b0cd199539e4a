"""``monolith-ref conform fuzz``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monolith_conformance.suite_run import Encoding, Profile, QuirkSet, TimeLimit
from monolith_ref.progress import Bar

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to ``conform``."""
    app.command("fuzz")(fuzz)


def fuzz(
    minutes: Annotated[float, typer.Option(help="Time for the search.")] = 1.0,
    backend: Annotated[str, typer.Option(help="As of 'conform run'.")] = "engine-cpu",
    corpus: Annotated[Path, typer.Option(help="Folder that is kept and gone on from.")] = Path("runs/fuzz"),
    examples: Annotated[
        int | None, typer.Option(min=1, help="One round with so many examples of each case, whatever time it takes.")
    ] = None,
    select: Annotated[list[str] | None, typer.Option(help="Beginning of case ids; repeatable.")] = None,
    profile: Profile = "ieee",
    quirks: QuirkSet = "default",
    encoding: Encoding = "protobuf",
    time_limit: TimeLimit = 10.0,
) -> int:
    """Look for inputs that show an implementation wrong, and keep each as a fixed case.

    Plays the findings of before, then generated cases with examples that no search of this corpus had yet. Each
    counterexample is shrunk and written to CORPUS/cases, which 'conform run --cases' takes. Exit code 1 if any fails.

    Example: 'monolith-ref conform fuzz --backend engine-cpu --minutes 5 --corpus corpus'.
    """
    import shlex

    from monolith_conformance.backends import make_backend
    from monolith_conformance.cases import all_cases
    from monolith_conformance.fuzz.corpus import Corpus
    from monolith_conformance.fuzz.search import Searcher
    from monolith_conformance.runner import select as choose
    from monolith_ref.quirks import Quirks

    tester = make_backend(backend, encoding=encoding, time_limit=time_limit)
    bar = Bar("cases of a round")
    searcher = Searcher(
        tester,
        choose(all_cases().values(), select or []),
        Corpus(corpus),
        profile=profile,
        quirks=Quirks.parse(quirks),
        tell=bar.tell,
        watch=bar.update,
    )
    with bar:
        found = searcher.run(None if examples else 60 * minutes, examples)
    again = f"--backend {shlex.quote(backend)}" + ("" if encoding == "protobuf" else f" --encoding {encoding}")
    for finding in found.findings:
        outcome = finding.outcome
        typer.echo(f"{'found' if finding.new else 'still fails'}  {outcome.case.id}")
        typer.echo(f"  first    {outcome.mismatch or outcome.message}")
        typer.echo(f"  replay   monolith-ref conform replay {shlex.quote(str(finding.path))} {again}")
    if found.findings:
        cases = shlex.quote(str(corpus / "cases"))
        typer.echo(f"as fixed cases: monolith-ref conform run {again} --cases {cases}")
    typer.echo(
        f"{len(found.findings)} findings; {found.kept} kept cases, {found.examples} examples of "
        f"{len(found.cases)} cases in {found.rounds} rounds, {found.seconds:.0f} s"
    )
    return int(bool(found.findings))
