"""``monolith-ref conform dumps DIR``."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from monolith_ref.progress import Bar

__all__ = ["register"]

DIRECTORY = typer.Argument(..., help="Dump files with expectations, recorder scenarios, damaged files, flips.")


def register(app: typer.Typer) -> None:
    """Add the command to ``monolith-ref conform``."""
    app.command(name="dumps")(dumps)


def dumps(
    directory: Path = DIRECTORY,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Replay a directory of ModelDump files with what is expected of them; exit code 1 where something fails.

    Example: 'monolith-ref conform dumps golden/model_dump'.
    """
    from monolith_conformance.dumps.replay import run_dumps

    with Bar("checks", wanted=not as_json) as bar:
        table = run_dumps(directory, lambda: bar.advance())
    if as_json:
        failures = [[item.kind, item.case, item.problem] for item in table.failures]
        typer.echo(json.dumps({"passed": table.passed, "failed": table.failed, "failures": failures}, indent=1))
    else:
        for failure in table.failures:
            typer.echo(f"failed: {failure.kind}: {failure.case}: {failure.problem}")
        for line in table.lines():
            typer.echo(line)
    if not table.ok:
        raise typer.Exit(1)
