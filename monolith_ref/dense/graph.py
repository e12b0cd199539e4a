"""The tape: a model function runs once with symbolic tensors and records nodes; each step re-runs them into kept
buffers.

Forward runs nodes in the order of recording, backward in the reverse order. A tensor's gradient is the sum of its
uses in backward order. Rule: sync_training 6.2, features 7.

Tensors have a row axis of any length and a fixed ``tail``: ``()`` one number a row, ``(d,)`` a vector, ``(n, d)``
vectors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from monolith_ref.dense.initializers import Initializer
from monolith_ref.dense.storage import Storage
from monolith_ref.dense.variables import Variable
from monolith_ref.errors import ArgumentError, ShapeError, StateError

if TYPE_CHECKING:
    from monolith_kernels.target import Target

    from monolith_ref.dense.optimizers import DenseOptimizer

__all__ = ["Graph", "Loss", "Node", "Tensor", "current_graph"]


class Tensor:
    """A symbolic array of a graph: ``[rows, *tail]`` float32, columns ``column`` to ``column + width`` of a storage."""

    def __init__(self, graph: Graph, tail: tuple[int, ...], name: str, needs_gradient: bool) -> None:
        self.graph = graph
        self.tail = tail
        self.name = name
        self.needs_gradient = needs_gradient
        self.column = 0
        self._storage: Storage | None = None

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return math.prod(self.tail)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """As a framework shows it: ``(None, *tail)``."""
        return (None, *self.tail)

    @property
    def storage(self) -> Storage:
        """Where the values are, once the graph is finished."""
        if self._storage is None:
            raise StateError(f"tensor {self.name} has no values before its graph is finished")
        return self._storage

    def place(self, storage: Storage, column: int = 0) -> None:
        """Put the tensor into a storage."""
        self._storage = storage
        self.column = column

    def fills_storage(self) -> bool:
        """Is the tensor all of its storage's columns?"""
        return self.column == 0 and self.width == self.storage.width

    def host(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Values of the latest step, host [rows, width] (a view on the CPU)."""
        values = self.graph.target.to_host(self.storage.values)
        return values[:, self.column : self.column + self.width]

    def reshape(self, *tail: int) -> Tensor:
        """The same numbers with another tail."""
        from monolith_ref.dense.operations import reshape

        return reshape(self, tail)

    def __repr__(self) -> str:
        return f"Tensor({self.name!r}, [rows{''.join(f', {n}' for n in self.tail)}])"


class Node:
    """One recorded operation: ``inputs`` to ``output`` (None for losses)."""

    inputs: tuple[Tensor, ...] = ()
    output: Tensor | None = None

    def place(self, target: Target) -> None:
        """Give the output its storage; inputs have theirs."""
        assert self.output is not None
        self.output.place(self.graph_storage(target))

    def graph_storage(self, target: Target) -> Storage:
        """A new storage of the output's width."""
        assert self.output is not None
        storage = Storage(target, self.output.width, self.output.needs_gradient)
        self.output.graph.storages.append(storage)
        return storage

    def forward(self) -> None:
        """Compute the output of this step's rows."""

    def backward(self) -> None:
        """Hand the output's gradient to inputs and variables."""


class Loss:
    """A sum of means over rows; ``+`` joins the losses of several heads."""

    def __init__(self, terms: Sequence[Any]) -> None:
        self.terms = tuple(terms)

    def __add__(self, other: Loss) -> Loss:
        if not isinstance(other, Loss):
            return NotImplemented
        return Loss([*self.terms, *other.terms])


class Graph:
    """The recorded model.

    Attributes
    ----------
    nodes : list of Node, in recording order
    variables : dict of name to Variable, in order of creation
    inputs : dict of name to Tensor
        Dense inputs (``label`` ...), which the caller feeds.
    embeddings : list of (feature, position, first column, Tensor)
        Slices of pooled embeddings; all are columns of one storage, ``pooled``.
    rows : int
        Rows of the step in hand.
    divisor : float
        What losses are divided by in this step (sync_training 5).
    exact : bool
        Weight gradients are kept as unrounded sums (:mod:`monolith_kernels.reduction`).
    """

    def __init__(self, seed: int = 42) -> None:
        self.seed = seed
        self.nodes: list[Node] = []
        self.variables: dict[str, Variable] = {}
        self.inputs: dict[str, Tensor] = {}
        self.embeddings: list[tuple[str, int, int, Tensor]] = []
        self.storages: list[Storage] = []
        self.layers = 0
        self.rows = 0
        self.divisor = 1.0
        self.exact = False
        self._target: Target | None = None
        self._input_storage: dict[str, Storage] = {}
        self.pooled: Storage | None = None

    # Recording.

    def __enter__(self) -> Graph:
        _STACK.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _STACK.pop()

    def input(self, name: str, tail: tuple[int, ...] = ()) -> Tensor:
        """The dense input ``name``, made at the first request; ShapeError if asked for with another tail later."""
        known = self.inputs.get(name)
        if known is None:
            known = self.inputs[name] = Tensor(self, tail, name, needs_gradient=False)
        elif known.tail != tail:
            raise ShapeError(f"input {name} has shape {known.shape}, not {(None, *tail)}")
        return known

    def embedding(self, feature: str, start: int, tail: tuple[int, ...], position: int = 0) -> Tensor:
        """Columns of a feature's pooled embedding (of its ``position``-th one, for sequences), from ``start`` on."""
        tensor = Tensor(self, tail, f"{feature}:{start}_{start + math.prod(tail)}", needs_gradient=True)
        self.embeddings.append((feature, position, start, tensor))
        return tensor

    def variable(self, name: str, shape: tuple[int, ...], initializer: Initializer, optimizer: Any = None) -> Variable:
        """A new variable; ArgumentError if the name is taken."""
        if name in self.variables:
            raise ArgumentError(f"there is a variable {name!r} already")
        made = self.variables[name] = Variable(name, shape, initializer, optimizer)
        return made

    def record(self, node: Node) -> None:
        """Append a node."""
        if self._target is not None:
            raise StateError("the graph is finished; operations can be recorded in model_fn only")
        self.nodes.append(node)

    # Running.

    @property
    def target(self) -> Target:
        """Where the graph runs, once finished."""
        if self._target is None:
            raise StateError("the graph is not finished")
        return self._target

    def finish(
        self,
        target: Target,
        columns: Mapping[str, tuple[int, int]],
        optimizers: Mapping[str, DenseOptimizer],
        dims: Mapping[str, int] | None = None,
    ) -> None:
        """Place tensors and variables.

        ``columns``: feature -> (first column, width) of the pooled matrix. ``dims``: floats of one embedding of a
        feature, where its columns hold several (default: all of its columns).
        """
        width = sum(part for _, part in columns.values())
        self.pooled = Storage(target, width, needs_gradient=True)
        self.storages.append(self.pooled)
        for feature, position, start, tensor in self.embeddings:
            first, width = columns[feature]
            dim = width if dims is None else dims[feature]
            tensor.place(self.pooled, first + position * dim + start)
        for name, tensor in self.inputs.items():
            storage = Storage(target, tensor.width, needs_gradient=False)
            self._input_storage[name] = storage
            self.storages.append(storage)
            tensor.place(storage)
        for node in self.nodes:
            node.place(target)
        for name, variable in self.variables.items():
            variable.place(optimizers[name], self.exact)
        self._target = target

    def begin(self, rows: int, divisor: float) -> None:
        """Start a step of ``rows`` rows; fill ``pooled.values`` and feed the inputs next."""
        self.rows = rows
        self.divisor = divisor
        for storage in self.storages:
            storage.begin(rows)
        for variable in self.variables.values():
            variable.gradient.begin()

    def feed(self, name: str, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """Values of a dense input for this step: [rows], or ``[rows, *tail]``."""
        tensor = self.inputs[name]
        expected = (self.rows, *tensor.tail)
        if values.shape != expected and values.shape != (*expected, 1):
            raise ShapeError(f"input {name}: expected shape {expected}, found {values.shape}")
        flat = np.ascontiguousarray(values, np.float32).reshape(self.rows, tensor.width)
        if self.rows:
            tensor.storage.set_columns(0, self.target.asarray(flat), 0, tensor.width)

    def forward(self) -> None:
        """Run all nodes; with no rows there is nothing to run."""
        if self.rows:
            for node in self.nodes:
                node.forward()

    def backward(self) -> None:
        """Gradients of all variables and of ``pooled``; with no rows all are +0."""
        if self.rows:
            for node in reversed(self.nodes):
                node.backward()


_STACK: list[Graph] = []


def current_graph() -> Graph:
    """The graph that is being recorded; StateError outside of a ``with graph`` block."""
    if not _STACK:
        raise StateError("layers and operations need a graph: call them in model_fn, or inside 'with Graph()'")
    return _STACK[-1]
