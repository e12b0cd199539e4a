"""Predictions as a table for the terminal, and as one HTML page with charts (no scripts, nothing from outside)."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from monolith_ref.planning.prediction import Prediction

__all__ = ["page", "print_table", "size"]

WIDTH, HEIGHT, LEFT, BOTTOM = 520, 240, 64, 36

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .8rem;text-align:right;"
    "border-bottom:1px solid #d8dee4}figure{display:inline-block;margin:0 1.5rem 1rem 0}figcaption{font-weight:600}"
    "li{margin:.3rem 0}svg text{font:12px system-ui,sans-serif;fill:#57606a}"
)


def size(count: float) -> str:
    """Bytes for people: ``5.7 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError


HEADER = ("ranks", "requests", "sent a step", "over minimum", "memory a rank", "busiest owner", "step", "steps/s")


def _cells(one: Prediction) -> list[str]:
    minimum = one.traffic.minimum
    seconds = one.time.total if one.time is not None else None
    return [
        f"{one.ranks:,}",
        f"{one.traffic.requests:,.0f}",
        size(one.traffic.total),
        f"{one.traffic.total / minimum - 1:.1%}" if minimum else "-",
        size(one.memory.total),
        f"{one.skew.requests:.2f} x mean",
        f"{seconds * 1e3:.2f} ms" if seconds is not None else "-",
        f"{1 / seconds:,.0f}" if seconds else "-",
    ]


def print_table(predictions: Sequence[Prediction], said: Sequence[str], notes: Sequence[str], console: Console) -> None:
    """Table, remarks, notes."""
    table = Table(box=None, pad_edge=False)
    for name in HEADER:
        table.add_column(name, justify="right")
    for one in predictions:
        table.add_row(*_cells(one))
    console.print(table)
    for text in (*said, *notes):
        console.print(f"- {text}", highlight=False, markup=False)


def page(predictions: Sequence[Prediction], said: Sequence[str], notes: Sequence[str], title: str) -> str:
    """The HTML page."""
    ranks = [one.ranks for one in predictions]
    charts = [
        _chart("Bytes sent in a step, all ranks", ranks, [one.traffic.total for one in predictions], size),
        _chart("Memory of a rank", ranks, [one.memory.total for one in predictions], size),
        _chart("Busiest owner, times the mean", ranks, [one.skew.requests for one in predictions], "{:.2g}".format),
    ]
    times = [one.time.total for one in predictions if one.time is not None]
    if len(times) == len(ranks):
        charts.insert(0, _chart("Time of a step", ranks, times, lambda value: f"{value * 1e3:.3g} ms"))
    head = "".join(f"<th>{name}</th>" for name in HEADER)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in _cells(one))}</tr>" for one in predictions
    )
    items = "".join(f"<li>{html.escape(text)}</li>" for text in (*said, *notes))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1><ul>{items}</ul>{''.join(charts)}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></html>\n"
    )


def _chart(title: str, ranks: Sequence[int], values: Sequence[float], label: Callable[[float], str]) -> str:
    """A line over ranks, both axes logarithmic."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    if high - low < 0.3:
        low, high = (low + high) / 2 - 0.15, (low + high) / 2 + 0.15
    far = max(1.0, math.log2(max(ranks)))

    def place(rank: int, value: float) -> tuple[float, float]:
        part = (math.log10(value) - low) / (high - low)
        return LEFT + (WIDTH - LEFT - 16) * math.log2(rank) / far, (HEIGHT - BOTTOM) - (HEIGHT - BOTTOM - 16) * part

    points = [(rank, value, *place(rank, value)) for rank, value in zip(ranks, values, strict=True) if value > 0]
    line = " ".join(f"{x:.1f},{y:.1f}" for _, _, x, y in points)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#0969da"><title>{rank} ranks: {html.escape(label(value))}'
        f"</title></circle>"
        for rank, value, x, y in points
    )
    below = "".join(
        f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{rank}</text>' for rank, _, x, _ in points
    )
    left = "".join(
        f'<text x="{LEFT - 8}" y="{y:.1f}" text-anchor="end">{html.escape(label(10**power))}</text>'
        for power, y in ((low, HEIGHT - BOTTOM), (high, 20))
    )
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}"><path d="M{LEFT} 12V{HEIGHT - BOTTOM}H{WIDTH - 8}" fill="none" '
        f'stroke="#d8dee4"/><polyline points="{line}" fill="none" stroke="#0969da" stroke-width="2"/>'
        f"{dots}{below}{left}</svg></figure>"
    )
