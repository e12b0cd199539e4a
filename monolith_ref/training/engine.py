"""One synchronous training step and the loop around it. Rule: sync_training 2.2, 5, 6.2.

A step: batch -> ids to owners and rows back (``embeddings.forward``) -> forward and backward of the recorded graph
-> dense gradients reduced -> embedding gradients to owners and updates -> dense update -> ``global_step + 1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from monolith_ref.features.ragged import Batch
from monolith_ref.features.tables import Layout, TableSpec
from monolith_ref.training.dealing import BatchSource
from monolith_ref.training.observer import Observer, StepResult

if TYPE_CHECKING:
    from monolith_kernels.target import Target

__all__ = ["Engine", "Reduction"]

Reduction = Literal["sequential", "sum", "mean", "exact"]


class Engine:
    """A model, its tables and its dense variables on one rank, and the step that moves them.

    Parameters
    ----------
    model : MonolithModel
        Its ``model_fn`` is called once, with symbolic tensors, and records the graph.
    communicator : monolith_ref.sync.Communicator or None
        None: one rank.
    target : Target or None
        Where kernels run; None: ``target("cpu")``.
    layout, reduction : see sync_training 2.5 and 5
    empty_rank0 : bool
        Rank 0 owns no rows (only for more than 4 ranks).
    clip_norm : float or None
        None: the model's ``p.train.clip_norm``... 0 or None there: no clipping.
    merge_collisions : bool
        The quirk of that name: features of a merged table may share ids.

    Attributes
    ----------
    global_step : int
        Synchronous steps made.
    tables : tuple of TableSpec
    embeddings : monolith_ref.sync.ShardedEmbeddings
        ``embeddings.tables[name]`` is this rank's part of a table.
    variables : mapping of name to float32 array (``dense_0/kernel``, ``dense_0/bias`` ...)
    slots : mapping of name to mapping of slot name to float32 array (``slots["dense_0/kernel"]["accumulator"]``)
    columns : mapping of feature to (first column, width) in x
    """

    global_step: int
    tables: tuple[TableSpec, ...]
    embeddings: Any
    columns: Mapping[str, tuple[int, int]]

    def __init__(
        self,
        model: Any,
        *,
        communicator: Any = None,
        target: Target | None = None,
        layout: Layout = "multi",
        reduction: Reduction = "sequential",
        empty_rank0: bool = False,
        clip_norm: float | None = None,
        merge_collisions: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        raise NotImplementedError

    @property
    def variables(self) -> Mapping[str, NDArray[np.float32]]:
        """Dense variables by name, host arrays (copies where they live on a device)."""
        raise NotImplementedError

    @property
    def slots(self) -> Mapping[str, Mapping[str, NDArray[np.float32]]]:
        """Optimizer state of the dense variables: variable name -> state name -> host array."""
        raise NotImplementedError

    def load_dense(
        self,
        variables: Mapping[str, NDArray[np.float32]],
        slots: Mapping[str, Mapping[str, NDArray[np.float32]]],
        global_step: int,
    ) -> None:
        """Set dense variables, their optimizer state and the step (a restore); names and shapes must match."""
        raise NotImplementedError

    def step(self, batch: Batch) -> StepResult:
        """One synchronous step with this rank's rows (all ranks call it together)."""
        raise NotImplementedError

    def train(self, source: BatchSource | Iterable[Batch], steps: int | None = None) -> int:
        """Steps until ``global_step`` is ``steps`` or the data ends (on any rank); returns the steps made now."""
        raise NotImplementedError
