"""Model functions of other shapes than the usual one, and those that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monolith_ref.dense import MLP, Constant, Dense, concat, mse
from monolith_ref.entry import ConstantsInitializer, Fp32Compressor, SgdOptimizer, ZerosInitializer
from monolith_ref.errors import ConfigError, ShapeError, StateError
from monolith_ref.training.engine import Engine
from monolith_ref.training.model import EstimatorSpec, ModelFeatures, MonolithModel
from tests.monolith_ref.training.tasks import NAMES, Task, batch, ordered_sum, same, table_rows


def test_several_heads_and_slices() -> None:
    class TwoHeads(Task):
        def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
            sgd = SgdOptimizer(learning_rate=0.1)
            parts: dict[str, Any] = {
                "initializer": ZerosInitializer(),
                "optimizer": sgd,
                "compressor": Fp32Compressor(),
            }
            bias = self.lookup_embedding_slice(NAMES, "bias", 1, out_type="add_n", **parts)
            vectors = self.lookup_embedding_slice(NAMES, "vec", 3, out_type="concat", **parts)
            first = MLP([4, 1], bias_initializer=Constant(0.5))(vectors)
            label = features["label"]
            loss = mse(first, label) + mse(bias, label)
            return EstimatorSpec([label, label], [first, bias], ["deep", "wide"], loss, sgd, [True, False])

    engine = Engine(TwoHeads())
    assert engine.tables[0].slice_dims == (1, 3)
    b = batch(0, 6)
    result = engine.step(b)
    assert set(result.forward.predictions) == {"deep", "wide"}
    deep, wide = result.forward.predictions.values()
    halves = [
        np.float32(ordered_sum([np.array([v]) for v in (p - b.label) * (p - b.label)])[0] / np.float32(6))
        for p in (deep, wide)
    ]
    same(result.loss, halves[0] + halves[1])
    # Both slices of a row move: the bias by the wide head alone, exactly by its own gradient.
    first, width = engine.columns["first"]
    d = ((wide - b.label) * np.float32(2)) / np.float32(6)
    same(result.dx[:, first], d + np.float32(0))
    assert width == 4
    before = result.loss
    assert [engine.step(b).loss for _ in range(5)][-1] < before


def test_means_and_sequences() -> None:
    """first: mean; second: the first two embeddings, in two slices; third: sum."""

    class Mixed(Task):
        def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
            sgd = SgdOptimizer(learning_rate=0.5)
            parts: dict[str, Any] = {
                "initializer": ConstantsInitializer(1.0),
                "optimizer": sgd,
                "compressor": Fp32Compressor(),
            }
            self.create_embedding_feature_column("first", combiner="reduce_mean")
            self.create_embedding_feature_column("second", max_seq_length=2)
            self.create_embedding_feature_column("third")
            mean, total = self.lookup_embedding_slice(["first", "third"], "vec", 2, **parts)
            sequence = self.lookup_embedding_slice(["second"], "vec", 2, **parts)[0]
            scores = self.lookup_embedding_slice(["second"], "score", 1, **parts)[0]
            assert sequence.shape == (None, 2, 2)
            x = concat([mean, total, sequence.reshape(4), scores.reshape(2)])
            p = Dense(1, kernel_initializer=Constant(1.0))(x)
            return EstimatorSpec(features["label"], p, "main", mse(p, features["label"]), sgd, False)

    engine = Engine(Mixed())
    assert engine.columns == {"first": (0, 2), "third": (2, 2), "second": (4, 6)}
    b = batch(0, 6)
    first, second, third = (b.ragged[name] for name in NAMES)
    engine.step(b)
    d = ((0 - b.label) * np.float32(2)) / np.float32(6)
    # Every weight is 1, so that every element of a row's gradient is d; rows begin at 1 with their first update.
    rows = {int(fid): np.float32(0) for ragged in (first, second, third) for fid in ragged.values}
    for ragged, kind in ((first, "mean"), (second, "two"), (third, "sum")):
        for i in range(6):
            ids = ragged.row(i).tolist()
            factor = np.float32(1.0 / len(ids)) if ids and kind == "mean" else np.float32(1)
            for position, fid in enumerate(ids):
                rows[fid] += d[i] * factor if kind != "two" or position < 2 else np.float32(0)
    found = table_rows(engine)
    assert sorted(found) == sorted(rows)
    for fid, g in rows.items():
        same(found[fid][0], np.full(len(found[fid][0]), np.float32(1) - np.float32(0.5) * g))
    result = engine.step(b)
    values = {fid: w for fid, (w, _) in found.items()}
    for i in range(6):
        mean = ordered_sum([np.zeros(2, np.float32), *[values[fid] for fid in first.row(i).tolist()]])
        if len(first.row(i)):
            mean = mean * np.float32(1.0 / len(first.row(i)))
        same(result.forward.x[i, :2], mean)
        two = [values[fid] for fid in second.row(i).tolist()[:2]] + [np.zeros(3, np.float32)] * 2
        same(result.forward.x[i, 4:10], np.concatenate(two[:2]))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": None}, ConfigError, "loss"),
        ({"optimizer": "adagrad"}, ConfigError, "dense optimizer"),
        ({"pred": 3}, ShapeError, "pred"),
        ({"head_name": ["a", "b"]}, ConfigError, "2 head names for 1"),
    ],
)
def test_model_functions_are_checked(change: dict[str, Any], error: type[Exception], message: str) -> None:
    class Changed(Task):
        def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
            return super().model_fn(features, mode)._replace(**change)

    with pytest.raises(error, match=message):
        Engine(Changed())


def test_model_calls_outside_of_model_fn_and_unknown_results() -> None:
    class Nothing(Task):
        def model_fn(self, features: ModelFeatures, mode: str) -> Any:
            return None

    with pytest.raises(ConfigError, match="EstimatorSpec"):
        Engine(Nothing())
    with pytest.raises(StateError, match="model_fn"):
        Task().create_embedding_feature_column("first")
    with pytest.raises(ConfigError, match="mode"):
        Task().record("test")
    with pytest.raises(NotImplementedError, match="input_fn"):
        MonolithModel().input_fn("train")
