"""Dense optimizers: the rules of embedding rows applied to a variable as one row. Rule: optimizers, features 7,
checkpoints 5.3.

A dense optimizer is named by the same class as a row's (``entry.AdagradOptimizer(...)``). Its state is one row
``[values | state | words]``; words (adam's powers) are one per variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from monolith_kernels import rules
from monolith_kernels.layout import RowLayout, Segment
from numpy.typing import NDArray

from monolith_ref.dense.storage import aligned_zeros
from monolith_ref.entry import Optimizer, StochasticRoundingFloat16OptimizerWrapper
from monolith_ref.errors import ConfigError
from monolith_ref.learning_rate import rate_vector

if TYPE_CHECKING:
    from monolith_kernels.target import Target

__all__ = ["ACCUMULATOR", "DenseOptimizer", "checked_optimizer"]

ACCUMULATOR = {"norm": "accumulator"}
"""Names of state fields in checkpoints where they differ from the rule's."""


def checked_optimizer(optimizer: Any) -> Optimizer:
    """An optimizer that dense variables can have; ConfigError else."""
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(
            "a dense optimizer is an optimizer of monolith_ref.entry such as AdagradOptimizer(learning_rate=0.05), "
            f"not {type(optimizer).__name__}"
        )
    if isinstance(optimizer, StochasticRoundingFloat16OptimizerWrapper):
        raise ConfigError("stochastic rounding is for embedding rows, not for dense variables")
    return optimizer


class DenseOptimizer:
    """The row of one variable of ``size`` (padded) numbers, and its update.

    ``rate`` is a number or a function of the global step; None: the optimizer's own learning rate.
    """

    def __init__(self, target: Target, size: int, optimizer: Optimizer, rate: Any = None, quirks: Any = ()) -> None:
        message = checked_optimizer(optimizer).as_proto()
        rule = message.WhichOneof("type")
        assert rule is not None
        config = getattr(message, rule)
        values = {field.name: value for field, value in config.ListFields() if field.name != "dim_size"}
        self.target = target
        self.size = size
        self.rule = rule
        self.rate = getattr(config, "learning_rate", 0.0) if rate is None else rate
        self.layout = RowLayout.of([Segment(size, rules.make(rule, values, quirks))])
        row = aligned_zeros(1, self.layout.width)
        row[0] = self.layout.template()
        self.row = target.asarray(row)
        self._gradient = target.asarray(aligned_zeros(1, self.layout.embedding_width))
        self._number = target.asarray(np.zeros(1, np.int32))

    @property
    def weights(self) -> Any:
        """The variable's numbers on the target, flat [size]; a view of the row."""
        return self.row.reshape(-1)[: self.size]

    def set_weights(self, weights: NDArray[np.float32]) -> None:
        """Set the variable's numbers from a host array [size]."""
        row = self.target.to_host(self.row)
        row[0, : self.size] = weights
        self._put(row)

    def _put(self, row: NDArray[np.float32]) -> None:
        if row is not self.row:
            self.row[:] = self.target.asarray(row)

    def read_state(self) -> dict[str, NDArray[Any]]:
        """State by checkpoint name, host copies: [size], or [1] for words of the row."""
        state = self.layout.states_of(self.target.to_host(self.row))[0]
        return {ACCUMULATOR.get(name, name): part.reshape(-1) for name, part in state.items()}

    def write_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Set state by checkpoint name, in the shapes of :meth:`read_state`."""
        fields = {ours: name for name, ours in ACCUMULATOR.items()}
        row = self.target.to_host(self.row)
        self.layout.set_states(row, [{fields.get(name, name): part for name, part in state.items()}])
        self._put(row)

    def update(self, gradient: NDArray[np.float32], global_step: int) -> None:
        """One step with a host gradient [size]."""
        rates = rate_vector([self.rate], global_step)
        if self.target.name == "cpu":
            self._gradient[0, : self.size] = gradient
        else:
            host = aligned_zeros(1, self.layout.embedding_width)
            host[0, : self.size] = gradient
            self._gradient[:] = self.target.asarray(host)
        self.target.optimize.update(
            self.target.profile,
            self.layout,
            self.row,
            self._number,
            self._gradient,
            self.layout.embedding_width,
            rates,
            global_step,
        )
