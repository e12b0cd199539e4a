"""The step on one rank against a naive loop over dictionaries and NumPy, bit for bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from monolith_kernels.target import target

from monolith_ref.dense import mse
from monolith_ref.errors import ConfigError, ShapeError, UnknownNameError, UnsupportedError
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.learning_rate import PolynomialDecay
from monolith_ref.training.engine import Engine
from monolith_ref.training.model import EstimatorSpec, ModelFeatures
from monolith_ref.training.observer import ForwardResult, Observer, StepResult
from tests.monolith_ref.training.tasks import (
    DIM,
    HIDDEN,
    LR,
    NAMES,
    SLOTS,
    START,
    F,
    Task,
    batch,
    ordered_sum,
    same,
    table_rows,
)
from tests.monolith_ref.training.threads import ThreadRanks


def adagrad(w: F, a: F, g: F) -> tuple[F, F]:
    a = a + g * g
    return w - (LR / np.sqrt(a)) * g, a


class Naive:
    """The model of :class:`Task` in loops over rows, positions and elements' rows."""

    def __init__(self, engine: Engine) -> None:
        self.rows: dict[int, tuple[F, F]] = {}
        self.dense = {name: (w, np.full_like(w, START)) for name, w in engine.variables.items()}

    def step(self, b: Batch, exact: bool = False) -> dict[str, Any]:
        zero = np.zeros(DIM, np.float32)
        w = {name: pair[0] for name, pair in self.dense.items()}
        gradients: dict[int, list[F]] = {}
        terms: dict[str, list[F]] = {name: [] for name in w}
        xs, ps, dxs, squares = [], [], [], []
        for i in range(b.rows):
            x = np.zeros(0, np.float32)
            for name in NAMES:
                pooled = zero
                for fid in b.ragged[name].row(i).tolist():
                    pooled = pooled + self.rows.get(fid, (zero, zero))[0]
                x = np.concatenate([x, pooled])
            z = np.zeros(HIDDEN, np.float32)
            for k, value in enumerate(x):
                z = z + value * w["dense_0/kernel"][k]
            z = z + w["dense_0/bias"]
            h = np.where(z > 0, z, np.float32(0))
            p = np.float32(0)
            for k, value in enumerate(h):
                p = p + value * w["dense_1/kernel"][k, 0]
            p = p + w["dense_1/bias"][0]
            e = p - b.label[i]
            squares.append(e * e)
            d = (e * np.float32(2)) / np.float32(b.rows)
            t = np.where(z > 0, np.float32(0) + d * w["dense_1/kernel"][:, 0], np.float32(0))
            dx = np.zeros(len(x), np.float32)
            for o, value in enumerate(t):
                dx = dx + value * w["dense_0/kernel"][:, o]
            terms["dense_0/kernel"].append(x[:, None] * t)
            terms["dense_0/bias"].append(t)
            terms["dense_1/kernel"].append((h * d)[:, None])
            terms["dense_1/bias"].append(np.array([d]))
            xs.append(x)
            ps.append(p)
            dxs.append(dx)
        for f, name in enumerate(NAMES):
            for i in range(b.rows):
                for fid in b.ragged[name].row(i).tolist():
                    gradients.setdefault(fid, []).append(dxs[i][f * DIM : (f + 1) * DIM])
        total = exact_sum if exact else ordered_sum
        reduced = {name: total(parts) for name, parts in terms.items()}
        for name, g in reduced.items():
            self.dense[name] = adagrad(*self.dense[name], g)
        for fid, parts in gradients.items():
            self.rows[fid] = adagrad(*self.rows.get(fid, (zero, np.full(DIM, START))), total(parts))
        loss = total([np.array([s]) for s in squares])[0] / np.float32(b.rows)
        return {"x": xs, "p": ps, "dx": dxs, "loss": loss, "dense": reduced, "fids": sorted(gradients)}


def exact_sum(parts: list[F]) -> F:
    columns = np.stack(parts).reshape(len(parts), -1).T
    sums = [float(sum((Fraction(float(v)) for v in column), Fraction(0))) for column in columns]
    return np.array(sums, np.float32).reshape(parts[0].shape)


