"""``monolith-ref conform report``: reports of before, on one page or held against each other."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from monolith_ref.errors import ConfigError

__all__ = ["register"]

SHOWN = 40


def register(app: typer.Typer) -> None:
    """Add the command to ``conform``."""
    app.command("report")(report)


def report(
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT.json...", help="Written by 'conform run --report'.")],
    diff: Annotated[bool, typer.Option("--diff", help="Say what changed from the first to each other one.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for report.html with all of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
) -> int:
    """Put several reports on one page, or say what changed between them.

    With '--diff' the exit code is 1 when a case that passed in the first report does not pass in another one.

    Examples: 'monolith-ref conform report rust/report.json torch/report.json -o page'; 'monolith-ref conform report
    before.json after.json --diff'.
    """
    from monolith_conformance.report.suite_diff import diff_reports, plain_changes
    from monolith_conformance.report.suite_files import load_report
    from monolith_conformance.report.suite_html import render_suite

    if diff and len(reports) < 2:
        raise ConfigError("--diff needs two reports or more")
    if not diff and out is None:
        raise ConfigError("nothing to do: say -o DIR, --diff, or both")
    loaded = [load_report(path) for path in reports]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.html").write_text(render_suite(loaded))
        typer.echo(f"report: {out / 'report.html'}", err=True)
    if not diff:
        return 0
    lost, plain = 0, []
    for path, other in zip(reports[1:], loaded[1:], strict=True):
        changes = diff_reports(loaded[0], other)
        counts = Counter(change.kind for change in changes)
        lost += counts["lost"]
        plain.append({"before": str(reports[0]), "after": str(path), "changes": plain_changes(changes)})
        if not as_json:
            said = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no change"
            typer.echo(f"{loaded[0]['backend']['name']} -> {other['backend']['name']}: {said}")
            for change in changes[:SHOWN]:
                typer.echo(f"  {change}")
            if len(changes) > SHOWN:
                typer.echo(f"  … and {len(changes) - SHOWN} more")
    if as_json:
        typer.echo(json.dumps(plain, indent=1, ensure_ascii=False))
    return int(bool(lost))
