"""``report.html`` of a comparison: one self-contained page with inline charts, readable on a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from monolith_conformance.compare.difference import Difference
from monolith_conformance.compare.results import Finding, RunResult, StepRecord
from monolith_ref.report import COLOURS, svg

__all__ = ["finding_facts", "first_divergence", "render"]

_VERDICT_WORDS = {"pass": "PASS", "fail": "FAIL", "vacuous": "VACUOUS"}


def first_divergence(run: RunResult) -> str:
    """The first difference in a few words, or ``none``."""
    if not run.findings:
        return "none"
    d = run.findings[0].difference
    where = f"fid {d.fid}" if d.fid is not None else d.name
    return f"step {d.step}, rank {d.rank}, {d.stage}, {where}"


def finding_facts(finding: Finding) -> list[tuple[str, str]]:
    """Where a difference is and both values, in the order in which people ask."""
    d: Difference = finding.difference
    plain = d.as_dict()
    facts: list[tuple[str, Any]] = [
        ("step", d.step),
        ("rank", d.rank),
        ("owner", d.owner),
        ("feature or variable", d.name),
        ("fid", d.fid),
        ("slot", d.slot),
        ("row of the batch", d.row),
        ("element", d.element),
        ("engine", f"{plain['engine_value']} (0x{plain['engine']})"),
        ("oracle", f"{plain['oracle_value']} (0x{plain['oracle']})"),
        ("ulps apart", d.ulps),
    ]
    return [(key, str(value)) for key, value in facts if value is not None]


def render(report: Mapping[str, Any], runs: Sequence[RunResult], sentence: str) -> str:
    """The page of a report (the content of ``report.json``) and its runs."""
    environment = Environment(
        loader=PackageLoader("monolith_conformance", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("compare.html.j2").render(
        verdict=report["verdict"],
        verdict_word=_VERDICT_WORDS[report["verdict"]],
        sentence=sentence,
        command=report["command"],
        ranks=report["ranks"],
        started=report["started"],
        settings=report["settings"],
        versions=report["versions"],
        colours=COLOURS,
        runs=[_run(run) for run in runs],
    )


def _run(run: RunResult) -> dict[str, Any]:
    findings = [{**f.difference.as_dict(), "cause": f.cause, "facts": finding_facts(f)} for f in run.findings]
    return {
        "layout": run.layout,
        "target": run.target,
        "verdict": run.verdict,
        "steps": run.steps,
        "rows": run.rows,
        "comparisons": run.comparisons,
        "moved_rows": run.moved_rows,
        "differences": run.differences,
        "first": first_divergence(run),
        "engine_ms": run.engine_ms,
        "oracle_ms": run.oracle_ms,
        "skipped": run.skipped,
        "notes": run.notes,
        "digests": run.digests,
        "rows_per_rank": run.rows_per_rank,
        "findings": findings,
        "charts": [] if run.skipped else _charts(run),
    }


def _charts(run: RunResult) -> list[dict[str, Any]]:
    records = run.finished
    steps = [record.step for record in records]
    counts = {
        "occurrences": [float(r.occurrences) for r in records],
        "distinct ids": [float(r.distinct) for r in records],
        "rows moved": [float(r.moved) for r in records],
    }
    timed, left_out = _timed(run)
    timed_steps = [record.step for record in timed]
    times = {
        "engine": [1e3 * r.engine_seconds for r in timed],
        "oracle": [1e3 * r.oracle_seconds for r in timed],
        "comparison": [1e3 * r.compare_seconds for r in timed],
    }
    phases = {name: [1e3 * r.phases.get(name, 0.0) for r in timed] for name in _names(timed, "phases")}
    sent = {name: [float(r.sent.get(name, 0)) for r in records] for name in _names(records, "sent")}
    rows = [*run.features, "head"]
    compared, different = [r.compared for r in run.records], [r.different for r in run.records]
    every = [record.step for record in run.records]
    map_chart = svg.cell_map("Comparisons by step and feature", every, rows, compared, different)
    return [
        _chart("Loss", svg.line_chart("Loss", steps, {"loss": [r.loss for r in records]}, "{:.4g}".format), ["loss"]),
        _chart("Rows and distinct ids", svg.line_chart("Rows and ids", steps, counts, from_zero=True), counts),
        _chart(f"Step time by phase, engine (ms){left_out}", svg.stacked_bars("Phases", timed_steps, phases), phases),
        _chart("Engine, oracle, comparison (ms)", svg.line_chart("Times", timed_steps, times, from_zero=True), times),
        _chart("Bytes sent to other ranks", svg.stacked_bars("Bytes exchanged", steps, sent), sent),
        {
            "title": "Comparisons by step and feature",
            "svg": Markup(map_chart),
            "legend": [("equal", "good"), ("different", "bad"), ("not compared", "none")],
        },
    ]


def _timed(run: RunResult) -> tuple[list[StepRecord], str]:
    """The steps whose times are drawn: without the first where loading kernels dwarfs the others, and a word of it."""
    records = run.finished
    first = 1e3 * records[0].engine_seconds if records else 0.0
    if len(records) < 3 or first < 4 * run.engine_ms:
        return records, ""
    return records[1:], f"; step {records[0].step} with loading kernels: {first:.0f} ms"


def _chart(title: str, drawing: str, names: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    legend = [(name, f"c{i % svg.COLOURS}") for i, name in enumerate(names)]
    return {"title": title, "svg": Markup(drawing), "legend": legend}


def _names(records: Sequence[StepRecord], attribute: str) -> list[str]:
    names: dict[str, None] = {}
    for record in records:
        names |= dict.fromkeys(getattr(record, attribute))
    return [name for name in names if any(getattr(record, attribute).get(name) for record in records)]
