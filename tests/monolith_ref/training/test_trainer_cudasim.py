"""A described model on the CUDA twins has the bits of the CPU: cross-entropy, sequences, means, numbers, evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from monolith_ref.training.trainer import Trainer
from tests.monolith_ref.training.small_log import small_config

pytestmark = [pytest.mark.cudasim, pytest.mark.slow]

STEPS = {"steps": 2, "batch_size": 2, "evaluation.ratio": 0.03, "model.layers": "[2]", "model.slices.0.dim": 2}


def test_a_run_has_the_digests_of_the_cpu(tmp_path: Path) -> None:
    results = {place: Trainer(small_config(tmp_path, targets=place, **STEPS)).fit() for place in ("cpu", "cuda")}
    assert results["cuda"].digests == results["cpu"].digests
    first, second = (results[place].evaluations[-1] for place in ("cpu", "cuda"))
    assert (first.auc, first.loss, first.mean_prediction) == (second.auc, second.loss, second.mean_prediction)
