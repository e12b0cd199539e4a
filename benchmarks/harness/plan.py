"""Which jobs a run does, who takes part in each, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["FULL_DIMS", "FULL_ROWS", "Job", "floor_jobs", "full_jobs", "step_job"]

ROWS, BATCH, DIM = 10_000_000, 1_000_000, 16
"""Of the floors."""
FULL_ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
FULL_DIMS = (8, 16, 32, 64, 128)
CURVE_ROWS = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
STEPS = 50
DENSE = ("torch", "fbgemm", "tensorflow")
PEERS = {
    "lookup": ("torch", "tfra", "fbgemm", "tensorflow", "numpy"),
    "pooled": ("torch", "fbgemm", "tensorflow", "numpy"),
    "update": ("fbgemm", "tensorflow", "torch", "tfra", "numpy"),
    "insert": ("tfra", "tensorflow-hash"),
    "save": ("torch", "tensorflow", "numpy"),
    "restore": ("torch", "tensorflow", "numpy"),
}
TIMED = ("lookup", "pooled", "update", "insert")


@dataclass(frozen=True)
class Job:
    """One comparison.

    Attributes
    ----------
    title : str
    spec : dict
        What workers are told: ``job``, ``rows``, ``dim``, ``batch``, ``ids``, ``misses`` ...
    contenders : tuple of str
    threads : int
    unit : int
        Ids (or steps, or calls) that the seconds of a run stand for.
    floor : str
        Key of the floors that it is judged by; empty: none.
    curve : str
        The curve that it is a point of; empty: none.
    """

    title: str
    spec: dict[str, Any]
    contenders: tuple[str, ...]
    threads: int = 1
    unit: int = BATCH
    floor: str = ""
    curve: str = ""


def step_job(threads: int, batches: str) -> Job:
    """The training step of the comparison's workload."""
    spec = {
        "job": "step", "features": 17, "space": 100_000, "dim": 15, "batch_rows": 455, "batches": batches,
        "steps": STEPS, "warm": 24, "each": 5,
    }  # fmt: skip
    return Job("training step", spec, ("engine", "torch", "tensorflow"), threads, unit=1, floor="step")


def floor_jobs(batches: str, rows: int = ROWS, batch: int = BATCH) -> Iterator[Job]:
    """The jobs that floors are judged by; those of many threads first, then their processes end."""
    base = {"rows": rows, "dim": DIM, "batch": batch}

    def job(title: str, name: str, contenders: tuple[str, ...], unit: int = batch) -> Job:
        return Job(title, {**base, "job": name}, contenders, unit=unit, floor=name)

    yield step_job(2, batches)
    yield job("memory a row", "memory", ("engine",), 1)
    yield job("the machine's memory, streamed", "stream", ("limit",), 1)
    yield job("the machine's memory, a random cache line", "line", ("limit",))
    yield job("random-row update without probe", "row_update", ("engine", "limit"))
    yield job("lookup and update by two threads", "two_threads", ("engine",))
    yield job("lookup of hits", "lookup", ("engine", "torch", "tfra", "fbgemm", "tensorflow"))
    yield job("lookup + segment sum", "pooled", ("engine", "torch", "fbgemm", "tensorflow"))
    yield job("Adagrad update", "update", ("engine", "fbgemm", "tensorflow", "torch", "tfra"))
    yield job("insert into reserved, touched rows", "insert", ("engine", "tfra"))
    yield job("insert into a new table (first touch)", "insert_untouched", ("engine",))


def full_jobs(folder: str) -> Iterator[Job]:
    """Sizes, widths, kinds of ids and threads; save and restore; the cost of a call; curves."""
    for threads in (1, 2):
        for rows in FULL_ROWS:
            yield from _sweep(rows, DIM, threads, f"rows, {threads} threads", ("uniform", "zipf"))
        for dim in FULL_DIMS:
            yield from _sweep(1_000_000, dim, threads, f"dim, {threads} threads", ("uniform",))
        for name in ("save", "restore"):
            spec = {"job": name, "rows": 1_000_000, "dim": DIM, "batch": 1, "folder": folder}
            title = f"{name} 1,000,000 rows, {threads} threads"
            yield Job(title, spec, ("engine", *PEERS[name]), threads, unit=1_000_000)
    yield Job("a call on one row", {"job": "overhead", "dim": DIM}, ("engine",), unit=1)
    for rows in CURVE_ROWS:
        # A hundred million rows of dim 16 would not fit the machines that this runs on.
        spec = {"rows": rows, "dim": 4, "batch": min(rows, BATCH)}
        for name in ("lookup", "update", "insert", "memory"):
            title = f"engine alone, {rows:,} rows of dim 4: {name}"
            yield Job(title, {**spec, "job": name}, ("engine",), unit=spec["batch"], curve=f"engine {name}")


def _sweep(rows: int, dim: int, threads: int, curve: str, laws: tuple[str, ...]) -> Iterator[Job]:
    batch = min(rows, BATCH)
    for name in TIMED:
        kinds = [(law, False) for law in laws] if name != "insert" else [("uniform", False)]
        kinds += [("uniform", True)] if name == "lookup" else []
        for law, misses in kinds:
            spec = {"job": name, "rows": rows, "dim": dim, "batch": batch, "ids": law, "misses": misses}
            kind = f"{'misses' if misses else 'hits'}, {law}"
            title = f"{name}, {rows:,} rows of dim {dim}, {kind}, {threads} threads"
            peers = ("tfra", "tensorflow-hash") if misses else PEERS[name]
            yield Job(title, spec, ("engine", *peers), threads, batch, curve=f"{name}, {kind}, by {curve}")
