"""What must be seen when the test is run as it was published: everything equal, and nothing learned but two numbers.

Rule: sync_training 1.2 and 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monolith_conformance.compare.digests import HeadArrays
from monolith_conformance.compare.generator import kernel
from monolith_conformance.compare.head import EngineHead
from monolith_conformance.compare.job import Job
from monolith_conformance.compare.path_b import PathB
from monolith_conformance.compare.results import RunResult

__all__ = ["published_notes"]


def published_notes(job: Job, engine: Any, path_b: PathB, result: RunResult) -> tuple[list[str], bool]:
    """(what was seen, was it what the published test gives): no row moved, only output biases changed."""
    towers: list[tuple[str, int, Sequence[HeadArrays]]] = [
        ("engine", 0, EngineHead.layers(engine)),
        ("oracle", 1, path_b.oracle.layers),
    ]
    changed: dict[str, list[str]] = {}
    biases = []
    seed = job.settings["training.seed"]
    for name, tower, layers in towers:
        seen = []
        for number, layer in enumerate(layers):
            start = kernel(seed, number, layer.kernel.shape[0], layer.kernel.shape[1], head=tower)
            seen += [f"dense_{number}/kernel"] if not np.array_equal(layer.kernel, start) else []
            seen += [f"dense_{number}/bias"] if np.any(layer.bias != 0) else []
        changed[name] = seen
        biases.append(f"{name} {float(layers[-1].bias[0]):.3f}")
    output_bias = [f"dense_{len(path_b.oracle.layers) - 1}/bias"]
    moved_b = int((path_b.oracle.rows.w.view(np.uint32) != 0).any(axis=1).sum())
    only = all(seen == output_bias for seen in changed.values())
    sound = result.moved_rows == 0 and moved_b == 0 and only
    notes = [
        f"all {result.steps} steps equal, {result.moved_rows + moved_b} rows moved",
        f"only the output biases changed: {', '.join(biases)}" if only else f"changed: {changed}",
    ]
    return notes, sound