@pytest.mark.parametrize("reduction", ["sequential", "sum", "mean", "exact"])
@pytest.mark.parametrize("layout", ["multi", "merged"])
def test_steps_equal_the_naive_loop(layout: Any, reduction: Any) -> None:
    seen: list[StepResult] = []

    class Watch(Observer):
        def on_step(self, result: StepResult) -> None:
            seen.append(result)

    engine = Engine(Task(), layout=layout, reduction=reduction, observers=[Watch()])
    naive = Naive(engine)
    for step, rows in enumerate((6, 9, 1, 13)):
        b = batch(step, rows)
        result = engine.step(b)
        truth = naive.step(b, exact=reduction == "exact")
        assert result is seen[-1]
        assert (result.step, engine.global_step) == (step, step + 1)
        same(result.forward.x, truth["x"])
        same(result.forward.predictions["main"], truth["p"])
        same(result.dx, truth["dx"])
        same(result.loss, truth["loss"])
        for name, gradient in truth["dense"].items():
            same(result.dense_gradients[name], gradient)
            same(engine.variables[name], naive.dense[name][0])
            same(engine.slots[name]["accumulator"], naive.dense[name][1])
        updated = np.concatenate(list(result.updated.values()))
        assert sorted(updated.tolist()) == truth["fids"]
        rows_now = table_rows(engine)
        assert sorted(rows_now) == sorted(naive.rows)
        for fid, (w, a) in naive.rows.items():
            same(rows_now[fid][0], w)
            same(rows_now[fid][1], a)
    assert any(w.any() for w, _ in naive.rows.values())
    assert {"dedup", "update", "forward", "backward"} <= set(result.seconds)


def test_columns_follow_the_order_of_lookup() -> None:
    engine = Engine(Task())
    assert engine.columns == {"first": (0, DIM), "second": (DIM, DIM), "third": (2 * DIM, DIM)}
    assert [spec.name for spec in engine.tables] == sorted(NAMES)


def test_a_step_without_rows_moves_nothing_but_the_step() -> None:
    engine = Engine(Task())
    engine.step(batch(0, 6))
    before = engine.variables
    rows = table_rows(engine)
    result = engine.step(batch(0, 0))
    assert engine.global_step == 2
    assert result.loss == 0
    for name, value in engine.variables.items():
        same(value, before[name])
    assert sorted(table_rows(engine)) == sorted(rows)


def test_training_stops_at_steps_or_at_the_end_of_the_data() -> None:
    events: list[Any] = []

    class Watch(Observer):
        def on_start(self, engine: Any) -> None:
            events.append("start")

        def on_batch(self, step: int, batch: Batch) -> None:
            events.append(step)

        def on_forward(self, forward: ForwardResult) -> None:
            events.append(forward.batch.rows)

        def on_end(self, engine: Any) -> None:
            events.append("end")

    task = Task()
    engine = Engine(task, observers=[Watch()])
    assert engine.train(task.input_fn("train"), 2) == 2
    assert events == ["start", 0, 6, 1, 6, "end"]
    assert engine.train(task.input_fn("train"), 2) == 0
    assert engine.train(task.input_fn("train")) == 2
    assert engine.global_step == 4
    with pytest.raises(ConfigError, match="steps"):
        engine.train(task.input_fn("train"), -1)


def test_state_is_carried_over_by_load_dense() -> None:
    engine, other = Engine(Task()), Engine(Task())
    engine.step(batch(0, 6))
    other.load_dense(engine.variables, engine.slots, engine.global_step)
    for spec in engine.tables:
        other.embeddings.tables[spec.name].import_(engine.embeddings.tables[spec.name].export())
    for step in (1, 2):
        a, b = engine.step(batch(step, 7)), other.step(batch(step, 7))
        same(a.loss, b.loss)
    for name, value in engine.variables.items():
        same(value, other.variables[name])
    variables = engine.variables
    with pytest.raises(UnknownNameError, match="dense_9"):
        other.load_dense({**variables, "dense_9/bias": variables["dense_0/bias"]}, engine.slots, 0)
    with pytest.raises(UnknownNameError, match="missing"):
        other.load_dense({}, engine.slots, 0)
    with pytest.raises(ShapeError, match="dense_0/bias"):
        other.load_dense({**variables, "dense_0/bias": np.zeros(9, np.float32)}, engine.slots, 0)


def test_rates_of_a_schedule_follow_the_step() -> None:
    class Warm(Task):
        rate = PolynomialDecay(0.0, decay_steps=4, end_learning_rate=0.1)

    engine = Engine(Warm())
    for step, expected in enumerate((0.0, 0.025, 0.05)):
        assert float(engine.learning_rates()["first"][0]) == pytest.approx(expected, abs=1e-7)
        engine.step(batch(step, 5))
    first = Engine(Warm())
    first.step(batch(0, 5))
    assert not any(w.any() for w, _ in table_rows(first).values())


