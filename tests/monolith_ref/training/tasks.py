"""A small model, batches for it and bit comparison, shared by the tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.dense import Constant, Dense, mse
from monolith_ref.entry import AdagradOptimizer, Fp32Compressor, ZerosInitializer
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.training.engine import Engine
from monolith_ref.training.model import EstimatorSpec, ModelFeatures, MonolithModel

F = NDArray[np.float32]
NAMES = ("first", "second", "third")
SLOTS = {"first": 3, "second": 1, "third": 2}
DIM, HIDDEN = 5, 4
LR, START = np.float32(0.05), np.float32(0.1)


def same(a: Any, b: Any) -> None:
    a, b = np.ascontiguousarray(a, np.float32), np.ascontiguousarray(b, np.float32)
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


class Task(MonolithModel):
    """Three features, one hidden layer."""

    rate: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.register_slots(SLOTS)

    def input_fn(self, mode: str) -> Iterator[Batch]:
        return (batch(step, 6) for step in range(4))

    def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
        for name in NAMES:
            self.create_embedding_feature_column(name)
        adagrad = AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1)
        x = self.lookup_embedding_slice(
            NAMES, "vec", DIM, ZerosInitializer(), adagrad, Fp32Compressor(), self.rate, out_type="concat"
        )
        hidden = Dense(HIDDEN, "relu", bias_initializer=Constant(0.1))(x)
        p = Dense(1)(hidden)
        return EstimatorSpec(features["label"], p, "main", mse(p, features["label"]), adagrad, False)


def batch(step: int, rows: int, ids: int = 8) -> Batch:
    """Ids repeat within rows and over rows, some rows have none; features share signatures but not slots."""
    rng = np.random.default_rng([step, rows])
    ragged = {}
    for name in NAMES:
        lengths = rng.integers(0, 5, rows)
        values = rng.integers(0, ids, lengths.sum()) + (np.int64(SLOTS[name]) << 48)
        ragged[name] = Ragged.from_lengths(values, lengths)
    return Batch(ragged, {"label": rng.integers(0, 2, rows).astype(np.float32)}, rows)


def table_rows(engine: Engine) -> dict[int, tuple[F, F]]:
    rows = {}
    for spec in engine.tables:
        dump = engine.embeddings.tables[spec.name].export()
        for i, fid in enumerate(dump.ids.tolist()):
            rows[fid] = (dump.weights[i], dump.state[0].get("norm", dump.weights)[i])
    return rows


def ordered_sum(parts: list[F]) -> F:
    total = np.zeros_like(parts[0])
    for part in parts:
        total = total + part
    return total
