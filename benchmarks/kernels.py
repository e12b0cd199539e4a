"""How close kernels come to what memory and a matrix library allow: ``python benchmarks/kernels.py [--json FILE]``.

Each line is a ratio of two things that run in turn in one process, so that a busy machine slows both; the quickest of
all rounds counts. One thread, and its processor time, unless a line says two threads. Exit status 1 where a floor is
missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
from monolith_kernels import rules
from monolith_kernels.fetch import prefetch_read
from monolith_kernels.hashing import splitmix64_of
from monolith_kernels.jit import kernel
from monolith_kernels.layout import RowLayout, Segment
from monolith_kernels.memory import aligned_zeros
from monolith_kernels.prim import at, put
from monolith_kernels.target import Target, target
from numpy.typing import NDArray

# Workers stand in a folder that no package holds: any environment runs them.
sys.path.insert(0, str(Path(__file__).parent / "harness" / "workers"))
from accesses import AHEAD, touch_rows

DIM = 16
WIDTH = 2 * DIM
NOTHING = np.empty(0, np.int32)


class Line(NamedTuple):
    """One comparison: what it is, both times in milliseconds, their ratio and the floor it must keep."""

    name: str
    ours: float
    other: float
    ratio: float
    floor: str
    kept: bool


@kernel
def copy_known_rows(
    words: NDArray[np.int64],
    lines: NDArray[np.int64],
    flat: NDArray[np.float32],
    numbers: NDArray[np.int32],
    width: int,
    dim: int,
    out: NDArray[np.float32],
) -> np.int64:
    """Read the line of the index and copy the row that a lookup copies, prefetched, both places known before."""
    check = np.int64(0)
    for k in range(len(lines)):
        if k + AHEAD < len(lines):
            prefetch_read(words, lines[k + AHEAD])
            prefetch_read(flat, np.int64(numbers[k + AHEAD]) * width)
        check ^= words[lines[k]]
        row = np.int64(numbers[k]) * width
        for c in range(dim):
            put(out, k * dim + c, at(flat, row + c))
    return check


def interleaved(rounds: int, *tasks: Callable[[], Any], clock: Callable[[], float] = time.thread_time) -> list[float]:
    """Quickest time of each task in milliseconds, the tasks taking turns."""
    for task in tasks:
        task()
    best = [float("inf")] * len(tasks)
    for _ in range(rounds):
        for number, task in enumerate(tasks):
            start = clock()
            task()
            best[number] = min(best[number], 1e3 * (clock() - start))
    return best


def at_most(name: str, times: list[float], limit: float) -> Line:
    """Ours may take ``limit`` times as long as the other."""
    ratio = times[0] / times[1]
    return Line(name, times[0], times[1], ratio, f"<= {limit:.2f}", ratio <= limit)


def at_least(name: str, times: list[float], limit: float) -> Line:
    """Ours must be ``limit`` times as fast as the other."""
    ratio = times[1] / times[0]
    return Line(name, times[0], times[1], ratio, f">= {limit:.2f}", ratio >= limit)


class Table:
    """Rows of dim 16 with adagrad state behind an index, and a batch of random ids that are in it."""

    def __init__(self, rows: int, batch: int) -> None:
        rng = np.random.default_rng(0)
        cpu = target("cpu")
        self.layout = RowLayout.of([Segment(DIM, rules.make("adagrad"))])
        self.rows = cpu.storage(WIDTH, np.float32, rows).rows
        self.rows[:] = 0.1
        self.index = cpu.lookup.make_index(rows)
        ids = rng.integers(-(2**63), 2**63 - 1, rows)
        out = np.empty(rows, np.int32)
        cpu.lookup.insert(self.index, ids, out, np.empty(rows, np.int32), 0, NOTHING)
        picked = rng.choice(rows, batch, replace=False)
        self.ids = ids[picked]
        self.numbers = out[picked]
        self.out_rows = np.empty(batch, np.int32)
        self.out = aligned_zeros(batch * DIM, np.float32)
        self.grads = rng.standard_normal(batch * DIM).astype(np.float32)
        self.lines = self._lines()

    def _lines(self) -> NDArray[np.int64]:
        """The first word of the bucket where each id of the batch should lie: nearly all do."""
        shift = np.uint64(64 - (self.index.buckets - 1).bit_length())
        return (splitmix64_of(self.ids) >> shift).astype(np.int64) * (len(self.index.key_words) // self.index.buckets)

    def update(self, t: Target) -> None:
        """Adagrad on the batch's rows."""
        rates = np.array([0.05], np.float32)
        t.optimize.update(t.profile, self.layout, self.rows, self.numbers, self.grads, DIM, rates, threads=t.threads)

    def lookup(self, t: Target) -> None:
        """Find the batch's ids and copy their rows."""
        t.lookup.find_gather(self.index, self.ids, self.out_rows, self.rows, 0, DIM, self.out, 0, DIM, t.threads)

    def lookup_and_update(self, t: Target) -> None:
        """Both."""
        self.lookup(t)
        self.update(t)


