"""What one step of the engine shows to whoever watches it: the comparison, reports, hooks of users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.features.ragged import Batch

__all__ = ["ForwardResult", "Observer", "StepResult"]


@dataclass(slots=True)
class ForwardResult:
    """After the forward pass, before any gradient.

    Arrays are host views of the engine's buffers, valid until the next step: copy what must last.

    Attributes
    ----------
    step : int
        Number of the step, from 0.
    batch : Batch
        This rank's rows.
    x : float32 [rows, width]
        Pooled embeddings of all features side by side, in the order of ``columns``.
    columns : mapping of feature name to (first column, width)
    predictions : mapping of head name to float32 [rows]
    """

    step: int
    batch: Batch
    x: NDArray[np.float32]
    columns: Mapping[str, tuple[int, int]]
    predictions: Mapping[str, NDArray[np.float32]]


@dataclass(slots=True)
class StepResult:
    """After the updates of a step; arrays as in :class:`ForwardResult`.

    Attributes
    ----------
    step : int
        Number of the step that was made, from 0 (the engine's ``global_step`` is already one more).
    forward : ForwardResult
    loss : float32
        The loss reduced over all ranks (sync_training 6.2).
    dx : float32 [rows, width]
        Gradient of the rank's loss with respect to ``forward.x``.
    dense_gradients : mapping of variable name to float32 array
        Reduced over all ranks, as the dense optimizer received them.
    updated : mapping of table name to int64 [k]
        Fids that this rank, as owner, updated in the step (distinct).
    seconds : mapping of phase to float
        Wall time of each phase on this rank: the stages of ``sync.embeddings.STAGES``, and ``forward``, ``backward``,
        ``reduce_dense``, ``check_finite``, ``dense_update``.
    sent_bytes : mapping of exchange to int
        Bytes that this rank sent to others.
    """

    step: int
    forward: ForwardResult
    loss: np.float32
    dx: NDArray[np.float32]
    dense_gradients: Mapping[str, NDArray[np.float32]]
    updated: Mapping[str, NDArray[np.int64]]
    seconds: dict[str, float] = field(default_factory=dict)
    sent_bytes: dict[str, int] = field(default_factory=dict)


class Observer:
    """Override what you need; an exception that a method raises ends the run on all ranks."""

    def on_start(self, engine: Any) -> None:
        """Once, before the first step (after a restore, if any)."""

    def on_batch(self, step: int, batch: Batch) -> None:
        """Before the step looks anything up."""

    def on_forward(self, forward: ForwardResult) -> None:
        """After the forward pass, before any gradient."""

    def on_step(self, result: StepResult) -> None:
        """After all updates of a step."""

    def on_end(self, engine: Any) -> None:
        """Once, after the last step."""
