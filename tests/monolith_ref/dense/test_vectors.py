"""One exact step of a 3-2-1 network through the tape: TensorFlow's bits, with aligned and with broadcast labels."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from monolith_kernels.target import target
from numpy.typing import NDArray

from monolith_ref.dense import Dense, Graph, mse
from monolith_ref.dense.optimizers import DenseOptimizer
from monolith_ref.entry import AdagradOptimizer

GOLDEN = importlib.resources.files("monolith_conformance") / "golden" / "vectors" / "features.json"
STEP: dict[str, Any] = json.loads(GOLDEN.read_text())["dense_step"]
NAMES = {"W1": "dense_0/kernel", "b1": "dense_0/bias", "W2": "dense_1/kernel", "b2": "dense_1/bias"}


def floats(value: Any) -> NDArray[np.float32]:
    if isinstance(value, list):
        return np.array([floats(part) for part in value], np.float32)
    return np.asarray(float.fromhex(value), np.float32)


def same(a: Any, b: Any) -> None:
    """Equal bits; a zero may have either sign (the library's gradient of a dead unit has both)."""
    a, b = np.asarray(a, np.float32) + np.float32(0), np.asarray(b, np.float32) + np.float32(0)
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@dataclass(frozen=True)
class Given:
    """An initializer that gives the vector's own numbers."""

    name: str

    def values(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return floats(STEP[self.name]).reshape(shape)


@pytest.mark.parametrize("case", STEP["cases"], ids=lambda case: str(case["label_shape"]))
def test_one_step_has_the_library_s_bits(case: dict[str, Any]) -> None:
    graph = Graph()
    with graph:
        x = graph.embedding("x", 0, (3,))
        hidden = Dense(2, "relu", kernel_initializer=Given("W1"), bias_initializer=Given("b1"))(x)
        prediction = Dense(1, kernel_initializer=Given("W2"), bias_initializer=Given("b2"))(hidden)
        loss = mse(prediction, graph.input("label"), broadcast=case["label_shape"] == [4])
    place = target("cpu")
    adagrad = AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1)
    states = {
        name: DenseOptimizer(place, int(np.prod(variable.padded_shape)), adagrad)
        for name, variable in graph.variables.items()
    }
    graph.finish(place, {"x": (0, 3)}, states)
    graph.begin(4, 4.0)
    assert graph.pooled is not None
    graph.pooled.values[:, :3] = floats(STEP["X"])
    graph.feed("label", floats(STEP["label"]))
    graph.forward()
    graph.backward()
    total, divisor = loss.terms[0].share()
    same(total / np.float32(divisor), floats(case["loss"]))
    same(prediction.host(), floats(case["pred"]))
    same(graph.pooled.gradients[:, :3], floats(case["grads"]["X"]))
    for short, name in NAMES.items():
        variable = graph.variables[name]
        gradient = variable.gradient.total()
        same(variable.unpadded(gradient), floats(case["grads"][short]))
        variable.state.update(gradient.reshape(-1), 0)
        same(variable.read_slots()["accumulator"], floats(case["accumulators"][short]))
        # The library divides by multiplying with a rounded reciprocal root: one unit in the last place apart at most.
        ours, theirs = variable.read(), floats(case["updated"][short])
        assert np.all(np.abs(ours.view(np.int32) - theirs.view(np.int32)) <= 1)
