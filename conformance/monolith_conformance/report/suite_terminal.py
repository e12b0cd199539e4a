"""A run of the suite on the terminal: areas as a table, failures explained, one closing line."""

from __future__ import annotations

from collections import Counter

from rich import box
from rich.console import Console
from rich.table import Table

from monolith_conformance.explain.words import request_words
from monolith_conformance.outcome import Outcome, RunSummary

__all__ = ["print_case", "print_summary"]

MOST_FAILURES = 20
MOST_REQUESTS = 8
_COLUMNS = ("passed", "failed", "known", "unsupported", "not_asked")


def print_summary(summary: RunSummary, console: Console) -> None:
    """Table of areas, the first failures with their explanation, problems of the run, the closing line."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("area")
    for name in _COLUMNS:
        table.add_column(name.replace("_", " "), justify="right")
    for area, counts in _areas(summary).items():
        style = "red" if counts["failed"] else ""
        table.add_row(area, *(str(counts[name] or "-") for name in _COLUMNS), style=style)
    console.print(table)
    bad = [o for o in summary.outcomes.values() if o.status in ("failed", "fault", "stale_known")]
    for outcome in bad[:MOST_FAILURES]:
        print_case(outcome, console)
    if len(bad) > MOST_FAILURES:
        console.print(f"… and {len(bad) - MOST_FAILURES} more", highlight=False)
    for note in summary.notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    for problem in summary.problems:
        console.print(f"problem: {problem}", style="red", highlight=False, markup=False, soft_wrap=True)
    style = "bold red" if summary.failed else "bold green"
    console.print(summary.line, style=style, highlight=False, markup=False, soft_wrap=True)


def print_case(outcome: Outcome, console: Console) -> None:
    """One outcome with everything that is known about it."""
    lines = [f"{outcome.status.replace('_', ' ')}  {outcome.case.id}", f"  rule      {outcome.case.rule}"]
    lines.append(f"  section   {outcome.case.section}")
    if outcome.mismatch is not None:
        lines.append(f"  first     {outcome.mismatch}")
    if outcome.message:
        lines.append(f"  note      {outcome.message}")
    if outcome.cause:
        lines.append(f"  cause     {outcome.cause}")
    if outcome.smallest is not None:
        steps = [request_words(step.request) for step in outcome.smallest.steps]
        shown = steps if len(steps) <= MOST_REQUESTS else [*steps[: MOST_REQUESTS - 1], "…", steps[-1]]
        lines += [f"  smallest  {text}" if number == 0 else f"            {text}" for number, text in enumerate(shown)]
        lines.append(f"            {outcome.smallest.mismatch}")
    if outcome.command:
        lines.append(f"  again     {outcome.command}")
    if outcome.stderr:
        lines.append(f"  stderr    {outcome.stderr.strip().splitlines()[-1] if outcome.stderr.strip() else ''}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _areas(summary: RunSummary) -> dict[str, Counter[str]]:
    areas: dict[str, Counter[str]] = {}
    for outcome in summary.outcomes.values():
        status = {"fault": "failed", "stale_known": "failed"}.get(outcome.status, outcome.status)
        areas.setdefault(outcome.case.area, Counter())[status] += 1
    return areas
