"""What every contender's process does: take jobs on standard input, run them when told, answer with seconds.

Only the standard library and NumPy, so that any environment can run it. One JSON object a line::

    {"open": {"job": "lookup", ...}}  ->  {"forms": ["a", "b"], "facts": {}} or {"skip": "why"}
    {"run": "a"}                      ->  {"seconds": 0.01}
    {"close": true}, {"quit": true}   ->  {}

An error is ``{"error": "..."}``; a form that fails when it is tried first is left out, and the facts say why. A job
may ask for several runs in a row (``repeat``): small ones are then measured with their data in the caches, not with
what the contender before has left there. Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MIX = np.uint64(0x9E3779B97F4A7C15)
BAG = 10
"""Ids of a bag in the job ``pooled``."""


class Skip(Exception):
    """This contender has no such job; the text says why."""


@dataclass
class Forms:
    """Ways to do a job.

    Attributes
    ----------
    run : dict of name to function
        What is timed.
    before : dict of name to function
        What is called before each run of that form, not timed.
    items : dict of name to int
        How many steps or ids a run of that form does; what is reported is seconds by item.
    facts : dict
        Other results: bytes, whether bits agree.
    """

    run: dict[str, Callable[[], Any]]
    before: dict[str, Callable[[], Any]] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def numbers(job: dict[str, Any], seed: int = 1) -> np.ndarray:
    """Row numbers of a batch, int64: random ones that are there, or beyond them where the job is of misses."""
    rng = np.random.default_rng(seed)
    rows, batch = int(job["rows"]), int(job["batch"])
    if job.get("ids", "uniform") == "zipf":
        # The heads of a Zipf law fall on scattered rows, as ids do.
        drawn = (rng.zipf(1.2, batch) * 2_654_435_761) % rows
    else:
        drawn = rng.integers(0, rows, batch)
    return drawn.astype(np.int64) + (rows if job.get("misses") else 0)


def ids_of(numbers: np.ndarray) -> np.ndarray:
    """Distinct ids that look random, one a row number."""
    return (numbers.astype(np.uint64) * MIX).view(np.int64)


def fresh_ids(job: dict[str, Any]) -> np.ndarray:
    """Ids of ``batch`` rows that are not there."""
    rows, batch = int(job["rows"]), int(job["batch"])
    return ids_of(np.arange(2 * rows, 2 * rows + batch, dtype=np.int64))


def gradients(job: dict[str, Any]) -> np.ndarray:
    """float32 [batch, dim]."""
    rng = np.random.default_rng(2)
    return rng.standard_normal((int(job["batch"]), int(job["dim"])), np.float32)


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def step_batches(job: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    """Batches of the comparison's workload: ``ids`` and ``splits`` of all features one after the other, ``label``."""
    with np.load(job["batches"]) as stored:
        return [
            {name: stored[f"{name}{step}"] for name in ("ids", "splits", "label")} for step in range(int(job["steps"]))
        ]


class Turns:
    """Calls a step with one batch after the other, some at a time."""

    def __init__(self, step: Callable[[Any], Any], batches: list[Any], warm: int, each: int) -> None:
        self._step, self._batches, self._next, self._each = step, batches, 0, each
        for _ in range(warm):
            self._once()

    def _once(self) -> None:
        self._step(self._batches[self._next % len(self._batches)])
        self._next += 1

    def __call__(self) -> None:
        """``each`` steps."""
        for _ in range(self._each):
            self._once()


def write_and_sync(path: str, write: Callable[[str], Any]) -> None:
    """Write a file and wait for the disk."""
    write(path)
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def forget_pages(folder: str) -> None:
    """Ask the kernel to drop a folder's files from its cache."""
    for root, _folders, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(root, name), os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def serve(about: dict[str, Any], jobs: dict[str, Callable[[dict[str, Any]], Forms]]) -> None:
    """Answer commands until ``quit`` or the end of the input."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    forms, repeat = Forms({}), 1

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")

    answer(**about)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if "open" in command:
                job = command["open"]
                if job["job"] not in jobs:
                    raise Skip("has no such operation")
                forms, repeat = jobs[job["job"]](job), int(job.get("repeat", 1))
                _try_all(forms)
                answer(forms=list(forms.run), facts=forms.facts)
            elif "run" in command:
                answer(seconds=_timed(forms, command["run"], repeat))
            elif "close" in command:
                forms = Forms({})
                gc.collect()
                answer()
            else:
                answer()
                return
        except Skip as why:
            answer(skip=str(why))
        except Exception as error:
            traceback.print_exc()
            answer(error=f"{type(error).__name__}: {error}".splitlines()[0][:300])


def _try_all(forms: Forms) -> None:
    """Run every form once; those that fail are taken out. Raises the last one's error where all do."""
    error: Exception | None = None
    for name, run in list(forms.run.items()):
        try:
            forms.before.get(name, _nothing)()
            run()
        except Exception as why:
            traceback.print_exc()
            error = why
            del forms.run[name]
            forms.facts[f"failed, {name}"] = f"{type(why).__name__}: {why}".splitlines()[0][:200]
    if error is not None and not forms.run:
        raise error


def _timed(forms: Forms, name: str, repeat: int) -> float:
    """Seconds of a form by item: the mean of so many runs, what comes before each not counted."""
    run, before, spent = forms.run[name], forms.before.get(name, _nothing), 0.0
    for _ in range(repeat):
        before()
        begin = time.perf_counter()
        run()
        spent += time.perf_counter() - begin
    return spent / repeat / forms.items.get(name, 1)


def _nothing() -> None:
    pass
