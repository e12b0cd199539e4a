"""Embeddings spread over ranks: the exchanges of a step, in stages that can be replaced one by one.

Rule: sync_training 2.2 to 2.5 and 5. The way of a batch::

    forward:  dedup -> exchange_ids -> lookup -> exchange_rows -> pool
    backward: gradient_sums -> exchange_gradients -> reduce
    apply:    update

Each stage is a callable that takes the :class:`~monolith_ref.sync.step.Step` in hand; ``ShardedEmbeddings.stages``
maps its name to it, and :meth:`ShardedEmbeddings.wrap` replaces one by a wrapper.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from monolith_kernels.arrays import I8
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError, ShapeError, StateError, UnknownNameError
from monolith_ref.sync.buffers import Buffers
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.finite import Finding
from monolith_ref.sync.inspect import find_non_finite
from monolith_ref.sync.owner import make_reduction
from monolith_ref.sync.plan import ExchangePlan, TableLike
from monolith_ref.sync.sharing import by_group
from monolith_ref.sync.stages import Backward, Forward
from monolith_ref.sync.step import Step, Update
from monolith_ref.table.several import SeveralStores, Wanted

if TYPE_CHECKING:
    from monolith_ref.features.ragged import Ragged

__all__ = ["STAGES", "Reduction", "ShardedEmbeddings", "Stage"]

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
    "reduce",
    "update",
)
"""Names of the stages, in the order in which a step runs them."""


@dataclass(frozen=True, slots=True)
class _When:
    """What the optimizers of one step's updates are told: rates per table, global step, time of rows."""

    rates: tuple[NDArray[np.float32], ...]
    global_step: int
    req_time: int


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
    target : Target, optional
        Where kernels run; default: the CPU.
    reduction : {"sequential", "sum", "mean", "exact"}
    grad_wire : {"f32", "f16"}
        How gradients travel; "f16" with "exact" is a ConfigError.
    staleness : int
        Step t reads rows as after update t - 1 - staleness.
    empty_rank0 : bool
        Rank 0 owns nothing, where there are more than 4 ranks.
    merge_collisions : bool
        Quirk: features of a merged table may share ids.
    ordered : collection of str
        Tables whose updates draw from something that they share: made one after the other, whatever the threads.

    Attributes
    ----------
    tables : dict of table name to RowStore
    plan : ExchangePlan
    stages : dict of stage name to callable
    seconds : dict of stage name to float
        Wall time of each stage in the latest step.
    """

    def __init__(
        self,
        plans: Sequence[TableLike],
        tables: Mapping[str, Any],
        communicator: Communicator,
        *,
        columns: Mapping[str, tuple[int, int]] | None = None,
        target: Target | None = None,
        reduction: Reduction = "sequential",
        grad_wire: Literal["f32", "f16"] = "f32",
        staleness: int = 0,
        empty_rank0: bool = False,
        merge_collisions: bool = False,
        ordered: Collection[str] = (),
    ) -> None:
        if reduction not in ("sequential", "sum", "mean", "exact"):
            raise ConfigError(f"sync.reduction must be sequential, sum, mean or exact, not {reduction!r}")
        if grad_wire not in ("f32", "f16"):
            raise ConfigError(f"sync.embedding_grad_wire must be f32 or f16, not {grad_wire!r}")
        if reduction == "exact" and grad_wire == "f16":
            raise ConfigError("sync.reduction=exact needs unrounded gradients, sync.embedding_grad_wire is f16")
        if staleness < 0:
            raise ConfigError(f"sync.staleness must not be negative, it is {staleness}")
        self.plan = ExchangePlan(plans, columns)
        for table in self.plan.tables:
            if table.name not in tables:
                raise ConfigError(f"there is no table {table.name!r}")
            if tables[table.name].dim != table.dim:
                raise ConfigError(
                    f"table {table.name!r} has {tables[table.name].dim} floats a row, planned are {table.dim}"
                )
        self.tables = {table.name: tables[table.name] for table in self.plan.tables}
        self.communicator = communicator
        self.target = target if target is not None else make_target("cpu")
        self.empty_rank0 = empty_rank0
        self.seconds: dict[str, float] = {}
        self._staleness = staleness
        buffers = Buffers(self.target)
        forward = Forward(
            self.plan,
            self.tables,
            communicator,
            self.target,
            buffers,
            empty_rank0=empty_rank0,
            merge_collisions=merge_collisions,
        )
        backward = Backward(
            self.plan,
            communicator,
            self.target,
            buffers,
            exact=reduction == "exact",
            half=grad_wire == "f16",
        )
        owner = make_reduction(reduction, self.plan, self.target, buffers, communicator.size)
        self.stages: dict[str, Stage] = {
            "dedup": forward.dedup,
            "exchange_ids": forward.exchange_ids,
            "lookup": forward.lookup,
            "exchange_rows": forward.exchange_rows,
            "pool": forward.pool,
            "gradient_sums": backward.gradient_sums,
            "exchange_gradients": backward.exchange_gradients,
            "reduce": owner.reduce,
            "update": self._update,
        }
        self._stores = [self.tables[table.name] for table in self.plan.tables]
        self._several = SeveralStores(self._stores, self.target)
        self._groups = [-1 if table.name in ordered else n for n, table in enumerate(self.plan.tables)]
        self._step: Step | None = None
        self._summed = False
        self._waiting: deque[tuple[list[Update], _When]] = deque()
        self._applied: list[Update] = []
        self._when: _When | None = None

    @property
    def width(self) -> int:
        """Columns of x."""
        return self.plan.width

    @property
    def columns(self) -> dict[str, tuple[int, int]]:
        """Feature -> (first column, width) in x."""
        return self.plan.columns

    @property
    def step(self) -> Step:
        """The step in hand."""
        if self._step is None:
            raise StateError("no batch has been looked up yet")
        return self._step

    def wrap(self, stage: str, wrapper: Callable[[Stage, Step], None]) -> None:
        """Replace a stage: the new one calls ``wrapper(old, step)``. UnknownNameError for other names."""
        if stage not in self.stages:
            raise UnknownNameError(f"there is no stage {stage!r}; there are {', '.join(STAGES)}")
        old = self.stages[stage]
        self.stages[stage] = lambda step: wrapper(old, step)

    def forward(self, batch: Mapping[str, Ragged], rows: int, out: Any = None) -> Any:
        """Sums of embeddings of every feature and row.

        ``batch`` has one :class:`Ragged` of ``rows`` rows per feature (0 rows: this rank takes part with nothing).
        Returns x on the target, float32 [rows, width or more] (``out``, or a buffer that the next step reuses, padded
        with zeros to a multiple of 16 columns).
        """
        for table in self.plan.tables:
            for feature in table.features:
                ragged = batch.get(feature.name)
                if ragged is None:
                    raise UnknownNameError(f"the batch has no feature {feature.name!r}")
                if ragged.rows != rows:
                    raise ShapeError(f"feature {feature.name!r} has {ragged.rows} rows in a batch of {rows}")
        self._step, self._summed = Step(batch, rows, x=out), False
        self._run("dedup", "exchange_ids", "lookup", "exchange_rows", "pool")
        return self._step.x

    def pooled(self) -> dict[str, Any]:
        """Feature -> its columns of the latest x (views)."""
        x = self.step.x
        return {name: x[:, first : first + width] for name, (first, width) in self.plan.columns.items()}

    def backward(self, dx: Any) -> None:
        """Sum the gradients of this rank's occurrences per id, send them to the owners, reduce them there.

        ``dx`` is the gradient of x on the target, float32 [rows, width or more], C-contiguous. No row changes.
        """
        self.step.dx = dx
        self._run("gradient_sums", "exchange_gradients", "reduce")
        self._summed = True

    def find_non_finite(self) -> Finding | None:
        """The first NaN or infinity among the gradients that this rank summed, or as owner is about to use."""
        return find_non_finite(self.step, self.plan, self.target)

    def apply(self, learning_rates: Mapping[str, Sequence[float]], global_step: int, req_time: int = 0) -> None:
        """Update the rows of the ids that ranks sent; with staleness, those of an earlier step.

        ``learning_rates``: table name -> one float per segment.
        """
        if not self._summed:
            raise StateError("there are no gradients to apply: backward comes first")
        rates = tuple(np.asarray(learning_rates[table.name], np.float32) for table in self.plan.tables)
        when = _When(rates, global_step, req_time)
        updates = self.step.updates
        if self._staleness:
            self._waiting.append((_kept(updates, self.plan.dims), when))
            self._applied = []
            if len(self._waiting) <= self._staleness:
                return
            self.step.updates, when = self._waiting.popleft()
        self._when, self._summed = when, False
        self._run("update")

    def discard(self) -> None:
        """Forget the gradients of the step in hand (``training.non_finite=skip``)."""
        self.step.updates = []
        self._summed, self._applied = False, []

    def flush(self) -> None:
        """Apply all updates that staleness still holds back (end of training)."""
        while self._waiting:
            self.step.updates, self._when = self._waiting.popleft()
            self._run("update")

    @property
    def held_back(self) -> int:
        """Updates that staleness still holds back."""
        return len(self._waiting)

    def updated(self) -> dict[str, NDArray[np.int64]]:
        """Table name -> distinct fids that this rank, as owner, updated in the latest :meth:`apply`."""
        parts: dict[str, list[NDArray[np.int64]]] = {table.name: [] for table in self.plan.tables}
        for update in self._applied:
            parts[self.plan.tables[update.table].name].append(self.target.to_host(update.ids))
        return {
            name: ids[0].copy() if len(ids) == 1 else np.unique(np.concatenate([*ids, np.empty(0, np.int64)]))
            for name, ids in parts.items()
        }

    def owner(self, fids: I8) -> NDArray[np.int32]:
        """Rank that owns each id."""
        out = self.target.empty(len(fids), np.int32)
        self.target.shard.owners(
            self.target.asarray(np.asarray(fids, np.int64)), self.communicator.size, self.empty_rank0, out
        )
        host: NDArray[np.int32] = self.target.to_host(out)
        return host

    def _update(self, step: Step) -> None:
        """Stage ``update``: every optimizer call of a table in order."""
        assert self._when is not None
        when = self._when

        def one(update: Update) -> None:
            store = self._stores[update.table]
            if update.skip is None:
                rows = store.find_or_insert(update.ids, update.rows)
            else:
                rows = self._rows_but(store, update)
            store.optimize(
                rows,
                update.gradients,
                when.rates[update.table],
                when.global_step,
                when.req_time,
                update.start,
                distinct=True,
            )

        by_group(self.target, self._update_together(step.updates, when), lambda update: self._groups[update.table], one)
        self._applied = step.updates

    def _update_together(self, updates: list[Update], when: _When) -> list[Update]:
        """Make those updates that several tables can share a call for; the others are returned."""
        can = self._several.can_update()
        left = [update for update in updates if update.skip is not None or update.rows is None or not can[update.table]]
        # A table that has one of these has all its updates made by itself: their order counts.
        alone = {update.table for update in left}
        tables = {update.table for update in updates} - alone
        if len(tables) < self.target.threads:
            return updates
        together = [
            Wanted(update.table, update.ids, update.rows, update.start) for update in updates if update.table in tables
        ]
        if together:
            gradients = next(update.gradients for update in updates if update.table in tables)
            self._several.update(together, gradients, when.rates, when.global_step, when.req_time)
        return [update for update in updates if update.table in alone]

    def _rows_but(self, store: Any, update: Update) -> Any:
        """Rows of an update's ids, -1 for those that are left out."""
        target = self.target
        kept = np.delete(np.arange(update.ids.shape[0]), update.skip)
        rows = np.full(update.ids.shape[0], -1, np.int32)
        known = None if update.rows is None else target.asarray(np.ascontiguousarray(target.to_host(update.rows)[kept]))
        ids = target.asarray(np.ascontiguousarray(target.to_host(update.ids)[kept]))
        rows[kept] = target.to_host(store.find_or_insert(ids, known))
        return target.asarray(rows)

    def _run(self, *names: str) -> None:
        for name in names:
            since = perf_counter()
            self.stages[name](self.step)
            self.seconds[name] = perf_counter() - since


def _kept(updates: list[Update], dims: NDArray[np.int64]) -> list[Update]:
    """Copies that outlast the buffers of their step (host arrays move with ``asarray`` when they are used)."""
    kept = []
    for update in updates:
        count = update.ids.shape[0]
        stop = update.start + count * int(dims[update.table])
        kept.append(
            Update(update.table, _copy(update.ids), _copy(update.gradients[update.start : stop]), 0, skip=update.skip)
        )
    return kept


def _copy(array: Any) -> Any:
    """A copy on the same target."""
    if isinstance(array, np.ndarray):
        return array.copy()
    from numba import cuda

    return cuda.to_device(array.copy_to_host())
