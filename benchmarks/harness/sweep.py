"""What a full run does beyond the floors, in units that may be left out where time is short.

A unit is all jobs on tables of one shape (they share the filled tables) or one measurement of another kind. Units are
dropped by their rank of importance, which is spread over sizes, widths and threads, so that a shorter run has fewer
points of every curve and not fewer curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.harness.plan import BATCH, DIM, Job

__all__ = ["FULL_DIMS", "FULL_ROWS", "Unit", "fit", "full_units"]

FULL_ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
FULL_DIMS = (8, 16, 32, 64, 128)
CURVE_ROWS = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
CURVE_DIM = 4
"""A hundred million rows of dim 16 would not fit the machines that this runs on."""
DIM_ROWS = 1_000_000
"""Of the curves by width, and of checkpoints."""
RANKS = (1, 2, 3, 4)
SWEEP_BATCH = 500_000
PEERS = {
    "lookup": ("torch", "fbgemm", "tensorflow", "tfra", "tensorflow-hash", "numpy", "limit"),
    "pooled": ("torch", "fbgemm", "tensorflow", "numpy"),
    "update": ("fbgemm", "torch", "tensorflow", "tfra", "numpy", "limit"),
    "insert": ("tfra", "tensorflow-hash"),
    "save": ("torch", "tensorflow", "numpy"),
    "restore": ("torch", "tensorflow", "numpy"),
}
NAMES = {"lookup": "lookup", "pooled": "lookup + segment sum", "update": "Adagrad update", "insert": "insert"}
MISSES = ("tfra", "tensorflow-hash")
"""Dense tables know no misses."""
COST = {"lookup": 2.6e-6, "misses": 1.2e-6, "pooled": 0.6e-6, "update": 7e-6, "insert": 3e-6}
"""Seconds an id takes all contenders together, in all their forms: for an estimate, corrected as a run goes on."""
FILL = 6e-6
"""Seconds a row takes all contenders together to be there."""

# Importance by (rows, dim, threads): the higher, the longer it is kept.
_IMPORTANCE = {
    (10_000, 16, 1): 20, (10_000_000, 16, 1): 19, (1_000_000, 128, 1): 17, (1_000_000, 16, 1): 16,
    (1_000_000, 8, 1): 14, (10_000_000, 16, 2): 12, (1_000_000, 64, 1): 9, (10_000, 16, 2): 8,
    (100_000, 16, 1): 7, (1_000_000, 16, 2): 5, (1_000_000, 32, 1): 4, (1_000_000, 128, 2): 2,
    (1_000_000, 8, 2): 1,
}  # fmt: skip
_CURVE_IMPORTANCE = dict(zip(CURVE_ROWS, (18, 6, 15, 10, 13), strict=True))


@dataclass(frozen=True)
class Unit:
    """Attributes: ``name``; ``importance``; ``seconds``, an estimate; ``jobs``, or ``kind`` of another measurement."""

    name: str
    importance: int
    seconds: float
    jobs: tuple[Job, ...] = ()
    kind: str = ""


def fit(units: Sequence[Unit], seconds: float) -> tuple[list[Unit], list[Unit]]:
    """(units to do, in their order; units dropped, least important first) so that estimates add up to ``seconds``."""
    kept, dropped = list(units), []
    while kept and sum(unit.seconds for unit in kept) > seconds:
        least = min(kept, key=lambda unit: unit.importance)
        kept.remove(least)
        dropped.append(least)
    return kept, dropped


def full_units(folder: str, scale: int = 1) -> list[Unit]:
    """Everything, in the order it is done: processes live on while the number of threads stays.

    ``scale`` divides all numbers of rows: to try a run.
    """
    call = Job("a call on one row", {"job": "overhead", "dim": DIM}, ("engine",), unit=1)
    return [
        *_points(1, scale),
        Unit("a call on one row", 30, 3, (call,)),
        _checkpoints(folder, 1, 11, scale),
        *(_alone(rows, scale) for rows in CURVE_ROWS),
        *_points(2, scale),
        _checkpoints(folder, 2, 3, scale),
        *(Unit(f"training step on {ranks} ranks", 27 - ranks, 20, kind=f"ranks {ranks}") for ranks in RANKS),
        Unit("cold start", 28, 60, kind="cold"),
        Unit("CUDA kernels by their assembled code", 29, 40, kind="cuda"),
    ]


def _threads(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def _points(threads: int, scale: int) -> Iterator[Unit]:
    shapes = [shape for shape in _IMPORTANCE if shape[2] == threads]
    for shape in sorted(shapes, key=lambda shape: (shape[0], shape[1])):
        rows, dim = shape[0] // scale, shape[1]
        jobs = tuple(_sweep(rows, dim, threads, shape[0] == DIM_ROWS))
        yield Unit(f"{rows:,} rows of dim {dim}, {_threads(threads)}", _IMPORTANCE[shape], _estimate(jobs, rows), jobs)


def _sweep(rows: int, dim: int, threads: int, by_dim: bool) -> Iterator[Job]:
    batch = min(rows, SWEEP_BATCH)
    kinds = [(name, "uniform", False) for name in ("lookup", "pooled", "update", "insert")]
    kinds.insert(1, ("lookup", "uniform", True))
    if dim == DIM and threads == 1:
        kinds += [(name, "zipf", False) for name in ("lookup", "pooled", "update")]
    for name, law, misses in kinds:
        what = NAMES[name] + (" of misses" if misses else " of hits" if name == "lookup" else "")
        kind = f"{what}{', Zipf ids' if law == 'zipf' else ''}, {_threads(threads)}"
        curves = [("rows", f"{kind}, dim {DIM}, by rows")] if dim == DIM else []
        if by_dim and law == "uniform":
            curves.append(("dim", f"{kind}, {rows:,} rows, by dim"))
        yield Job(
            f"{what}, {rows:,} rows of dim {dim}, {law} ids, {_threads(threads)}",
            {
                "job": name, "rows": rows, "dim": dim, "batch": batch, "ids": law, "misses": misses,
                "repeat": max(1, 100_000 // batch),
            },
            ("engine", *(MISSES if misses else PEERS[name])),
            threads,
            batch,
            curves=tuple(curves),
            group=f"{what}, {law} ids, {_threads(threads)}",
            rounds=7 if batch <= 100_000 else 3,
        )  # fmt: skip


def _estimate(jobs: Sequence[Job], rows: int) -> float:
    wide = max(1.0, jobs[0].spec["dim"] / 32)
    spent = FILL * rows * wide
    for job in jobs:
        cost = COST["misses" if job.spec["misses"] else job.spec["job"]]
        spent += 0.5 + cost * wide * job.unit * (1 + job.rounds * job.spec["repeat"])
    return spent


def _checkpoints(folder: str, threads: int, importance: int, scale: int) -> Unit:
    rows = DIM_ROWS // scale
    jobs = []
    for name in ("save", "restore"):
        spec = {"job": name, "rows": rows, "dim": DIM, "batch": 1, "folder": folder}
        title = f"{name} {rows:,} rows of dim {DIM}, {_threads(threads)}"
        jobs.append(
            Job(
                title,
                spec,
                ("engine", *PEERS[name]),
                threads,
                unit=rows,
                group=f"{name}, {_threads(threads)}",
                rounds=3,
            )
        )
    return Unit(f"save and restore, {_threads(threads)}", importance, 5 + rows * 3e-5, tuple(jobs))


def _alone(nominal: int, scale: int) -> Unit:
    """The engine's scaling beside the memory's, nothing else in memory."""
    rows = nominal // scale
    jobs = []
    for name in ("lookup", "update", "insert", "memory"):
        spec = {"job": name, "rows": rows, "dim": CURVE_DIM, "batch": min(rows, BATCH)}
        spec["repeat"] = max(1, 100_000 // spec["batch"])
        beside = ("limit",) if name in ("lookup", "update") else ()
        what = "memory a row" if name == "memory" else f"{NAMES[name]}{' of hits' * (name == 'lookup')}"
        curve = f"engine alone: {what}, dim {CURVE_DIM}, by rows"
        jobs.append(
            Job(
                f"{what}, {rows:,} rows of dim {CURVE_DIM}, engine alone", spec, ("engine", *beside),
                unit=spec["batch"], curves=(("rows", curve),), rounds=1 if name == "memory" else 5, alone=True,
            )
        )  # fmt: skip
    return Unit(f"engine alone, {rows:,} rows", _CURVE_IMPORTANCE[nominal], 4 + rows * 6e-7, tuple(jobs))
