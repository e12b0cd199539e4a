"""Recorded operations on tensors: concat, stack, reshape, add_n, relu, affine. Rule: features 7, sync_training
6.2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from monolith_ref.dense.graph import Graph, Node, Tensor
from monolith_ref.dense.storage import Matrix, Storage
from monolith_ref.dense.variables import Variable
from monolith_ref.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from monolith_kernels.target import Target

__all__ = ["Affine", "add_n", "affine", "concat", "dense_view", "relu", "reshape", "stack"]


def _graph_of(tensors: Sequence[Any], what: str) -> Graph:
    if not tensors:
        raise ArgumentError(f"{what} needs at least one tensor")
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise ArgumentError(f"{what} takes tensors of a graph, not {type(tensor).__name__}")
        if tensor.graph is not tensors[0].graph:
            raise ArgumentError(f"{what}: tensors of two graphs")
    graph: Graph = tensors[0].graph
    return graph


def _output(graph: Graph, node: Node, tail: tuple[int, ...], name: str, needs_gradient: bool) -> Tensor:
    output = Tensor(graph, tail, f"{name}_{len(graph.nodes)}", needs_gradient)
    node.output = output
    graph.record(node)
    return output


class _Join(Node):
    """Columns of all inputs side by side; no copy where they lie so already."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.inputs = tuple(inputs)
        self.alias = False

    def place(self, target: Target) -> None:
        assert self.output is not None
        first = self.inputs[0]
        end = first.column
        self.alias = True
        for tensor in self.inputs:
            self.alias &= tensor.storage is first.storage and tensor.column == end
            end += tensor.width
        if self.alias:
            self.output.place(first.storage, first.column)
        else:
            super().place(target)

    def forward(self) -> None:
        if self.alias:
            return
        assert self.output is not None
        column = 0
        for tensor in self.inputs:
            self.output.storage.set_columns(column, tensor.storage.values, tensor.column, tensor.width)
            column += tensor.width

    def backward(self) -> None:
        assert self.output is not None
        if self.alias or not self.output.storage.started:
            return
        gradients = self.output.storage.gradients
        column = 0
        for tensor in self.inputs:
            if tensor.needs_gradient:
                tensor.storage.add_columns(tensor.column, gradients, column, tensor.width)
            column += tensor.width


def _join(inputs: Sequence[Tensor], tail: tuple[int, ...], name: str) -> Tensor:
    needs_gradient = any(tensor.needs_gradient for tensor in inputs)
    return _output(inputs[0].graph, _Join(inputs), tail, name, needs_gradient)


def concat(tensors: Sequence[Tensor], axis: int = 1) -> Tensor:
    """Tensors [rows, d_i] side by side: [rows, sum of d_i]; sequences [rows, n_i, d] along the sequence axis."""
    _graph_of(tensors, "concat")
    if axis != 1:
        raise ArgumentError(f"concat joins along axis 1, not {axis}")
    ranks = {len(tensor.tail) for tensor in tensors}
    inner = {tensor.tail[1:] for tensor in tensors}
    if len(ranks) != 1 or len(inner) != 1 or 0 in ranks:
        shapes = [tensor.shape for tensor in tensors]
        raise ShapeError(f"concat on axis 1 needs equal shapes but for axis 1, found {shapes}")
    return _join(tensors, (sum(tensor.tail[0] for tensor in tensors), *inner.pop()), "concat")


def stack(tensors: Sequence[Tensor], axis: int = 1) -> Tensor:
    """n tensors [rows, d] as one [rows, n, d]."""
    _graph_of(tensors, "stack")
    if axis != 1:
        raise ArgumentError(f"stack works on axis 1, not {axis}")
    tails = {tensor.tail for tensor in tensors}
    if len(tails) != 1:
        raise ShapeError(f"stack needs equal shapes, found {[tensor.shape for tensor in tensors]}")
    return _join(tensors, (len(tensors), *tails.pop()), "stack")


def reshape(tensor: Tensor, tail: Sequence[int]) -> Tensor:
    """The same numbers as [rows, *tail]; ShapeError if there are more or fewer."""
    _graph_of([tensor], "reshape")
    if math.prod(tail) != tensor.width:
        raise ShapeError(
            f"{tensor!r} has {tensor.width} numbers a row, [rows, {', '.join(map(str, tail))}] another number"
        )
    return _join([tensor], tuple(tail), "reshape")


def dense_view(tensor: Tensor) -> Tensor:
    """The tensor, or a copy that begins at column 0 of a storage of its own, as kernels need it (decided when
    placed)."""
    return _output(tensor.graph, _Whole(tensor), tensor.tail, tensor.name, tensor.needs_gradient)


