"""The tape against naive NumPy loops, bit for bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from monolith_kernels.target import target
from numpy.typing import NDArray

from monolith_ref.dense import (
    MLP,
    Constant,
    Dense,
    GlorotUniform,
    Graph,
    Loss,
    Tensor,
    add_n,
    concat,
    mse,
    relu,
    stack,
)
from monolith_ref.dense.optimizers import DenseOptimizer
from monolith_ref.entry import AdagradOptimizer, AdamOptimizer, SgdOptimizer
from monolith_ref.errors import ArgumentError, ConfigError, ShapeError, StateError, UnknownNameError

F = NDArray[np.float32]
ROWS = 7


def bits(array: Any) -> Any:
    return np.ascontiguousarray(array, np.float32).view(np.uint32)


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(bits(a), bits(b))


def ordered_matmul(x: F, w: F) -> F:
    out = np.zeros((len(x), w.shape[1]), np.float32)
    for k in range(w.shape[0]):
        out = out + x[:, k : k + 1] * w[k]
    return out


def ordered_rows(terms: F) -> F:
    total = np.zeros(terms.shape[1:], np.float32)
    for term in terms:
        total = total + term
    return total


def finish(graph: Graph, columns: dict[str, tuple[int, int]], optimizer: Any = None) -> None:
    place = target("cpu")
    rule = optimizer or SgdOptimizer(learning_rate=0.5)
    states = {
        name: DenseOptimizer(place, int(np.prod(v.padded_shape)), v.optimizer or rule)
        for name, v in graph.variables.items()
    }
    graph.finish(place, columns, states)


def run(graph: Graph, x: F, label: F, divisor: float | None = None) -> None:
    graph.begin(len(x), float(len(x)) if divisor is None else divisor)
    assert graph.pooled is not None
    graph.pooled.values[:, : x.shape[1]] = x
    graph.feed("label", label)
    graph.forward()
    graph.backward()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


class Naive:
    """relu(x·W1 + b1)·W2 + b2 and its squared error, one rounding per operation."""

    def __init__(self, x: F, y: F, w1: F, b1: F, w2: F, b2: F, divisor: float) -> None:
        self.z = ordered_matmul(x, w1) + b1
        self.h = np.where(self.z > 0, self.z, np.float32(0))
        self.p = (ordered_matmul(self.h, w2) + b2)[:, 0]
        self.d = ((self.p - y) * np.float32(2)) / np.float32(divisor)
        d = self.d[:, None]
        t = np.where(self.z > 0, ordered_matmul(d, np.ascontiguousarray(w2.T)), np.float32(0))
        self.dx = ordered_matmul(t, np.ascontiguousarray(w1.T))
        self.terms = {
            "dense_0/kernel": x[:, :, None] * t[:, None, :],
            "dense_0/bias": t,
            "dense_1/kernel": self.h[:, :, None] * d[:, None, :],
            "dense_1/bias": d,
        }
        self.gradients = {name: ordered_rows(terms) for name, terms in self.terms.items()}
        self.loss = ordered_rows((self.p - y) * (self.p - y))


def two_layers(graph: Graph, width: int, hidden: int) -> Tensor:
    with graph:
        x = graph.embedding("f", 0, (width,))
        p = Dense(1)(Dense(hidden, "relu", bias_initializer=Constant(0.1))(x))
        graph.loss = mse(p, graph.input("label"))  # type: ignore[attr-defined]
    return p


@pytest.mark.parametrize("hidden", [3, 8, 20, 64])
@pytest.mark.parametrize("width", [1, 15, 40])
def test_two_layers_equal_naive_loops(rng: np.random.Generator, width: int, hidden: int) -> None:
    graph = Graph(seed=9)
    p = two_layers(graph, width, hidden)
    finish(graph, {"f": (0, width)})
    variables = graph.variables
    for rows in (ROWS, 1, 2 * ROWS + 1):
        x = rng.standard_normal((rows, width)).astype(np.float32)
        y = rng.standard_normal(rows).astype(np.float32)
        run(graph, x, y)
        naive = Naive(
            x,
            y,
            *(variables[name].read() for name in ("dense_0/kernel", "dense_0/bias", "dense_1/kernel", "dense_1/bias")),
            rows,
        )
        same(p.host()[:, 0], naive.p)
        assert graph.pooled is not None
        same(graph.pooled.gradients[:, :width], naive.dx)
        for name, gradient in naive.gradients.items():
            same(variables[name].unpadded(variables[name].gradient.total()), gradient)
        total, count = graph.loss.terms[0].share()  # type: ignore[attr-defined]
        assert count == rows
        same(total, naive.loss)


def test_exact_gradients_are_the_rounded_real_sums(rng: np.random.Generator) -> None:
    from monolith_kernels import reduction

    graph = Graph(seed=1)
    graph.exact = True
    two_layers(graph, 5, 3)
    finish(graph, {"f": (0, 5)})
    # A wide spread of magnitudes makes float64 sums inexact, so that accumulators are needed.
    x = (rng.standard_normal((40, 5)) * 10.0 ** rng.integers(-25, 20, (40, 5))).astype(np.float32)
    y = rng.standard_normal(40).astype(np.float32)
    run(graph, x, y, divisor=40)
    read = {name: v.read() for name, v in graph.variables.items()}
    naive = Naive(x, y, *read.values(), 40.0)
    slow = 0
    for name, variable in graph.variables.items():
        partial = variable.gradient.partial()
        slow += len(partial.elements)
        out = np.zeros(len(partial.values), np.float32)
        reduction.finish(partial, out)
        terms = naive.terms[name].reshape(40, -1)
        expected = [float(sum((Fraction(float(v)) for v in column), Fraction(0))) for column in terms.T]
        got = variable.unpadded(out.reshape(variable.padded_shape)).reshape(-1)
        # float() of a fraction rounds to float64 first; these sums lie far from float32 ties.
        same(got, np.array(expected, np.float32))
    assert slow > 0


def test_concat_of_neighbouring_slices_copies_nothing(rng: np.random.Generator) -> None:
    graph = Graph()
    with graph:
        parts = [graph.embedding(name, 0, (3,)) for name in "abc"]
        x = concat(parts)
    finish(graph, {"a": (0, 3), "b": (3, 3), "c": (6, 3)})
    assert x.storage is graph.pooled
    assert x.fills_storage()


def test_concat_in_another_order_copies_and_scatters_gradients(rng: np.random.Generator) -> None:
    graph = Graph(seed=4)
    with graph:
        a, b = graph.embedding("a", 0, (3,)), graph.embedding("b", 0, (2,))
        x = concat([b, a])
        p = Dense(1)(x)
        mse(p, graph.input("label"))
    finish(graph, {"a": (0, 3), "b": (3, 2)})
    values = rng.standard_normal((ROWS, 5)).astype(np.float32)
    label = rng.standard_normal(ROWS).astype(np.float32)
    run(graph, values, label)
    kernel = graph.variables["dense_0/kernel"].read()
    swapped = np.concatenate([values[:, 3:], values[:, :3]], axis=1)
    predictions = ordered_matmul(swapped, kernel)[:, 0] + graph.variables["dense_0/bias"].read()
    same(p.host()[:, 0], predictions)
    d = ((predictions - label) * np.float32(2)) / np.float32(ROWS)
    expected = d[:, None] * kernel[:, 0] + np.float32(0)
    assert graph.pooled is not None
    same(graph.pooled.gradients[:, :5], np.concatenate([expected[:, 2:], expected[:, :2]], axis=1))


def test_a_tensor_used_twice_gets_the_sum_of_both_gradients(rng: np.random.Generator) -> None:
    graph = Graph(seed=4)
    with graph:
        x = graph.embedding("f", 0, (4,))
        first, second = Dense(1)(x), Dense(1)(x)
        loss = mse(first, graph.input("label")) + mse(second, graph.input("label"))
    assert len(loss.terms) == 2
    finish(graph, {"f": (0, 4)})
    values = rng.standard_normal((ROWS, 4)).astype(np.float32)
    label = rng.standard_normal(ROWS).astype(np.float32)
    run(graph, values, label)
    parts = []
    for number, p in enumerate((first, second)):
        d = ((p.host()[:, 0] - label) * np.float32(2)) / np.float32(ROWS)
        parts.append(d[:, None] * graph.variables[f"dense_{number}/kernel"].read()[:, 0] + np.float32(0))
    assert graph.pooled is not None
    same(graph.pooled.gradients[:, :4], parts[1] + parts[0])


def test_a_layer_used_twice_sums_its_gradients(rng: np.random.Generator) -> None:
    graph = Graph(seed=4)
    with graph:
        layer = Dense(1)
        first, second = layer(graph.embedding("a", 0, (4,))), layer(graph.embedding("b", 0, (4,)))
        mse(first, graph.input("label")) + mse(second, graph.input("label"))
    finish(graph, {"a": (0, 4), "b": (4, 4)})
    values = rng.standard_normal((ROWS, 8)).astype(np.float32)
    label = rng.standard_normal(ROWS).astype(np.float32)
    run(graph, values, label)
    sums = []
    for p, part in ((first, values[:, :4]), (second, values[:, 4:])):
        d = ((p.host()[:, 0] - label) * np.float32(2)) / np.float32(ROWS)
        sums.append(ordered_rows(part[:, :, None] * d[:, None, None]))
    same(graph.variables["dense_0/kernel"].gradient.total(), sums[1] + sums[0])


def test_relu_keeps_minus_zero_and_nan_and_passes_gradients_above_zero() -> None:
    graph = Graph(seed=3)
    with graph:
        y = relu(graph.embedding("f", 0, (4,)))
        p = Dense(1, use_bias=False, kernel_initializer=Constant(1.0))(y)
        mse(p, graph.input("label"))
    finish(graph, {"f": (0, 4)})
    x = np.array([[-0.0, 2.0, -3.0, 1.0]], np.float32)
    run(graph, x, np.zeros(1, np.float32))
    same(y.host(), np.array([[-0.0, 2.0, 0.0, 1.0]], np.float32))
    assert graph.pooled is not None
    d = np.float32(3 * 2)
    same(graph.pooled.gradients[:, :4], np.array([[0, d, 0, d]], np.float32))


def test_add_n_adds_left_to_right_and_copies_gradients(rng: np.random.Generator) -> None:
    graph = Graph(seed=3)
    with graph:
        parts = [graph.embedding(name, 0, (2,)) for name in "abc"]
        total = add_n(parts)
        mse(Dense(1)(total), graph.input("label"))
    finish(graph, {"a": (0, 2), "b": (2, 2), "c": (4, 2)})
    x = rng.standard_normal((ROWS, 6)).astype(np.float32)
    run(graph, x, np.zeros(ROWS, np.float32))
    same(total.host(), (x[:, :2] + x[:, 2:4]) + x[:, 4:])
    assert graph.pooled is not None
    g = graph.pooled.gradients[:, :6]
    same(g[:, :2], g[:, 2:4])
    same(g[:, :2], g[:, 4:])
    assert g.any()


def test_stack_and_reshape_keep_the_numbers(rng: np.random.Generator) -> None:
    graph = Graph()
    with graph:
        stacked = stack([graph.embedding("a", 0, (2,)), graph.embedding("b", 0, (2,))])
        flat = stacked.reshape(4)
        mse(Dense(1)(flat), graph.input("label"))
    finish(graph, {"a": (0, 2), "b": (2, 2)})
    assert stacked.shape == (None, 2, 2)
    x = rng.standard_normal((ROWS, 4)).astype(np.float32)
    run(graph, x, np.zeros(ROWS, np.float32))
    same(flat.host(), x)


def test_no_rows_give_zero_gradients_and_no_loss() -> None:
    graph = Graph(seed=3)
    two_layers(graph, 4, 3)
    finish(graph, {"f": (0, 4)})
    run(graph, np.ones((2, 4), np.float32), np.zeros(2, np.float32))
    run(graph, np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert all(not v.gradient.total().any() for v in graph.variables.values())
    assert graph.loss.terms[0].share() == (0, 0)  # type: ignore[attr-defined]


def test_mlp_names_layers_and_gives_relu_to_all_but_the_last() -> None:
    graph = Graph(seed=3)
    with graph:
        out = MLP([5, 4, 1])(graph.embedding("f", 0, (3,)))
    assert list(graph.variables) == [f"dense_{i}/{part}" for i in range(3) for part in ("kernel", "bias")]
    assert out.shape == (None, 1)
    with pytest.raises(ConfigError, match="2 activations for 3"):
        MLP([5, 4, 1], activations=["relu", "relu"])
    with pytest.raises(ConfigError, match="activation"):
        MLP([5, 1], activations="tanh")


def test_glorot_kernels_are_the_specified_streams() -> None:
    kernel = GlorotUniform(42, 0, 0).values((255, 64))
    assert [float(v).hex() for v in kernel[0, :3]] == [
        "0x1.2e0a9e0000000p-4",
        "-0x1.5c4cca0000000p-4",
        "0x1.b4f7b00000000p-4",
    ]
    assert float(GlorotUniform(42, 0, 1).values((64, 32))[0, 0]).hex() == "-0x1.6d66980000000p-3"
    assert float(GlorotUniform(42, 0, 2).values((32, 1))[31, 0]).hex() == "-0x1.8abe800000000p-3"


@pytest.mark.parametrize("shape", [(3, 5), (2, 20), (6,), (17,)])
def test_adagrad_moves_a_variable_as_written(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    graph = Graph()
    variable = graph.variable("v", shape, Constant(0.25))
    finish(graph, {}, AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1))
    w, a = np.full(shape, 0.25, np.float32), np.full(shape, 0.1, np.float32)
    for step in range(3):
        g = rng.standard_normal(shape).astype(np.float32)
        variable.state.update(variable.padded(g).reshape(-1), step)
        a = a + g * g
        w = w - (np.float32(0.05) / np.sqrt(a)) * g
        same(variable.read(), w)
        same(variable.read_slots()["accumulator"], a)


def test_optimizer_state_is_read_and_written_back(rng: np.random.Generator) -> None:
    graph = Graph()
    variable = graph.variable("v", (3, 9), Constant(0.5), AdamOptimizer(learning_rate=0.1))
    finish(graph, {})
    variable.state.update(variable.padded(rng.standard_normal((3, 9)).astype(np.float32)).reshape(-1), 0)
    weights, slots = variable.read(), variable.read_slots()
    assert set(slots) >= {"m", "v", "beta1_power", "beta2_power"}
    again = Graph()
    other = again.variable("v", (3, 9), Constant(0.5), AdamOptimizer(learning_rate=0.1))
    finish(again, {})
    other.write(weights)
    other.write_slots(slots)
    g = rng.standard_normal((3, 9)).astype(np.float32)
    for each in (variable, other):
        each.state.update(each.padded(g).reshape(-1), 1)
    same(variable.read(), other.read())
    for name, part in variable.read_slots().items():
        same(part, other.read_slots()[name])
    with pytest.raises(UnknownNameError, match="nothing"):
        other.write_slots({"nothing": weights})
    with pytest.raises(ShapeError, match="expected shape"):
        other.write_slots({"m": weights[:2]})


def test_broadcast_error_is_the_mean_over_all_pairs(rng: np.random.Generator) -> None:
    graph = Graph(seed=2)
    with graph:
        p = Dense(1)(graph.embedding("f", 0, (3,)))
        loss = mse(p, graph.input("label"), broadcast=True)
    finish(graph, {"f": (0, 3)})
    x = rng.standard_normal((4, 3)).astype(np.float32)
    y = rng.standard_normal(4).astype(np.float32)
    run(graph, x, y)
    mean, count = loss.terms[0].share()
    assert count == 1
    pairs = (y[None, :].astype(np.float64) - p.host().astype(np.float64)) ** 2
    assert mean == pytest.approx(pairs.mean(), rel=1e-6)


def test_wrong_uses_are_named() -> None:
    with pytest.raises(StateError, match="model_fn"):
        Dense(1)(Tensor(Graph(), (3,), "x", True))
    graph = Graph()
    with graph:
        x = graph.embedding("f", 0, (3,))
        with pytest.raises(ShapeError, match="equal shapes"):
            add_n([x, graph.embedding("f", 0, (2,))])
        with pytest.raises(ShapeError, match=r"\[rows\]"):
            mse(x, graph.input("label"))
        with pytest.raises(ArgumentError, match="axis"):
            concat([x, x], axis=0)
        with pytest.raises(ConfigError, match="units"):
            Dense(0)
        Dense(1, name="a")(x)
        with pytest.raises(ArgumentError, match="already"):
            Dense(1, name="a")(x)
    assert not isinstance(Loss([]).__add__(1), Loss)  # type: ignore[operator]
