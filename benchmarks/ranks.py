"""One engine step of the comparison's workload on several ranks: time by phase and exchanged bytes.

    mpiexec -n 2 python benchmarks/ranks.py [--steps 50] [--layout multi] [--reductions sequential,exact] [--rows 455]

Every rank has one thread. Batches are made before the clock runs; the reductions take turns step by step, so that all
see the same machine. A step's time is the slowest rank's. Rank 0 prints one JSON object; times are medians of the
second half of the steps, in milliseconds, bytes those of one step over all ranks.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Sequence
from time import perf_counter

import numpy as np
from monolith_conformance.compare.generator import GeneratedSource
from monolith_conformance.compare.task import EmbeddingUpdateTask
from monolith_kernels.target import target

from monolith_ref.sync.guard import run_guarded
from monolith_ref.sync.launch import make_communicator
from monolith_ref.training.dealing import row_range
from monolith_ref.training.engine import Engine


def median(seconds: Sequence[float]) -> float:
    """Of the second half, in milliseconds."""
    return round(statistics.median(seconds[len(seconds) // 2 :]) * 1e3, 3)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time one engine step of the comparison's workload on these ranks.")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--layout", choices=["multi", "merged"], default="multi")
    parser.add_argument("--reductions", default="sequential,exact")
    parser.add_argument("--rows", type=int, default=455, help="of a global batch")
    options = parser.parse_args()
    communicator = make_communicator()
    names = options.reductions.split(",")
    engines = {
        name: Engine(
            EmbeddingUpdateTask(),
            layout=options.layout,
            reduction=name,
            communicator=communicator,
            target=target("cpu"),
        )
        for name in names
    }
    source = GeneratedSource(batch_size=options.rows)
    low, high = row_range(communicator.rank, communicator.size, options.rows)
    batches = [source.rows(step, low, high) for step in range(options.steps)]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    phases: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    sent: dict[str, dict[str, int]] = {}
    for batch in batches:
        for name, engine in engines.items():
            communicator.barrier("benchmark")
            since = perf_counter()
            result = engine.step(batch)
            seconds[name].append(perf_counter() - since)
            for phase, spent in result.seconds.items():
                phases[name].setdefault(phase, []).append(spent)
            sent[name] = {what: count for what, count in result.sent_bytes.items() if count}
    slowest = {
        name: communicator.allgather(np.array(times), "benchmark").max(axis=0).tolist()
        for name, times in seconds.items()
    }
    total = {
        name: {what: int(communicator.sum_int64(np.array([count]), "benchmark")[0]) for what, count in parts.items()}
        for name, parts in sent.items()
    }
    if communicator.rank == 0:
        report = {
            "machine": platform.machine(),
            "ranks": communicator.size,
            "options": vars(options),
            "step_ms": {name: median(times) for name, times in slowest.items()},
            "phases_ms": {
                name: {phase: median(times) for phase, times in parts.items()} for name, parts in phases.items()
            },
            "sent_bytes": total,
        }
        print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
