"""Results as text, as JSON and as one HTML page that needs nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from benchmarks.harness.floors import Outcome, Verdict, best_form
from benchmarks.harness.plan import Job
from benchmarks.harness.plots import bars, lines, seconds_text

__all__ = ["Measured", "Run", "html_page", "job_lines", "json_report", "verdict_lines"]


@dataclass
class Measured:
    """A job and what each contender did."""

    job: Job
    outcomes: dict[str, Outcome]


@dataclass
class Run:
    """Everything of a run: ``about`` (machine, versions), ``measured`` jobs, ``verdicts``, ``absent`` contenders."""

    about: dict[str, Any] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def _item(measured: Measured, name: str) -> tuple[str, float, float, float] | None:
    """(form, median, least, most) of a contender's best form, in seconds by unit."""
    outcome = measured.outcomes[name]
    form = best_form(outcome)
    if form is None:
        return None
    seconds = [s / measured.job.unit for s in outcome.seconds[form]]
    return form, statistics.median(seconds), min(seconds), max(seconds)


def job_lines(measured: Measured) -> Iterator[str]:
    """A job's table: per contender its time, spread, ratio to the engine's and form; ``-`` and a reason without."""
    yield f"{measured.job.title} ({measured.job.threads} thread{'s' * (measured.job.threads > 1)})"
    ours = _item(measured, "engine") if "engine" in measured.outcomes else None
    for name, outcome in measured.outcomes.items():
        item = _item(measured, name)
        facts = ", ".join(f"{key} {_fact(value)}" for key, value in outcome.facts.items())
        if item is None:
            text = facts or f"-  {outcome.reason or 'no seconds'}"
            yield f"  {name:16} {text}"
            continue
        form, middle, low, high = item
        ratio = f"{middle / ours[1]:7.2f}x" if ours is not None else " " * 8
        spread = f"{seconds_text(low)} to {seconds_text(high)}"
        yield f"  {name:16} {seconds_text(middle):>9} {ratio}  {spread:22} {form}{'; ' + facts if facts else ''}"


def _fact(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def verdict_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The table of floors."""
    yield f"{'floor':56}{'asked':>8}{'found':>8}  {'':9} forms"
    for verdict in verdicts:
        found = "-" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        yield f"{verdict.floor.text:56}{verdict.floor.least:8.2f}{found:>8}  {verdict.state:9} {verdict.note}"


def json_report(run: Run) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "about": run.about,
        "absent": run.absent,
        "floors": [{**asdict(v.floor), "state": v.state, "ratio": v.ratio, "note": v.note} for v in run.verdicts],
        "jobs": [
            {**asdict(m.job), "outcomes": {name: asdict(outcome) for name, outcome in m.outcomes.items()}}
            for m in run.measured
        ],
    }


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1e;background:#fff}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .5rem;border-bottom:1px solid #ddd;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}.missed{color:#b00020;font-weight:600}.unjudged{color:#777}
.plot{width:100%;max-width:42rem;height:auto;font-size:12px}.plot .w{stroke:#111;stroke-width:1.5}
.plot .g{stroke:#e3e3e3}.plot text{fill:currentColor}h3{margin-bottom:.2rem}small{color:#666}
@media(prefers-color-scheme:dark){body{background:#1c1c1e;color:#eee}td,th{border-color:#444}.plot .g{stroke:#333}
.plot .w{stroke:#eee}}
"""


def html_page(run: Run) -> str:
    """One page: floors, bars of every job, curves."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Benchmark</title>",
        "<meta name='viewport' content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>Benchmark</h1><p>",
        "<br>".join(f"{escape(str(key))}: {escape(str(value))}" for key, value in run.about.items()),
        "</p><h2>Floors</h2><table><tr><th>floor<th>asked<th>found<th>state<th>forms",
    ]
    for verdict in run.verdicts:
        found = "–" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        parts.append(
            f"<tr class='{verdict.state}'><td>{escape(verdict.floor.text)}<td class='n'>{verdict.floor.least:.2f}"
            f"<td class='n'>{found}<td>{verdict.state}<td>{escape(verdict.note)}"
        )
    parts.append("</table>")
    if run.absent:
        parts.append("<h2>Not here</h2><ul>")
        parts += [f"<li>{escape(name)}: – {escape(why)}" for name, why in run.absent.items()]
        parts.append("</ul>")
    parts += [
        f"<h2>Curves</h2>{''.join(_curves(run))}" if any(m.job.curve for m in run.measured) else "",
        "<h2>Jobs</h2>",
    ]
    for measured in run.measured:
        parts += _job_section(measured)
    return "".join(parts)


def _job_section(measured: Measured) -> Iterator[str]:
    items = {name: _item(measured, name) for name in measured.outcomes}
    yield f"<h3>{escape(measured.job.title)}</h3><small>{measured.job.threads} thread(s); time by item</small><br>"
    drawn = [(name, *item[1:]) for name, item in items.items() if item is not None]
    if drawn:
        yield bars(drawn)
    yield "<ul>"
    for name, outcome in measured.outcomes.items():
        item = items[name]
        facts = ", ".join(f"{key} {_fact(value)}" for key, value in outcome.facts.items())
        text = item[0] if item is not None else facts or f"– {outcome.reason}"
        yield f"<li>{escape(name)}: {escape(text)}{escape('; ' + facts) if item is not None and facts else ''}"
    yield "</ul>"


def _curves(run: Run) -> Iterator[str]:
    """One plot a curve: against rows, width or ranks, by contender."""
    kept: dict[str, dict[str, list[tuple[float, float]]]] = {}
    axes: dict[str, str] = {}
    for measured in run.measured:
        curve, spec = measured.job.curve, measured.job.spec
        if not curve:
            continue
        axes[curve] = "ranks" if "ranks" in spec else ("dim" if "by dim" in curve else "rows")
        for name in measured.outcomes:
            item = _item(measured, name)
            if item is not None:
                kept.setdefault(curve, {}).setdefault(name, []).append((spec[axes[curve]], item[1]))
    for curve, by_name in kept.items():
        yield f"<h3>{escape(curve)}</h3>{lines(by_name, axes[curve], 'time by item')}"
