"""One comparison, and those that floors are judged by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["BATCH", "DIM", "ROWS", "STEPS", "Job", "floor_jobs", "step_job"]

ROWS, BATCH, DIM = 10_000_000, 1_000_000, 16
"""Of the floors."""
STEPS = 50


@dataclass(frozen=True)
class Job:
    """One comparison.

    Attributes
    ----------
    title : str
    spec : dict
        What workers are told: ``job``, ``rows``, ``dim``, ``batch``, ``ids``, ``misses``, ``repeat`` ...
    contenders : tuple of str
    threads : int
    unit : int
        Ids (or steps, or calls) that the seconds of a run stand for.
    floor : str
        Key of the floors that it is judged by; empty: none.
    curves : tuple of (axis, name)
        The curves that it is a point of; the axis is a key of ``spec``.
    group : str
        The table of ratios that it is a row of; empty: none.
    rounds : int
        How many; 0: as many as the run was told.
    alone : bool
        Processes that do not take part are ended first: it needs their memory.
    """

    title: str
    spec: dict[str, Any]
    contenders: tuple[str, ...]
    threads: int = 1
    unit: int = BATCH
    floor: str = ""
    curves: tuple[tuple[str, str], ...] = ()
    group: str = ""
    rounds: int = 0
    alone: bool = False


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
    yield job("lookup + segment sum", "pooled", ("engine", "torch", "fbgemm", "tensorflow", "limit"))
    yield job("Adagrad update", "update", ("engine", "fbgemm", "tensorflow", "torch", "tfra"))
    yield job("insert into reserved, touched rows", "insert", ("engine", "tfra"))
    yield job("insert into a new table (first touch)", "insert_untouched", ("engine",))
