"""Why a curve bends where it does: what a point touches, held against the caches and the TLB of the machine.

The bytes are counted from the layout, the levels are read from the machine; a bend that neither explains is said to be
unexplained, with the spread of its points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.harness.machine import HUGE_PAGE, PAGE, Machine, bytes_text

__all__ = ["BEND", "Point", "Touched", "explain", "marks", "touched"]

BEND = 1.25
"""A change of cost between neighbouring points that needs an explanation."""
LINE = 64
BUCKET_SLOTS = 5
LOAD = 0.5
"""Of the index, on average: it is doubled at 0.7."""
TIME = 4
HUGE = ("engine", "limit")
"""Contenders that ask for huge pages."""


@dataclass(frozen=True)
class Point:
    """A point of a curve: ``x``; median, least and most seconds; the job's spec."""

    x: float
    middle: float
    low: float
    high: float
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Touched:
    """What a run of a job touches: bytes in ``lines`` of the table and ``batch`` bytes beside; bytes it ``spans``."""

    lines: float
    batch: float
    spans: float
    distinct: float
    lines_a_row: int

    @property
    def total(self) -> float:
        """Bytes that should be in a cache."""
        return self.lines + self.batch


def touched(contender: str, spec: Mapping[str, Any]) -> Touched:
    """From the layout: rows of whole lines, a bucket of the index an id where there is one, ids and vectors."""
    rows, dim, batch, name = spec["rows"], spec["dim"], spec["batch"], spec["job"]
    misses = bool(spec.get("misses"))
    half = max(dim, 4) if contender == "engine" else dim
    writes = name in ("update", "insert")
    row = 0 if misses else math.ceil((2 if writes else 1) * 4 * half / LINE)
    probed = contender == "engine"
    a_row = row + probed + (probed and name == "update")
    distinct = rows * -math.expm1(-batch / rows) if name != "insert" and not misses else float(batch)
    # Every bucket holds rows of others: two ids may share a line of the index, none shares a row's.
    index = rows * LINE / (BUCKET_SLOTS * LOAD) if probed else 0.0
    lines = distinct * row * LINE + min(distinct * LINE, index) * probed
    lines += min(distinct * LINE, rows * TIME) if a_row > row + 1 else 0
    spans = index + (0 if misses else rows * 8 * half)
    return Touched(lines, batch * (8 + 4 * dim), spans, distinct / batch, a_row)


def marks(axis: str, points: Sequence[Point], contender: str, machine: Machine) -> list[tuple[float, str]]:
    """(x, level) where what is touched grows out of a level of the memory, between points of a curve by rows."""
    if axis != "rows" or len(points) < 2 or "batch" not in points[0].spec:
        return []
    found = []
    for before, after in pairwise(points):
        pair = touched(contender, before.spec), touched(contender, after.spec)
        for name, size in machine.levels(contender in HUGE).items():
            low, high = ((one.spans if "TLB" in name else one.total) for one in pair)
            if low <= size < high:
                share = math.log(size / low) / math.log(high / low)
                found.append((before.x * (after.x / before.x) ** share, name))
    return found


def explain(axis: str, points: Sequence[Point], contender: str, machine: Machine, what: str) -> Iterator[str]:
    """A sentence for every bend of a contender's curve."""
    for before, after in pairwise(points):
        change = after.middle / before.middle
        if 1 / BEND < change < BEND:
            continue
        text = f"{axis} {before.x:,.0f} to {after.x:,.0f}, {change:.2f} times the {what}: "
        causes = list(_causes(axis, before, after, contender, machine, what))
        yield text + ("; ".join(causes) if causes else _unexplained(before, after))


def _unexplained(before: Point, after: Point) -> str:
    spread = [f"{point.low / point.middle:.2f} to {point.high / point.middle:.2f}" for point in (before, after)]
    return f"no size explains it; the rounds spread over {spread[0]} and {spread[1]} of their medians"


def _causes(axis: str, before: Point, after: Point, contender: str, machine: Machine, what: str) -> Iterator[str]:
    if axis == "ranks":
        yield from _rank_causes(before, after, machine)
        return
    if axis == "processes":
        yield _process_cause(before, after, machine)
        return
    if what.startswith("bytes"):
        yield _memory_cause(after.x / before.x, before, after)
        return
    if "batch" not in after.spec or after.spec["job"] not in ("lookup", "pooled", "update", "insert"):
        return
    old, new = touched(contender, before.spec), touched(contender, after.spec)
    if old.lines_a_row != new.lines_a_row:
        yield f"{old.lines_a_row} to {new.lines_a_row} cache lines an id"
    dims = after.spec["dim"] / before.spec["dim"]
    if dims != 1:
        yield f"{dims:g} times the floats to copy or compute"
    yield from _level_causes(old, new, contender in HUGE, machine)
    if not 1 / 1.15 < new.distinct / old.distinct < 1.15:
        yield f"{new.distinct:.0%} of the batch's ids are distinct instead of {old.distinct:.0%}"
    few, many = before.spec["batch"], after.spec["batch"]
    if few * 5 <= many and few < 100_000 and after.middle < before.middle:
        yield f"the cost of a call is shared by {many:,} ids instead of {few:,}"


def _level_causes(old: Touched, new: Touched, huge: bool, machine: Machine) -> Iterator[str]:
    """Levels of the memory that hold a smaller share of what they should: data, the table's pages, its page tables."""
    for name, size in machine.levels(huge).items():
        if "TLB" in name:
            yield from _share_lost(f"the {name}, reaches", "the table", size, old.spans, new.spans)
        else:
            yield from _share_lost(f"{name} holds", "what a run touches", size, old.total, new.total)
    page = HUGE_PAGE if huge and not machine.virtual else PAGE
    if machine.tlb_entries * page >= new.spans:
        return
    whose = "the hypervisor's page tables for it (if by 4 KiB)" if huge else "its page tables"
    for name in set(machine.caches) & {"L2", "L3"}:
        yield from _share_lost(f"{name} holds", whose, machine.caches[name], old.spans / page * 8, new.spans / page * 8)


def _share_lost(level: str, what: str, size: float, low: float, high: float) -> Iterator[str]:
    """A sentence where a level's share falls from something that counts; of nothing, a level holds all."""
    before, after = (min(1.0, size / whole) if whole > 0 else 1.0 for whole in (low, high))
    if before >= 0.1 and after < 0.8 * before:
        yield f"{level} {after:.0%} instead of {before:.0%} of {what} ({bytes_text(low)} to {bytes_text(high)})"


def _rank_causes(before: Point, after: Point, machine: Machine) -> Iterator[str]:
    if after.x > machine.cores:
        yield f"{after.x:.0f} ranks of one thread take turns on {machine.cores} cores and wait for each other"
    elif after.middle < before.middle:
        yield f"{after.x / before.x:g} times the cores share the rows; exchanges take part of the gain"
    else:
        yield "exchanges between ranks take more than sharing the rows saves"


def _process_cause(before: Point, after: Point, machine: Machine) -> str:
    if after.x > machine.cores:
        return f"{after.x:.0f} processes import on {machine.cores} cores; kernels are compiled once, under a lock"
    return "imports run side by side; each kernel is compiled by one process while the others wait for it"


def _memory_cause(growth: float, before: Point, after: Point) -> str:
    if after.middle < before.middle:
        return f"{growth:g} times the rows share what a table takes at least: its first pages and the index's regions"
    return "the index was doubled just before this size, or the last huge page is hardly filled"