class _Whole(_Join):
    """The input itself where it fills its storage, else a copy."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__([tensor])

    def place(self, target: Target) -> None:
        assert self.output is not None
        if self.inputs[0].fills_storage():
            self.alias = True
            self.output.place(self.inputs[0].storage)
        else:
            self.output.place(self.graph_storage(target))


class _AddN(Node):
    """((a + b) + c) + ..., elementwise."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.inputs = tuple(inputs)

    def forward(self) -> None:
        assert self.output is not None
        storage = self.output.storage
        whole = storage.values.reshape(-1)
        first = self.inputs[0].storage.values.reshape(-1)
        for tensor in self.inputs[1:]:
            storage.target.dense.add(first, tensor.storage.values.reshape(-1), whole)
            first = whole

    def backward(self) -> None:
        assert self.output is not None
        if not self.output.storage.started:
            return
        for tensor in self.inputs:
            if tensor.needs_gradient:
                _pass_on(tensor.storage, self.output.storage.gradients)


def _pass_on(storage: Storage, gradients: Matrix) -> None:
    """Hand a gradient of a whole storage on, bits unchanged where it is the first."""
    part, more = storage.receive()
    storage.target.dense.scale(gradients.reshape(-1), 1.0, part.reshape(-1))
    if more:
        storage.add(part)


def add_n(tensors: Sequence[Tensor]) -> Tensor:
    """Elementwise sum, left to right; one tensor is returned as it is."""
    graph = _graph_of(tensors, "add_n")
    if len({tensor.tail for tensor in tensors}) != 1:
        raise ShapeError(f"add_n needs equal shapes, found {[tensor.shape for tensor in tensors]}")
    if len(tensors) == 1:
        return tensors[0]
    whole = [dense_view(tensor) for tensor in tensors]
    needs_gradient = any(tensor.needs_gradient for tensor in tensors)
    return _output(graph, _AddN(whole), tensors[0].tail, "add_n", needs_gradient)


class _Relu(Node):
    """max(x, 0): -0.0 and NaN stay; gradient where the output is above 0."""

    def __init__(self, tensor: Tensor) -> None:
        self.inputs = (tensor,)

    def forward(self) -> None:
        assert self.output is not None
        storage = self.output.storage
        storage.target.dense.relu(self.inputs[0].storage.values.reshape(-1), storage.values.reshape(-1))

    def backward(self) -> None:
        assert self.output is not None
        storage, source = self.output.storage, self.inputs[0]
        if not storage.started or not source.needs_gradient:
            return
        part, more = source.storage.receive()
        storage.target.dense.relu_gradient(storage.gradients.reshape(-1), storage.values.reshape(-1), part.reshape(-1))
        if more:
            source.storage.add(part)


def relu(tensor: Tensor) -> Tensor:
    """max(x, 0) elementwise."""
    graph = _graph_of([tensor], "relu")
    return _output(graph, _Relu(dense_view(tensor)), tensor.tail, "relu", tensor.needs_gradient)


class Affine(Node):
    """x · kernel + bias, then relu if asked for; sums over k ascending from +0, the bias last."""

    def __init__(self, x: Tensor, kernel: Variable, bias: Variable | None, with_relu: bool) -> None:
        self.inputs = (x,)
        self.kernel = kernel
        self.bias = bias
        self.with_relu = with_relu
        self.transposed: Matrix = None

    def place(self, target: Target) -> None:
        super().place(target)
        stride = self.inputs[0].storage.stride
        self.transposed = target.asarray(np.zeros((self.kernel.shape[1], stride), np.float32))

    def forward(self) -> None:
        assert self.output is not None
        out = self.output.storage
        kernels = out.target.dense
        x = self.inputs[0].storage.values
        if self.bias is not None:
            kernels.affine(x, self.kernel.array, self.bias.array, out.values, self.with_relu, out.target.threads)
        else:
            kernels.matmul(x, self.kernel.array, out.values, out.target.threads)
            if self.with_relu:
                kernels.relu(out.values.reshape(-1), out.values.reshape(-1))

    def backward(self) -> None:
        assert self.output is not None
        out, source = self.output.storage, self.inputs[0]
        if not out.started:
            return
        kernels = out.target.dense
        g = out.gradients
        if self.with_relu:
            kernels.relu_gradient(g.reshape(-1), out.values.reshape(-1), g.reshape(-1))
        x = source.storage.values
        self.kernel.gradient.add_product(x, g)
        if self.bias is not None:
            self.bias.gradient.add_rows(g)
        if source.needs_gradient:
            part, more = source.storage.receive()
            kernels.input_gradient(g, self.kernel.array, part, self.transposed, out.target.threads)
            if more:
                source.storage.add(part)


def affine(x: Tensor, kernel: Variable, bias: Variable | None, with_relu: bool) -> Tensor:
    """Record x · kernel + bias (+ relu); x [rows, fan_in]."""
    graph = _graph_of([x], "a dense layer")
    if x.tail != kernel.shape[:1]:
        raise ShapeError(f"{kernel.name}: expected an input [rows, {kernel.shape[0]}], found {x.shape}")
    return _output(graph, Affine(dense_view(x), kernel, bias, with_relu), kernel.shape[1:], "affine", True)
