"""Plots as SVG text, drawn for a narrow screen: bars of a job, lines of a curve. Axes of curves are logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape

from benchmarks.harness.bends import Point
from benchmarks.harness.machine import bytes_text

__all__ = ["COLOURS", "bars", "count_text", "lines", "seconds_text"]

COLOURS = {
    "engine": "#0b8a61",
    "limit": "#8e8e93",
    "numpy": "#4d77cf",
    "torch": "#ee4c2c",
    "fbgemm": "#8f63b8",
    "tensorflow": "#e08600",
    "tensorflow-hash": "#a08000",
    "tfra": "#c73f78",
}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 260, 58, 14, 30, 40


def seconds_text(seconds: float) -> str:
    """Three digits and a unit."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def count_text(count: float) -> str:
    """A power of ten as such, other numbers with commas."""
    power = round(math.log10(count)) if count > 0 else 0
    if power >= 4 and math.isclose(count, 10.0**power):
        return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(power))
    return f"{count:,.0f}"


def bars(items: Sequence[tuple[str, float, float, float]]) -> str:
    """Horizontal bars of (name, median, least, most) seconds from one common zero, with whiskers of the spread."""
    height, left = 24 * len(items) + 8, 106
    most = max((high for _name, _middle, _low, high in items), default=1.0) or 1.0
    scale = (WIDTH - left - 70) / most
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" class="plot">']
    for row, (name, middle, low, high) in enumerate(items):
        y = 24 * row + 6
        parts += [
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left}" y="{y}" width="{max(middle * scale, 1):.1f}" height="16" fill="{_colour(name)}"/>',
            f'<line x1="{left + low * scale:.1f}" x2="{left + high * scale:.1f}" y1="{y + 8}" y2="{y + 8}" class="w"/>',
            f'<text x="{left + high * scale + 6:.1f}" y="{y + 13}">{seconds_text(middle)}</text>',
        ]
    return "".join([*parts, "</svg>"])


def lines(
    curves: Mapping[str, Sequence[Point]],
    x_name: str,
    unit: str = "seconds",
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """Curves of points with whiskers from the least to the most, and a legend; ``marks`` are (x, text) to point out.

    ``unit`` is ``seconds``, or ``bytes``.
    """
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    text = seconds_text if unit == "seconds" else bytes_text
    xs = sorted({point.x for point in points})
    ticks = list(_ticks(min(point.low for point in points), max(point.high for point in points)))
    across = _scale(xs[0], xs[-1], LEFT + 10, WIDTH - RIGHT - 10)
    up = _scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot">']
    for tick in ticks:
        y = up(tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="g"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text(tick)}</text>')
    for x in xs:
        parts.append(
            f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{count_text(x)}</text>'
        )
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_name)}</text>')
    for number, (x, words) in enumerate(sorted(marks)):
        at, high = across(x), 11 + 12 * (number % 2)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{high + 2}" y2="{HEIGHT - BOTTOM}" class="m"/>')
        anchor = "end" if at > 0.75 * WIDTH else "start" if at < 0.3 * WIDTH else "middle"
        parts.append(f'<text x="{at:.1f}" y="{high}" text-anchor="{anchor}">{escape(words)}</text>')
    for name, curve in curves.items():
        parts += _curve(sorted(curve, key=lambda point: point.x), _colour(name), across, up)
    legend = "".join(f'<span><i style="background:{_colour(name)}"></i>{escape(name)}</span>' for name in curves)
    return "".join([*parts, f'</svg><div class="legend">{legend}</div>'])


def _curve(
    curve: Sequence[Point], colour: str, across: Callable[[float], float], up: Callable[[float], float]
) -> Iterator[str]:
    path = " ".join(f"{across(point.x):.1f},{up(point.middle):.1f}" for point in curve)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for point in curve:
        x = f"{across(point.x):.1f}"
        yield f'<line x1="{x}" x2="{x}" y1="{up(point.low):.1f}" y2="{up(point.high):.1f}" stroke="{colour}"/>'
        yield f'<circle cx="{x}" cy="{up(point.middle):.1f}" r="3" fill="{colour}"/>'


def _colour(name: str) -> str:
    return COLOURS.get(name, "#777")


def _scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    """Logarithms of ``low`` to ``high`` on ``begin`` to ``end``; a single value lies in the middle."""
    if high <= low:
        return lambda value: (begin + end) / 2
    whole = math.log(high / low)
    return lambda value: begin + (end - begin) * math.log(value / low) / whole


def _ticks(low: float, high: float) -> Iterator[float]:
    """1, 2 and 5 times powers of ten around ``low`` to ``high``; powers alone where that would be many."""
    steps = (1.0, 2.0, 5.0) if high < 200 * low else (1.0,)
    found = [
        step * 10.0**power
        for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
        for step in steps
    ]
    first = max(number for number, tick in enumerate(found) if tick <= low * 1.0001)
    last = min(number for number, tick in enumerate(found) if tick >= high * 0.9999)
    yield from found[first : max(last, first + 1) + 1]
