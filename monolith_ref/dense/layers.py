"""Layers: they make variables and record operations when called. Rule: features 7 and 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monolith_ref.dense.graph import Graph, Tensor, current_graph
from monolith_ref.dense.initializers import Constant, GlorotUniform, Initializer
from monolith_ref.dense.operations import affine
from monolith_ref.dense.variables import Variable
from monolith_ref.errors import ArgumentError, ConfigError, ShapeError

__all__ = ["MLP", "Dense"]

_ACTIVATIONS = (None, "linear", "relu")


def _checked_activation(activation: Any, owner: str) -> bool:
    if activation not in _ACTIVATIONS:
        raise ConfigError(f"{owner}: activation must be None, 'linear' or 'relu', not {activation!r}")
    return bool(activation == "relu")


class Dense:
    """x · kernel + bias, then the activation.

    Parameters
    ----------
    units : int
    activation : None, "linear" or "relu"
    use_bias : bool
    kernel_initializer : Initializer or "glorot_uniform"
        The name means: stream (4, 0, number of the layer in its graph) of the graph's seed.
    bias_initializer : Initializer
    name : str or None
        Variables are ``<name>/kernel`` and ``<name>/bias``; None: ``dense_<number of the layer in its graph>``.
    optimizer : entry.Optimizer or None
        The variables' own optimizer; None: the one of the EstimatorSpec.

    A layer that is called twice uses the same variables.
    """

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        *,
        use_bias: bool = True,
        kernel_initializer: Initializer | str = "glorot_uniform",
        bias_initializer: Initializer | str = "zeros",
        name: str | None = None,
        optimizer: Any = None,
    ) -> None:
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ConfigError(f"Dense: units must be an integer of at least 1, not {units!r}")
        self.units = units
        self.with_relu = _checked_activation(activation, "Dense")
        self.use_bias = use_bias
        if isinstance(kernel_initializer, str) and kernel_initializer != "glorot_uniform":
            raise ConfigError(f"Dense: unknown kernel_initializer {kernel_initializer!r}")
        self.kernel_initializer = kernel_initializer
        if isinstance(bias_initializer, str) and bias_initializer != "zeros":
            raise ConfigError(f"Dense: unknown bias_initializer {bias_initializer!r}")
        self.bias_initializer = Constant(0.0) if isinstance(bias_initializer, str) else bias_initializer
        self.name = name
        self.optimizer = optimizer
        self.kernel: Variable | None = None
        self.bias: Variable | None = None
        self._graph: Graph | None = None

    def _build(self, graph: Graph, fan_in: int) -> Variable:
        number = graph.layers
        graph.layers += 1
        name = self.name or f"dense_{number}"
        initializer = self.kernel_initializer
        if isinstance(initializer, str):
            initializer = GlorotUniform(graph.seed, 0, number)
        self._graph = graph
        self.kernel = graph.variable(f"{name}/kernel", (fan_in, self.units), initializer, self.optimizer)
        if self.use_bias:
            self.bias = graph.variable(f"{name}/bias", (self.units,), self.bias_initializer, self.optimizer)
        return self.kernel

    def __call__(self, x: Tensor) -> Tensor:
        """[rows, d] to [rows, units]; ShapeError for inputs of another rank."""
        graph = current_graph()
        if len(x.tail) != 1:
            raise ShapeError(f"Dense: expected an input [rows, d], found {x.shape}")
        if self._graph is not None and self._graph is not graph:
            raise ArgumentError("Dense: the layer belongs to another graph; make a new one in each model_fn")
        kernel = self.kernel or self._build(graph, x.tail[0])
        return affine(x, kernel, self.bias, self.with_relu)


class MLP:
    """Dense layers one after the other.

    ``activations``: None is relu on all but the last; one value is used on all but the last; a list has one per
    layer. ``initializers``: one kernel initializer for all, or one per layer. There is no weight norm and no batch
    normalization here.
    """

    def __init__(
        self,
        output_dims: Sequence[int],
        activations: str | Sequence[str | None] | None = None,
        initializers: Initializer | Sequence[Initializer] | None = None,
        *,
        use_bias: bool = True,
        bias_initializer: Initializer | str = "zeros",
        name: str | None = None,
        optimizer: Any = None,
    ) -> None:
        count = len(output_dims)
        if not count:
            raise ConfigError("MLP: output_dims must have at least one entry")
        if activations is None or isinstance(activations, str):
            per_layer: list[str | None] = [activations or "relu"] * (count - 1) + [None]
        else:
            per_layer = list(activations)
        if len(per_layer) != count:
            raise ConfigError(f"MLP: {len(per_layer)} activations for {count} layers")
        kernels: list[Any]
        if initializers is None:
            kernels = ["glorot_uniform"] * count
        elif isinstance(initializers, Sequence):
            kernels = list(initializers)
        else:
            kernels = [initializers] * count
        if len(kernels) != count:
            raise ConfigError(f"MLP: {len(kernels)} initializers for {count} layers")
        self.layers = [
            Dense(
                units,
                activation,
                use_bias=use_bias,
                kernel_initializer=kernel,
                bias_initializer=bias_initializer,
                name=None if name is None else f"{name}/dense_{number}",
                optimizer=optimizer,
            )
            for number, (units, activation, kernel) in enumerate(zip(output_dims, per_layer, kernels, strict=True))
        ]

    def __call__(self, x: Tensor) -> Tensor:
        """[rows, d] to [rows, last of output_dims]."""
        for layer in self.layers:
            x = layer(x)
        return x
