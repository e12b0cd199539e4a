"""``monolith-ref doctor``: is everything here that a run needs, and if not, what to do."""

from __future__ import annotations

import json

import typer

from monolith_ref.doctor import CHECKS, Finding, Status, examine
from monolith_ref.progress import Bar

__all__ = ["doctor"]

_STYLES = {Status.OK: "green", Status.NOTE: "yellow", Status.PROBLEM: "bold red"}
EXIT_ENVIRONMENT = 3


def doctor(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Check Python, arithmetic, kernels, MPI, CUDA, protobuf, disk and memory, and say what to do.

    Exit code 0: everything that is needed is there; 3: a problem was found.
    Examples: 'monolith-ref doctor'; 'monolith-ref doctor --json'.
    """
    findings = list(examine()) if as_json else _told_as_found()
    problems = [finding for finding in findings if finding.status is Status.PROBLEM]
    if as_json:
        typer.echo(json.dumps({"healthy": not problems, "findings": [f.to_json() for f in findings]}, indent=1))
    raise typer.Exit(EXIT_ENVIRONMENT if problems else 0)


def _told_as_found() -> list[Finding]:
    """Print each finding when it is made, since some take seconds, then one line that sums up."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    width = max(map(len, CHECKS))
    findings = []
    examination = examine()
    for name in CHECKS:
        with Bar(name):
            finding = next(examination)
        style = _STYLES[finding.status]
        console.print(f"[{style}]{finding.status:8}[/] {finding.name:{width}}  {escape(finding.found)}")
        if finding.remedy:
            console.print(f"{'':8} {'':{width}}  → {escape(finding.remedy)}")
        findings.append(finding)
    problems = sum(finding.status is Status.PROBLEM for finding in findings)
    console.print()
    if problems:
        console.print(f"[bold red]{problems} problem{'s' if problems > 1 else ''}[/]: see the arrows above.")
    else:
        console.print("Everything that a run needs is here. Try: [bold]monolith-ref compare --steps 5[/]")
    return findings
