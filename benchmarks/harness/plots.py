"""Plots as SVG text: bars of a job, lines of a curve. Axes of seconds are logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["COLOURS", "bars", "lines", "seconds_text"]

COLOURS = {
    "engine": "#0b6e4f",
    "limit": "#999999",
    "numpy": "#4d77cf",
    "torch": "#ee4c2c",
    "fbgemm": "#7b4fa3",
    "tensorflow": "#ff9f0a",
    "tensorflow-hash": "#c77700",
    "tfra": "#b8336a",
}


def seconds_text(seconds: float) -> str:
    """Three digits and a unit."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def bars(items: Sequence[tuple[str, float, float, float]]) -> str:
    """Horizontal bars of (name, median, least, most) seconds from one common zero, with whiskers of the spread."""
    width, height, left = 640, 24 * len(items) + 8, 150
    most = max((high for _name, _middle, _low, high in items), default=1.0) or 1.0
    scale = (width - left - 90) / most
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" class="plot">']
    for row, (name, middle, low, high) in enumerate(items):
        y = 24 * row + 6
        colour = COLOURS.get(name, "#666")
        parts += [
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left}" y="{y}" width="{max(middle * scale, 1):.1f}" height="16" fill="{colour}"/>',
            f'<line x1="{left + low * scale:.1f}" x2="{left + high * scale:.1f}" y1="{y + 8}" y2="{y + 8}" class="w"/>',
            f'<text x="{left + high * scale + 6:.1f}" y="{y + 13}">{seconds_text(middle)}</text>',
        ]
    return "".join([*parts, "</svg>"])


def lines(curves: Mapping[str, Sequence[tuple[float, float]]], x_name: str, y_name: str) -> str:
    """Curves of (x, y) points, both axes logarithmic."""
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    width, height, left, bottom = 640, 300, 70, 40
    xs, ys = [math.log10(x) for x, _y in points], [math.log10(y) for _x, y in points]
    x_low, x_high, y_low, y_high = min(xs), max(xs) or 1, math.floor(min(ys)), math.ceil(max(ys))
    x_high += x_high == x_low
    y_high += y_high == y_low

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (math.log10(x) - x_low) / (x_high - x_low) * (width - left - 130)
        return across, 10 + (y_high - math.log10(y)) / (y_high - y_low) * (height - bottom - 10)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" class="plot">']
    for power in range(y_low, y_high + 1):
        y = place(10**x_low, 10.0**power)[1]
        parts.append(f'<line x1="{left}" x2="{width - 130}" y1="{y:.1f}" y2="{y:.1f}" class="g"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{seconds_text(10.0**power)}</text>')
    for x in sorted({x for x, _y in points}):
        at = place(x, 10.0**y_low)[0]
        parts.append(f'<text x="{at:.1f}" y="{height - bottom + 16}" text-anchor="middle">{x:,.0f}</text>')
    for row, (name, curve) in enumerate(curves.items()):
        colour = COLOURS.get(name, "#666")
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in sorted(curve))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in curve:
            parts.append('<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>'.format(*place(x, y), colour))
        parts.append(f'<text x="{width - 120}" y="{20 + 18 * row}" fill="{colour}">{escape(name)}</text>')
    middle = (left + width - 130) / 2
    parts.append(f'<text x="{middle}" y="{height - 4}" text-anchor="middle">{escape(x_name)} · {escape(y_name)}</text>')
    return "".join([*parts, "</svg>"])
