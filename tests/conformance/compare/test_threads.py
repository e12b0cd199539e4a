"""The workload at its full size on several threads: every row and loss as on one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_conformance.compare.generator import GeneratedSource
from monolith_conformance.compare.task import EmbeddingUpdateTask
from monolith_kernels.target import target

from monolith_ref.training.engine import Engine

STEPS = 3


def _train(threads: int, layout: str, reduction: str) -> tuple[list[float], dict[str, Any]]:
    engine = Engine(EmbeddingUpdateTask(), layout=layout, reduction=reduction, target=target("cpu", threads=threads))
    source = GeneratedSource(batch_size=455)
    losses = [float(engine.step(source.rows(step, 0, 455)).loss) for step in range(STEPS)]
    return losses, {name: store.export() for name, store in engine.embeddings.tables.items()}


@pytest.mark.parametrize(
    ("layout", "reduction"), [("multi", "sequential"), ("merged", "sequential"), ("multi", "exact")]
)
def test_threads_change_no_bit(layout: str, reduction: str) -> None:
    losses, rows = _train(1, layout, reduction)
    for threads in (2, 3):
        others, theirs = _train(threads, layout, reduction)
        assert others == losses
        for name, dump in rows.items():
            assert np.array_equal(dump.ids, theirs[name].ids)
            assert np.array_equal(dump.weights.view(np.uint32), theirs[name].weights.view(np.uint32))
            assert np.array_equal(dump.state[0]["norm"].view(np.uint32), theirs[name].state[0]["norm"].view(np.uint32))
