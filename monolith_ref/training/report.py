"""``report.html`` of a training run: one self-contained page with inline charts, readable on a phone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from monolith_ref.report import COLOURS, svg
from monolith_ref.training.outputs import REPORT

__all__ = ["render", "write_report"]

_SKEWED = 1.25
"""Largest owner over the mean from which a remedy is named."""


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write ``report.json`` and ``report.html`` into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{REPORT}.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / f"{REPORT}.html").write_text(render(report), encoding="utf-8")


def render(report: Mapping[str, Any]) -> str:
    """The page of a report (the content of ``report.json``)."""
    environment = Environment(
        loader=PackageLoader("monolith_ref", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    windows = report["windows"]
    last = windows[-1] if windows else {"owned": [], "received": [], "memory": []}
    owners = [
        (owned, received, f"{memory / 2**20:,.0f} MiB")
        for owned, received, memory in zip(last["owned"], last["received"], last["memory"], strict=True)
    ]
    return environment.get_template("train.html.j2").render(
        r=report,
        sentence=_sentence(report),
        facts=_facts(report),
        charts=_charts(report),
        owners=owners,
        skew=_skew(last["owned"], last["received"]),
        colours=COLOURS,
    )


def _sentence(report: Mapping[str, Any]) -> str:
    ranks = f"{report['ranks']} rank{'s' * (report['ranks'] > 1)}"
    resumed = f", continued at step {report['resumed_at']}" if report["resumed_at"] else ""
    return (
        f"{report['steps']} steps of {report['batch_size']} rows on {ranks}, reduction {report['reduction']}{resumed}."
    )


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = []
    for one in report["evaluations"][-1:]:
        if one["auc"] is not None:
            facts.append((f"{one['auc']:.4f}", f"AUC ({report['split']} split)"))
        facts.append((f"{one['loss']:.4f}", "evaluation loss"))
    facts.append((f"{report['loss']:.4f}", "loss of the last step"))
    seconds = sum(window["seconds"] for window in report["windows"])
    if seconds:
        facts.append((svg.si(sum(window["ids"] for window in report["windows"]) / seconds), "ids per second"))
        facts.append((f"{seconds:.1f} s", "of steps"))
    facts.append((f"{sum(report['tables'].values()):,}", "rows"))
    return facts


def _skew(owned: Sequence[int], received: Sequence[int]) -> str:
    """How unevenly the work is spread, and what helps."""
    if len(owned) < 2 or not sum(owned) or not sum(received):
        return "One rank owns every row."
    rows, asked = (max(one) * len(one) / sum(one) for one in (owned, received))
    text = f"The largest owner has {rows:.2f} times the mean of the rows, and was asked for {asked:.2f} times the mean."
    if max(rows, asked) < _SKEWED:
        return text
    return (
        f"{text} Owners are chosen by id modulo ranks: ids that share a factor with the number of ranks gather on few "
        "of them. A number of ranks without that factor, or hashed ids (kind = 'hash'), spreads them."
    )


def _charts(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    windows = report["windows"]
    steps = [window["step"] for window in windows]
    charts = [
        _chart("Loss", svg.line_chart("Loss", steps, {"loss": [w["loss"] for w in windows]}, "{:.4g}".format), ["loss"])
    ]
    judged = [one for one in report["evaluations"] if one["auc"] is not None]
    at = [one["step"] for one in judged]
    if len(judged) > 1:
        lines = {"AUC": [one["auc"] for one in judged]}
        charts.append(_chart("AUC", svg.line_chart("AUC", at, lines, "{:.4g}".format), lines))
        lines = {"evaluation loss": [one["loss"] for one in judged]}
        charts.append(_chart("Evaluation loss", svg.line_chart("Evaluation loss", at, lines, "{:.4g}".format), lines))
    speed = {"ids per second": [w["ids"] / w["seconds"] if w["seconds"] else 0.0 for w in windows]}
    charts.append(_chart("Ids per second", svg.line_chart("Ids per second", steps, speed, from_zero=True), speed))
    numbers = list(range(1, len(windows) + 1))
    phases = _series(windows, "phases", 1e3)
    charts.append(_chart("Step time by phase (ms), by window", svg.stacked_bars("Phases", numbers, phases), phases))
    sent = _series(windows, "sent", 1.0)
    charts.append(_chart("Bytes a step between ranks, by window", svg.stacked_bars("Bytes", numbers, sent), sent))
    memory = {
        f"rank {rank}": [w["memory"][rank] / 2**20 for w in windows if rank < len(w["memory"])]
        for rank in range(report["ranks"])
    }
    memory = {name: line for name, line in memory.items() if len(line) == len(windows)}
    charts.append(_chart("Peak memory (MiB)", svg.line_chart("Memory", steps, memory, from_zero=True), memory))
    rows = {"rows": [float(sum(w["owned"])) for w in windows]}
    charts.append(_chart("Rows of all tables", svg.line_chart("Rows", steps, rows, from_zero=True), rows))
    skew = {
        what: [max(w[key]) * len(w[key]) / sum(w[key]) if sum(w[key]) else 1.0 for w in windows]
        for key, what in (("owned", "rows owned"), ("received", "ids asked for"))
    }
    charts.append(_chart("Largest owner over the mean", svg.line_chart("Skew", steps, skew, "{:.3g}".format), skew))
    return charts


def _series(windows: Sequence[Mapping[str, Any]], key: str, scale: float) -> dict[str, list[float]]:
    """Values by name over all windows, the largest first; what is nowhere above 0 is left out."""
    names: dict[str, float] = {}
    for window in windows:
        for name, value in window[key].items():
            names[name] = names.get(name, 0.0) + value
    ordered = sorted((name for name, total in names.items() if total > 0), key=lambda name: -names[name])
    return {name: [scale * window[key].get(name, 0.0) for window in windows] for name in ordered[: svg.COLOURS]}


def _chart(title: str, drawing: str, names: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    legend = [(name, f"c{number % svg.COLOURS}") for number, name in enumerate(names)]
    return {"title": title, "svg": Markup(drawing), "legend": legend}
