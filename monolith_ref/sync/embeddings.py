"""Embeddings spread over ranks: the exchanges of a step, in stages that can be replaced one by one.

Rule: sync_training 2.2 to 2.5 and 5. The way of a batch::

    forward:  dedup -> exchange_ids -> lookup -> exchange_rows -> pool
    backward: gradient_sums -> exchange_gradients
    apply:    update

Each stage is a callable that takes the :class:`~monolith_ref.sync.step.Step` in hand; ``ShardedEmbeddings.stages``
maps its name to it, and :meth:`ShardedEmbeddings.wrap` replaces one by a wrapper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.step import Step

if TYPE_CHECKING:
    from monolith_ref.features.ragged import Ragged

__all__ = ["STAGES", "Reduction", "ShardedEmbeddings", "Stage", "TableLike"]

Reduction = Literal["sequential", "sum", "mean", "exact"]
Stage = Callable[[Step], None]

STAGES = (
    "dedup",
    "exchange_ids",
    "lookup",
    "exchange_rows",
    "pool",
    "gradient_sums",
    "exchange_gradients",
    "update",
)
"""Names of the stages, in the order in which a step runs them."""


class TableLike(Protocol):
    """What this room needs to know of a table's plan (``monolith_ref.features.tables.TableSpec`` has it)."""

    @property
    def name(self) -> str:
        """Tables are exchanged in string order of their names."""
        ...

    @property
    def features(self) -> tuple[str, ...]:
        """Features that read the table, in string order."""
        ...

    @property
    def slots(self) -> tuple[int, ...]:
        """Slot of each feature (-1 or None: ids carry no slot)."""
        ...

    @property
    def dim(self) -> int:
        """Floats of an embedding."""
        ...


class ShardedEmbeddings:
    """The embedding tables of a model, each row on the rank that owns its id.

    Parameters
    ----------
    plans : sequence of TableLike
    tables : mapping of table name to RowStore
        This rank's part of each table (``monolith_ref.table.store``).
    communicator : Communicator
    columns : mapping of feature to (first column, width), optional
        Where each feature's sums go in x; default: features in the order of ``plans``, side by side.
    reduction : {"sequential", "sum", "mean", "exact"}
    grad_wire : {"f32", "f16"}
        How gradients travel; "f16" with "exact" is a ConfigError.
    staleness : int
        Step t reads rows as after update t - 1 - staleness.
    empty_rank0 : bool
        Rank 0 owns nothing, where there are more than 4 ranks.
    merge_collisions : bool
        Quirk: features of a merged table may share ids.

    Attributes
    ----------
    tables : dict of table name to RowStore
    width : int
        Columns of x.
    stages : dict of stage name to callable
    seconds : dict of stage name to float
        Wall time of the stages of the latest step.
    """

    def __init__(
        self,
        plans: Sequence[TableLike],
        tables: Mapping[str, Any],
        communicator: Communicator,
        *,
        columns: Mapping[str, tuple[int, int]] | None = None,
        reduction: Reduction = "sequential",
        grad_wire: Literal["f32", "f16"] = "f32",
        staleness: int = 0,
        empty_rank0: bool = False,
        merge_collisions: bool = False,
    ) -> None:
        raise NotImplementedError

    def wrap(self, stage: str, wrapper: Callable[[Stage, Step], None]) -> None:
        """Replace a stage: the new one calls ``wrapper(old, step)``. UnknownNameError for other names."""
        raise NotImplementedError

    def forward(
        self, batch: Mapping[str, Ragged], rows: int, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Sums of embeddings of every feature and row.

        ``batch`` has one :class:`Ragged` of ``rows`` rows per feature (0 rows: this rank takes part with nothing).
        Returns x, float32 [rows, width] (``out``, which may be padded on the right, or a buffer that the next step
        reuses).
        """
        raise NotImplementedError

    def pooled(self) -> dict[str, NDArray[np.float32]]:
        """Feature -> its columns of the latest x (views)."""
        raise NotImplementedError

    def backward(self, dx: NDArray[np.float32]) -> None:
        """Sum the gradients of this rank's occurrences per id and send them to the owners.

        ``dx`` is the gradient of x, float32 [rows, >= width]. No row changes.
        """
        raise NotImplementedError

    def find_non_finite(self) -> Any:
        """The first NaN or infinity among the gradients of the step on this rank (a ``Finding``), or None."""
        raise NotImplementedError

    def apply(self, learning_rates: Mapping[str, Sequence[float]], global_step: int, req_time: int = 0) -> None:
        """Update the rows of the ids that ranks sent; with staleness, those of an earlier step.

        ``learning_rates``: table name -> one float per segment.
        """
        raise NotImplementedError

    def discard(self) -> None:
        """Forget the gradients of the step in hand (``training.non_finite = skip``)."""
        raise NotImplementedError

    def flush(self) -> None:
        """Apply all updates that staleness still holds back (end of training)."""
        raise NotImplementedError

    def updated(self) -> dict[str, NDArray[np.int64]]:
        """Table name -> distinct fids that this rank, as owner, updated in the latest :meth:`apply`."""
        raise NotImplementedError

    def owner(self, fids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rank that owns each id."""
        raise NotImplementedError
