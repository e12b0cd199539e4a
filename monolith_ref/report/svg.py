"""Charts as inline SVG: lines, stacked bars and a map of cells. No scripts, no fonts, no outside files.

Every chart has a viewBox about as wide as a phone, so that its text stays readable when it is not scaled up; colours
come from the page's style sheet (classes ``c0`` ... ``c15``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

__all__ = ["cell_map", "line_chart", "si", "stacked_bars"]

WIDTH, HEIGHT = 380, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 24
COLOURS = 16


def si(value: float) -> str:
    """A number in at most about four characters: 1234567 -> 1.2M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def _ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round values that span low..high."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.floor(low / step) * step
    ticks = [first]
    while ticks[-1] < high - step * 1e-9:
        ticks.append(ticks[-1] + step)
    return ticks


class _Frame:
    """Axes of a chart: x are steps first..last, y is low..high."""

    def __init__(self, first: int, last: int, low: float, high: float, label: Callable[[float], str]) -> None:
        self.first, self.last = first, max(last, first + 1)
        self.ticks = _ticks(low, high)
        self.low, self.high = self.ticks[0], self.ticks[-1]
        self.label = label

    def x(self, step: float) -> float:
        return LEFT + (step - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def axes(self) -> str:
        parts = []
        for tick in self.ticks:
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{escape(self.label(tick))}</text>')
        for step in sorted({self.first, (self.first + self.last) // 2, self.last}):
            anchor = "start" if step == self.first else "end" if step == self.last else "middle"
            x, y = self.x(step), HEIGHT - 7
            parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{step}</text>')
        return "".join(parts)


def _svg(title: str, body: str, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def line_chart(
    title: str,
    steps: Sequence[int],
    series: Mapping[str, Sequence[float]],
    label: Callable[[float], str] = si,
    from_zero: bool = False,
) -> str:
    """One line a series over the steps; a single step is a dot."""
    values = [v for line in series.values() for v in line if math.isfinite(v)]
    if not values:
        return _svg(title, f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">no steps</text>')
    frame = _Frame(steps[0], steps[-1], 0.0 if from_zero else min(values), max(values), label)
    body = [frame.axes()]
    for number, (name, line) in enumerate(series.items()):
        points = [(frame.x(s), frame.y(v)) for s, v in zip(steps, line, strict=True) if math.isfinite(v)]
        colour = f"c{number % COLOURS}"
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        hint = f"<title>{escape(name)}: {line[0]:.6g} to {line[-1]:.6g}</title>"
        body.append(f'<polyline class="line {colour}" points="{path}">{hint}</polyline>')
        body += [f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in points[-1:]]
    return _svg(title, "".join(body))


def stacked_bars(
    title: str,
    steps: Sequence[int],
    series: Mapping[str, Sequence[float]],
    label: Callable[[float], str] = si,
) -> str:
    """One bar a step, made of the series from the bottom up."""
    totals = [sum(line[i] for line in series.values()) for i in range(len(steps))]
    if not steps or max(totals, default=0.0) <= 0:
        return _svg(title, f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">nothing</text>')
    frame = _Frame(steps[0], steps[-1] + 1, 0.0, max(totals), label)
    width = max((WIDTH - LEFT - RIGHT) / len(steps) - 0.8, 0.6)
    body = [frame.axes()]
    for i, step in enumerate(steps):
        base = 0.0
        for number, line in enumerate(series.values()):
            top = base + line[i]
            height = frame.y(base) - frame.y(top)
            if height > 0.05:
                body.append(
                    f'<rect class="c{number % COLOURS}" x="{frame.x(step):.1f}" y="{frame.y(top):.1f}" '
                    f'width="{width:.1f}" height="{height:.2f}"/>'
                )
            base = top
    return _svg(title, "".join(body))


def cell_map(
    title: str,
    steps: Sequence[int],
    rows: Sequence[str],
    compared: Sequence[Sequence[int]],
    different: Sequence[Sequence[int]],
) -> str:
    """A cell per step and row: equal, different, or not compared. ``compared[step][row]``."""
    left, cell_height = 74, 14
    height = TOP + cell_height * len(rows) + BOTTOM
    width = (WIDTH - left - RIGHT) / max(len(steps), 1)
    body = []
    for r, name in enumerate(rows):
        y = TOP + r * cell_height
        body.append(f'<text x="{left - 5}" y="{y + cell_height - 4}" text-anchor="end">{escape(name)}</text>')
        for s, step in enumerate(steps):
            count, wrong = compared[s][r], different[s][r]
            kind = "bad" if wrong else "good" if count else "none"
            text = f"step {step}, {name}: {count} compared, {wrong} different"
            body.append(
                f'<rect class="{kind}" x="{left + s * width:.2f}" y="{y}" width="{max(width - 0.6, 0.5):.2f}" '
                f'height="{cell_height - 1}"><title>{escape(text)}</title></rect>'
            )
    if steps:
        y = height - 7
        body.append(f'<text x="{left}" y="{y}">step {steps[0]}</text>')
        if len(steps) > 1:
            body.append(f'<text x="{WIDTH - RIGHT}" y="{y}" text-anchor="end">{steps[-1]}</text>')
    return _svg(title, "".join(body), height)
