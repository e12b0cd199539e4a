"""``monolith-ref conform export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monolith_ref.progress import Bar

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to ``conform``."""
    app.command("export")(export)


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder, or an export of before.")],
    comparison_steps: Annotated[
        int, typer.Option(help="Steps of the comparison run, at most 50; 0 leaves it out.")
    ] = 50,
    whole_steps: Annotated[
        int, typer.Option(help="Steps of it whose arrays are included, 1 MB each and rank count.")
    ] = 2,
) -> int:
    """Write the suite's data for any language: vectors, traces, files to read and to refuse, the comparison run.

    Everything is named in 'index.json' with its size, SHA-256 and JSON Schema; 'README.md' beside it explains the rest.

    Example: 'monolith-ref conform export suite-data'.
    """
    from monolith_conformance.export.whole import export_all

    with Bar("vectors") as bar:
        count, size = export_all(folder, comparison_steps, whole_steps, bar)
    typer.echo(f"{count} files, {size / 1e6:.1f} MB in {folder}")
    return 0
