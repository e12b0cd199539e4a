"""N ranks of the oracle in one process: for tests and for digests without an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monolith_conformance.oracle.sync import Oracle, RankBatch, Share
from monolith_conformance.oracle.sync_rules import I64

__all__ = ["StepOutcome", "simulate_step"]


class StepOutcome(NamedTuple):
    """Loss of the step and the positions it touched."""

    loss: np.float32
    touched: I64


def simulate_step(oracle: Oracle, batches: Sequence[RankBatch]) -> StepOutcome:
    """One step of all ranks: their shares are computed in turn from the same arrays, then applied."""
    global_rows = sum(len(batch.labels) for batch in batches)
    shares: list[Share] = [oracle.local(batch, global_rows)[1] for batch in batches]
    reduced = oracle.reduce(shares)
    touched = oracle.apply_rows(shares)
    oracle.apply_dense(reduced)
    return StepOutcome(reduced.loss, touched)
