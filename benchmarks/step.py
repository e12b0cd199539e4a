"""One engine step of the comparison's workload: time by phase, Python calls a step, and plain NumPy beside it.

    python benchmarks/step.py [--steps 50] [--layout multi] [--reduction sequential] [--threads 1] [--oracle] [--calls]

Engine and oracle take turns step by step in one process, so that both see the same machine. Prints one JSON object;
times are medians of the second half of the steps, in milliseconds.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import platform
import pstats
import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from monolith_conformance.compare.generator import FEATURES, ID_SPACE, GeneratedSource, feature_names
from monolith_conformance.compare.path_b import PathB
from monolith_conformance.compare.task import DIM, START, EmbeddingUpdateTask
from monolith_conformance.compare.universe import GeneratedUniverse
from monolith_conformance.oracle.sync import Layer, Settings
from monolith_kernels.target import target

from monolith_ref.features.ragged import Batch
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.training.engine import Engine

ROWS = 455


def median(seconds: Sequence[float]) -> float:
    """Of the second half, in milliseconds."""
    return round(statistics.median(seconds[len(seconds) // 2 :]) * 1e3, 3)


def python_calls(engine: Engine, batches: Sequence[Batch]) -> float:
    """Python function calls a step; ids of a step are some 97,000."""
    profile = cProfile.Profile()
    profile.enable()
    for batch in batches:
        engine.step(batch)
    profile.disable()
    calls: Any = pstats.Stats(profile)
    return round(float(calls.total_calls) / len(batches), 1)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Time one engine step of the comparison's workload.")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--layout", choices=["multi", "merged"], default="multi")
    parser.add_argument("--reduction", choices=["sequential", "sum", "mean", "exact"], default="sequential")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--oracle", action="store_true", help="let path B take turns")
    parser.add_argument("--calls", action="store_true", help="count Python calls over ten further steps")
    options = parser.parse_args()
    engine = Engine(
        EmbeddingUpdateTask(),
        layout=options.layout,
        reduction=options.reduction,
        target=target("cpu", threads=options.threads),
    )
    source = GeneratedSource(batch_size=ROWS)
    oracle = None
    if options.oracle:
        variables = engine.variables
        layers = [
            Layer.fresh(variables[f"dense_{i}/kernel"], float(variables[f"dense_{i}/bias"][0]), START) for i in range(3)
        ]
        universe = GeneratedUniverse(FEATURES, ID_SPACE, with_slot=True)
        rules = Settings(reduction=options.reduction)
        oracle = PathB(SerialCommunicator(), universe, feature_names(), layers, rules, DIM)
    engine_seconds, oracle_seconds = [], []
    phases: dict[str, list[float]] = {}
    for step in range(options.steps):
        batch = source.rows(step, 0, ROWS)
        since = perf_counter()
        result = engine.step(batch)
        engine_seconds.append(perf_counter() - since)
        for phase, seconds in result.seconds.items():
            phases.setdefault(phase, []).append(seconds)
        if oracle is not None:
            since = perf_counter()
            oracle.forward(batch)
            oracle.update(step)
            oracle_seconds.append(perf_counter() - since)
    report: dict[str, Any] = {
        "machine": platform.machine(),
        "numpy": np.__version__,
        "options": vars(options),
        "rows": sum(store.size for store in engine.embeddings.tables.values()),
        "engine_ms": median(engine_seconds),
        "phases_ms": {phase: median(seconds) for phase, seconds in phases.items()},
    }
    if oracle_seconds:
        report["oracle_ms"] = median(oracle_seconds)
        report["ratio"] = round(report["oracle_ms"] / report["engine_ms"], 2)
    if options.calls:
        further = [source.rows(options.steps + i, 0, ROWS) for i in range(10)]
        report["ids_per_step"] = sum(len(ragged.values) for ragged in further[0].ragged.values())
        report["python_calls_per_step"] = python_calls(engine, further)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
