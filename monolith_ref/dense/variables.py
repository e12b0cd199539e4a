"""Dense variables: their values, gradients and optimizer state. Rule: features 7, optimizers, checkpoints 5.3.

A variable is one row of a table of its own: ``[values | state]`` in the layout of its optimizer, updated by the same
kernels as embedding rows. Matrices are stored with padded columns, ``[fan_in, padded_width(fan_out)]``; pads are
zero and never leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.dense.gradients import GradientSum
from monolith_ref.dense.initializers import Initializer
from monolith_ref.dense.storage import padded_width
from monolith_ref.errors import ShapeError, UnknownNameError

if TYPE_CHECKING:
    from monolith_ref.dense.optimizers import DenseOptimizer

__all__ = ["Variable"]


class Variable:
    """A named array of one or two dimensions that training moves.

    Attributes
    ----------
    name : str
        ``dense_0/kernel``, ``dense_0/bias`` ...
    shape : tuple of int
    optimizer : entry.Optimizer or None
        Its own optimizer; None: the one of the EstimatorSpec.
    """

    def __init__(self, name: str, shape: tuple[int, ...], initializer: Initializer, optimizer: Any = None) -> None:
        if len(shape) not in (1, 2) or min(shape) < 1:
            raise ShapeError(f"variable {name}: shape must be [n] or [fan_in, fan_out] of at least 1, not {shape}")
        self.name = name
        self.shape = shape
        self.initializer = initializer
        self.optimizer = optimizer
        self.padded_shape = (*shape[:-1], padded_width(shape[-1]))
        self._state: DenseOptimizer | None = None
        self._gradient: GradientSum | None = None

    @property
    def size(self) -> int:
        """Elements without pads."""
        return int(np.prod(self.shape))

    def place(self, state: DenseOptimizer, exact: bool) -> None:
        """Initialise on the target of ``state``, which holds the row."""
        self._state = state
        self.write(self.initializer.values(self.shape))
        self._gradient = GradientSum(state.target, self.padded_shape, exact)

    @property
    def state(self) -> DenseOptimizer:
        """The row and its optimizer."""
        assert self._state is not None, "the graph is not finished"
        return self._state

    @property
    def array(self) -> Any:
        """Values on the target, [.., padded]; a view of the row."""
        return self.state.weights.reshape(self.padded_shape)

    @property
    def gradient(self) -> GradientSum:
        """This step's gradient on this rank, padded."""
        assert self._gradient is not None, "the graph is not finished"
        return self._gradient

    def read(self) -> NDArray[np.float32]:
        """Values without pads, a host copy."""
        return self.unpadded(self.state.target.to_host(self.array)).copy()

    def write(self, values: NDArray[np.float32]) -> None:
        """Set the values; ShapeError unless ``values`` has the variable's shape."""
        if values.shape != self.shape:
            raise ShapeError(f"variable {self.name}: expected shape {self.shape}, found {values.shape}")
        self.state.set_weights(self.padded(values).reshape(-1))

    def read_slots(self) -> dict[str, NDArray[np.float32]]:
        """Optimizer state by field, host copies: arrays of the variable's shape, or numbers of the row."""
        return {
            name: (self.unpadded(part.reshape(self.padded_shape)).copy() if part.size > 1 else part)
            for name, part in self.state.read_state().items()
        }

    def write_slots(self, slots: Mapping[str, NDArray[Any]]) -> None:
        """Set optimizer state by field; ShapeError for a wrong shape, UnknownNameError for an unknown field."""
        current = self.state.read_state()
        for name, part in slots.items():
            if name not in current:
                raise UnknownNameError(f"variable {self.name}: its optimizer has no state {name!r}")
            whole = current[name]
            if whole.size > 1:
                whole = whole.reshape(self.padded_shape)
            goal = self.unpadded(whole) if whole.size > 1 else whole
            if goal.shape != part.shape:
                raise ShapeError(f"variable {self.name}, {name}: expected shape {goal.shape}, found {part.shape}")
            goal[...] = part
        self.state.write_state({name: part.reshape(-1) for name, part in current.items()})

    def unpadded(self, padded: NDArray[Any]) -> NDArray[Any]:
        """The part of a padded array that is the variable's (a view)."""
        return padded[..., : self.shape[-1]]

    def padded(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """``values`` with zero pads, C-contiguous."""
        if self.padded_shape == self.shape:
            return np.ascontiguousarray(values, np.float32)
        padded = np.zeros(self.padded_shape, np.float32)
        padded[..., : self.shape[-1]] = values
        return padded