def test_ids_get_rows_once_they_have_been_counted_often_enough() -> None:
    class Filtered(Task):
        def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
            self.create_embedding_feature_column("first", occurrence_threshold=2)
            return super().model_fn(features, mode)

    engine = Engine(Filtered(), filter_capacity=1000)
    sizes = []
    for _ in range(3):
        engine.step(batch(0, 6))
        sizes.append((engine.embeddings.tables["first"].size, engine.embeddings.tables["second"].size))
    distinct = [len(np.unique(batch(0, 6).ragged[name].values)) for name in ("first", "second")]
    assert sizes == [(0, distinct[1]), (0, distinct[1]), (distinct[0], distinct[1])]


def test_a_rank_whose_id_another_one_let_in_finds_its_row() -> None:
    """Three ranks bring one id in one step, threshold 1: the first is held back, the second makes the row, and the
    third does not ask the filter, though the lookup before knew no row."""

    class Filtered(Task):
        def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
            self.create_embedding_feature_column("first", occurrence_threshold=1)
            return super().model_fn(features, mode)

    fid = (SLOTS["first"] << 48) + 6 * (1 << 17)
    one = Batch({**batch(0, 1).ragged, "first": Ragged.from_rows([[fid]])}, {"label": np.ones(1, np.float32)}, 1)

    def work(communicator: Any) -> Engine:
        engine = Engine(Filtered(), communicator=communicator, filter_capacity=1000)
        engine.step(one)
        return engine

    owner = next(e for e in ThreadRanks(3).run(work) if e.embeddings.tables["first"].size)
    assert owner.owned.filter is not None
    assert owner.owned.filter.get(fid) == 2
    alone = Engine(Task())
    for _ in range(2):
        alone.embeddings.forward(one.ragged, 1)
        alone.embeddings.backward(owner.embeddings.step.dx)
        alone.embeddings.apply(alone.learning_rates(), 0)
    same(table_rows(owner)[fid], table_rows(alone)[fid])


def test_what_synchronous_training_does_not_have() -> None:
    class Broadcast(Task):
        def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
            spec = super().model_fn(features, mode)
            return spec._replace(loss=mse(spec.pred, features["label"], broadcast=True))

    with pytest.raises(UnsupportedError, match="exact"):
        Engine(Broadcast(), reduction="exact")
    assert Engine(Broadcast()).step(batch(0, 4)).loss > 0


def test_batches_that_do_not_fit_are_named() -> None:
    engine = Engine(Task())
    b = batch(0, 4)
    with pytest.raises(UnknownNameError, match="label"):
        engine.step(Batch(b.ragged, {}, 4))
    with pytest.raises(UnknownNameError, match="third"):
        engine.step(Batch({"first": b.ragged["first"], "second": b.ragged["second"]}, b.dense, 4))
    with pytest.raises(ShapeError, match="label"):
        engine.step(Batch(b.ragged, {"label": np.zeros((4, 2), np.float32)}, 4))
    broken = Ragged(b.ragged["first"].values, np.array([0, 9, 2, 3, 4]))
    with pytest.raises(ShapeError, match="first: row_splits"):
        engine.step(Batch({**b.ragged, "first": broken}, b.dense, 4))
    assert engine.global_step == 0


def test_a_rank_without_rows_joins_an_exact_step() -> None:
    engine = Engine(Task(), reduction="exact")
    engine.step(batch(0, 6))
    before = engine.variables
    empty = batch(0, 0)
    result = engine.step(Batch(empty.ragged, empty.dense, 0, global_rows=5))
    assert result.loss == 0
    for name, value in engine.variables.items():
        same(value, before[name])


def test_parameters_are_a_tree_with_fixed_names() -> None:
    task = Task()
    task.p.train.max_steps = 7
    assert task.p.as_dict()["train"]["max_steps"] == 7
    assert task.p.copy().train.max_steps == 7
    with pytest.raises(AttributeError, match="'max_steps'"):
        task.p.train.max_step = 3
    with pytest.raises(AttributeError, match="nearest"):
        _ = task.p.clipnorm
    assert "clip_norm" in task.p


@pytest.mark.parametrize("layout", ["multi", "merged"])
def test_threads_change_no_bit(layout: Any) -> None:
    one = Engine(Task(), layout=layout)
    two = Engine(Task(), layout=layout, target=target("cpu", threads=3))
    for step in range(3):
        same(one.step(batch(step, 9)).loss, two.step(batch(step, 9)).loss)
    rows, others = table_rows(one), table_rows(two)
    assert list(rows) == list(others)
    for fid, (w, a) in rows.items():
        same(w, others[fid][0])
        same(a, others[fid][1])
