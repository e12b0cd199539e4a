"""Losses: per-row terms, their sum and the gradient of predictions. Rule: sync_training 5 and 6.2, features 7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from monolith_kernels import reduction
from numpy.typing import NDArray

from monolith_ref.dense.graph import Loss, Node, Tensor
from monolith_ref.dense.operations import dense_view
from monolith_ref.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from monolith_kernels.target import Target

__all__ = ["CrossEntropy", "LossNode", "SquaredError", "bce_with_logits", "mse"]


class LossNode(Node):
    """A mean of per-row terms. The gradient of predictions already holds the divisor."""

    has_exact_sum = True

    def __init__(self, prediction: Tensor, label: Tensor) -> None:
        self.inputs = (prediction, label)
        self.capacity = 0
        self.d: Any = None
        self.sum = np.float32(0)
        self.terms: Any = None

    def place(self, target: Target) -> None:
        """A loss has no output tensor; its buffers grow with the rows."""

    def _reserve(self, target: Target, rows: int) -> None:
        if rows > self.capacity:
            self.capacity = rows
            self.d = target.asarray(np.zeros(rows, np.float32))
            self.terms = target.asarray(np.zeros(rows, np.float32))

    def backward(self) -> None:
        """Hand d to the predictions."""
        prediction = self.inputs[0]
        if not prediction.needs_gradient:
            return
        storage = prediction.storage
        part, more = storage.receive()
        rows = prediction.graph.rows
        storage.target.dense.scale(self.d[:rows], 1.0, part.reshape(-1))
        if more:
            storage.add(part)

    def share(self) -> tuple[np.float32, int]:
        """This rank's sum of per-row terms, ordered, and what it is to be divided by before ranks are averaged (0:
        nothing)."""
        rows = self.inputs[0].graph.rows
        return (self.sum, rows) if rows else (np.float32(0), 0)

    def partial(self) -> reduction.Partial:
        """The unrounded sum of the per-row terms (of a graph that is ``exact``)."""
        graph = self.inputs[0].graph
        terms: NDArray[np.float32] = np.zeros(0, np.float32)
        if graph.rows:
            terms = graph.target.to_host(self.terms[: graph.rows])
        return reduction.exact_sum(terms)


class SquaredError(LossNode):
    """(p - y)^2 per row; d = ((p - y) * 2) / divisor."""

    def forward(self) -> None:
        prediction, label = self.inputs
        graph = prediction.graph
        target, rows = graph.target, graph.rows
        self._reserve(target, rows)
        p, y = prediction.storage.values.reshape(-1), label.storage.values.reshape(-1)
        if graph.exact:
            target.dense.squared_error_terms(p, y, graph.divisor, self.d[:rows], self.terms[:rows])
        else:
            self.sum = np.float32(target.dense.squared_error(p, y, graph.divisor, self.d[:rows]))


class CrossEntropy(LossNode):
    """Of logits z: max(z, 0) - z * y + log(1 + exp(-|z|)) per row; d = (sigmoid(z) - y) / divisor."""

    def forward(self) -> None:
        prediction, label = self.inputs
        graph = prediction.graph
        target, rows = graph.target, graph.rows
        self._reserve(target, rows)
        z, y = prediction.storage.values.reshape(-1), label.storage.values.reshape(-1)
        if graph.exact:
            target.dense.logistic_loss_terms(z, y, graph.divisor, self.d[:rows], self.terms[:rows])
        else:
            self.sum = np.float32(target.dense.logistic_loss(z, y, graph.divisor, self.d[:rows]))


class BroadcastSquaredError(LossNode):
    """The published test's loss: the mean over every prediction and every label of the rank's rows."""

    has_exact_sum = False

    def forward(self) -> None:
        prediction, label = self.inputs
        graph = prediction.graph
        self._reserve(graph.target, graph.rows)
        p, y = prediction.storage.values.reshape(-1), label.storage.values.reshape(-1)
        self.sum = np.float32(graph.target.dense.squared_error_broadcast(p, y, self.d[: graph.rows]))

    def share(self) -> tuple[np.float32, int]:
        """The rank's mean itself: there is nothing left to divide by."""
        return (self.sum, 1) if self.inputs[0].graph.rows else (np.float32(0), 0)


def _checked(owner: str, prediction: Any, label: Any) -> None:
    for what, tensor in (("prediction", prediction), ("label", label)):
        if not isinstance(tensor, Tensor):
            raise ArgumentError(f"{owner}: {what} must be a tensor of the graph, not {type(tensor).__name__}")
        if tensor.tail not in ((), (1,)):
            raise ShapeError(f"{owner}: {what} must be [rows] or [rows, 1], not {tensor.shape}")


def mse(prediction: Tensor, label: Tensor, *, broadcast: bool = False) -> Loss:
    """Mean over rows of (prediction - label)^2; both [rows] or [rows, 1].

    The gradient of a prediction is ((p - y) * 2) / divisor, where the reduction gives the divisor. ``broadcast``:
    as the published test, each prediction [rows, 1] against all labels [rows] of the rank.
    """
    _checked("mse", prediction, label)
    kind = BroadcastSquaredError if broadcast else SquaredError
    node = kind(dense_view(prediction), dense_view(label))
    prediction.graph.record(node)
    return Loss([node])


def bce_with_logits(prediction: Tensor, label: Tensor) -> Loss:
    """Mean over rows of the cross-entropy of a logit z and a label y in [0, 1]; both [rows] or [rows, 1]. Rule: job 7.

    A row's term is ``(max(z, 0) - z * y) + log(1 + exp(-|z|))``, in float64 in this order and rounded once to float32;
    the terms are summed as the reduction says. The gradient of a logit is (s - y) / divisor: s = sigmoid(z) in float64,
    rounded once to float32, then the difference rounded, then the quotient. exp and log are the project's own
    (:mod:`monolith_kernels.rules.logistic`), so that no bit depends on a C library.
    """
    _checked("bce_with_logits", prediction, label)
    node = CrossEntropy(dense_view(prediction), dense_view(label))
    prediction.graph.record(node)
    return Loss([node])