def measure_rows(rounds: int, rows: int, batch: int) -> list[Line]:
    """Updates, lookups, and two threads on them."""
    table = Table(rows, batch)
    one, two, flat = target("cpu"), target("cpu", threads=2), table.rows.reshape(-1)
    lines = [
        at_most(
            f"adagrad on {batch:,} of {rows:,} rows / reading and writing them",
            interleaved(
                rounds, lambda: table.update(one), lambda: touch_rows(flat, table.numbers, WIDTH, table.grads, DIM)
            ),
            1.15,
        ),
        at_most(
            f"probe and gather {batch:,} rows / reading the same two lines, copying one",
            interleaved(
                rounds,
                lambda: table.lookup(one),
                lambda: copy_known_rows(table.index.key_words, table.lines, flat, table.numbers, WIDTH, DIM, table.out),
            ),
            1.5,
        ),
    ]
    for name, task in (
        ("lookup", table.lookup),
        ("update", table.update),
        ("lookup and update", table.lookup_and_update),
    ):
        times = interleaved(
            2 * rounds, lambda task=task: task(two), lambda task=task: task(one), clock=time.perf_counter
        )
        lines.append(at_least(f"{name} of {batch:,} rows, two threads over one", times, 1.6))
    return lines


def measure_dedup(rounds: int, batch: int) -> list[Line]:
    """Distinct ids with inverse and counts."""
    rng = np.random.default_rng(1)
    lines = []
    t, splits = target("cpu"), np.array([0, batch])
    scratch = t.dedup.Scratch()
    for name, ids in (
        ("2.8 % repeats", rng.integers(0, 18 * batch, batch)),
        ("zipf", rng.zipf(1.2, batch)),
    ):
        times = interleaved(
            rounds,
            lambda ids=ids: t.dedup.unique_tables(ids, splits, scratch),
            lambda ids=ids: np.unique(ids, return_inverse=True),
        )
        lines.append(at_least(f"dedup of {batch:,} ids ({name}) over np.unique with inverse", times, 2.5))
    return lines


def measure_dense(rounds: int) -> list[Line]:
    """Fixed-order products against the matrix library's, one thread each."""
    lines = []
    dense = target("cpu").dense
    for batch, inner, outer in ((455, 255, 64), (455, 64, 256), (4096, 1024, 512)):
        rng = np.random.default_rng(2)
        x, w, out = (aligned_zeros(shape, np.float32) for shape in ((batch, inner), (inner, outer), (batch, outer)))
        x[:], w[:] = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
        repeats = max(1, 10_000_000 // (batch * inner * outer))
        times = interleaved(
            rounds,
            lambda x=x, w=w, out=out, n=repeats: [dense.matmul(x, w, out) for _ in range(n)],
            lambda x=x, w=w, out=out, n=repeats: [np.matmul(x, w, out=out) for _ in range(n)],
        )
        lines.append(at_least(f"fixed-order {batch} x {inner} -> {outer} over np.matmul", times, 0.6))
    return lines


FIRST_CALL = """
import time, numpy as np
from monolith_kernels.target import target
t = target("cpu")
index = t.lookup.make_index()
ids, rows = np.arange(1000), np.empty(1000, np.int32)
start = time.process_time()
t.lookup.find(index, ids, rows)
print(time.process_time() - start)
"""


def measure_first_call(rounds: int) -> list[Line]:
    """First call of a kernel in a new process, its machine code being on disk."""
    seconds = []
    for _ in range(rounds + 1):
        done = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=True)
        seconds.append(float(done.stdout))
    best = min(seconds[1:])
    return [Line("first call from a warm cache", 1e3 * best, 300.0, best / 0.3, "<= 1.00", best < 0.3)]


def main() -> int:
    """Measure, print a table, write JSON if asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lines = [
        *measure_first_call(3),
        *measure_dense(options.rounds),
        *measure_dedup(options.rounds, options.batch),
        *measure_rows(options.rounds, options.rows, options.batch),
    ]
    print(f"{'':66}{'ours ms':>10}{'other ms':>10}{'ratio':>8}  floor")
    for line in lines:
        mark = "" if line.kept else "  MISSED"
        print(f"{line.name:66}{line.ours:10.3f}{line.other:10.3f}{line.ratio:8.2f}  {line.floor}{mark}")
    if options.json:
        options.json.write_text(json.dumps([line._asdict() for line in lines], indent=1))
    return 0 if all(line.kept for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
