"""The end of a comparison on the terminal: a table, the digests, the verdict, the report's path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from monolith_conformance.compare.results import RunResult
from monolith_conformance.report.compare_html import finding_facts, first_divergence

__all__ = ["print_runs"]

_NARROW = 100


def print_runs(runs: Sequence[RunResult], verdict: str, sentence: str, report: Path, console: Console) -> None:
    """Table, digests, explained differences, verdict and path."""
    console.print(_table(runs, console.width < _NARROW))
    for run in runs:
        for note in run.notes:
            console.print(f"{run.layout}, {run.target}: {note}", highlight=False, soft_wrap=True)
    for run in runs:
        for finding in run.findings[:1]:
            title = f"\n{run.layout}, {run.target}: {run.differences} numbers differ; the first is"
            console.print(title, highlight=False, soft_wrap=True)
            for key, value in finding_facts(finding):
                console.print(f"  {key:20} {value}", highlight=False, markup=False, soft_wrap=True)
            console.print(f"  {'likely cause':20} {finding.cause}", highlight=False, markup=False, soft_wrap=True)
    for line in _digest_lines(runs):
        console.print(line, highlight=False, soft_wrap=True)
    colour = {"pass": "green", "vacuous": "yellow"}.get(verdict, "red")
    word = "PASS" if verdict == "pass" else verdict.upper()
    console.print(f"\n[bold {colour}]{word}[/] {sentence}", highlight=False, soft_wrap=True)
    console.print(f"report: {report}", highlight=False, markup=False, soft_wrap=True)


def _table(runs: Sequence[RunResult], narrow: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("layout")
    table.add_column("target")
    for name in ("steps", "rows", "comparisons", "moved rows"):
        table.add_column(name, justify="right")
    table.add_column("first divergence", overflow="fold")
    table.add_column("engine ms" if not narrow else "eng. ms", justify="right")
    table.add_column("oracle ms" if not narrow else "orc. ms", justify="right")
    for run in runs:
        if run.skipped:
            table.add_row(run.layout, run.target, "-", "-", "-", "-", f"skipped: {run.skipped}", "-", "-")
            continue
        table.add_row(
            run.layout,
            run.target,
            str(run.steps),
            f"{run.rows:,}",
            f"{run.comparisons:,}",
            f"{run.moved_rows:,}",
            first_divergence(run),
            f"{run.engine_ms:.1f}",
            f"{run.oracle_ms:.1f}",
        )
    return table


def _digest_lines(runs: Sequence[RunResult]) -> list[str]:
    """Every digest once where all runs agree, else once a run."""
    done = [run for run in runs if not run.skipped and run.digests]
    lines = []
    for name in ("data", "state", "loss"):
        values = {run.digests[name] for run in done if name in run.digests}
        if len(values) == 1:
            lines.append(f"{name:5} digest {values.pop()}")
        else:
            lines += [
                f"{name:5} digest {run.digests[name]} ({run.layout}, {run.target})"
                for run in done
                if name in run.digests
            ]
    return lines
