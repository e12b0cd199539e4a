"""One synchronous training step and the loop around it. Rule: sync_training 2.2, 5, 6.2.

A step: batch -> ids to owners and rows back (``embeddings.forward``) -> forward and backward of the recorded graph
-> dense gradients reduced -> embedding gradients to owners -> updates -> dense update -> ``global_step + 1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.dense.optimizers import DenseOptimizer
from monolith_ref.errors import ConfigError, ShapeError, UnknownNameError
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.features.tables import TableSpec, assign_columns, plan_tables
from monolith_ref.sync.communicator import Communicator, SerialCommunicator
from monolith_ref.sync.dense import DenseReducer
from monolith_ref.sync.embeddings import ShardedEmbeddings
from monolith_ref.sync.finite import Finding, NonFiniteGuard
from monolith_ref.training.clipping import clip_factor, exact_norm, local_norm
from monolith_ref.training.clock import Clock
from monolith_ref.training.dealing import BatchSource, batches_of
from monolith_ref.training.description import description
from monolith_ref.training.model import MonolithModel, RecordedModel
from monolith_ref.training.observer import ForwardResult, Observer, StepResult
from monolith_ref.training.options import EngineOptions
from monolith_ref.training.rows import make_rows

__all__ = ["Engine", "EngineOptions"]

_FLOAT32_MAX = float(np.finfo(np.float32).max)


class Engine:
    """A model, its tables and its dense variables on one rank, and the step that moves them.

    ``Engine(model, communicator=..., target=..., layout="merged")``: options may be given as an
    :class:`EngineOptions` or one by one.

    Parameters
    ----------
    model : MonolithModel
        Its ``model_fn`` is called once, with symbolic tensors, and records the graph.
    communicator : Communicator or None
        None: one rank.
    target : Target or None
        Where kernels run; None: the CPU.
    observers : sequence of Observer
        See :mod:`monolith_ref.training.observer`.

    Attributes
    ----------
    global_step : int
        Synchronous steps made.
    recorded : RecordedModel
    tables : tuple of TableSpec
    owned : OwnedRows
        This rank's rows, random streams and admission filter.
    embeddings : ShardedEmbeddings
        ``embeddings.tables[name]`` is this rank's part of a table; ``embeddings.wrap`` replaces a stage.
    columns : dict of feature to (first column, width) in x
    observers : list of Observer
    """

    def __init__(
        self,
        model: MonolithModel,
        options: EngineOptions | None = None,
        *,
        communicator: Communicator | None = None,
        target: Target | None = None,
        observers: Sequence[Observer] = (),
        **changes: Any,
    ) -> None:
        if options is not None and changes:
            raise ConfigError("give options as one object or one by one, not both")
        self.options = options if options is not None else EngineOptions(**changes)
        self.model = model
        self.communicator: Communicator = communicator if communicator is not None else SerialCommunicator()
        self.target = target if target is not None else make_target("cpu")
        self.observers = list(observers)
        self.global_step = 0
        self.recorded: RecordedModel = model.record("train", exact=self.options.reduction == "exact")
        self.tables: tuple[TableSpec, ...] = plan_tables(self.recorded.collection, self.options.layout)
        self.columns = assign_columns(self.recorded.collection)
        self.owned = make_rows(self.tables, self.target, model.quirks, self.options)
        self.embeddings = self._make_embeddings()
        self._finish_graph()
        self._reducer = DenseReducer(
            self.communicator,
            self.options.reduction,
            fusion=self.options.fusion,
            wire=self.options.dense_wire,
            skip=self.options.skip_allreduce,
        )
        self._guard = NonFiniteGuard(self.communicator, self.options.non_finite)
        self._clock = Clock()
        varying = any(callable(rate) for spec in self.tables for rate in spec.config.learning_rate_fns)
        self._constant_rates = None if varying else self._rates(0)

    def _make_embeddings(self) -> ShardedEmbeddings:
        options = self.options
        return ShardedEmbeddings(
            self.tables,
            self.owned.stores,
            self.communicator,
            columns=self.columns,
            target=self.target,
            reduction=options.reduction,
            grad_wire=options.grad_wire,
            staleness=options.staleness,
            empty_rank0=options.empty_rank0,
            merge_collisions=options.merge_collisions or "merge_collisions" in self.model.quirks,
            ordered=self.owned.ordered,
        )

    def _finish_graph(self) -> None:
        graph, optimizer = self.recorded.graph, self.recorded.spec.optimizer
        optimizers = {
            name: DenseOptimizer(
                self.target,
                int(np.prod(variable.padded_shape)),
                variable.optimizer or optimizer,
                quirks=self.model.quirks.on,
            )
            for name, variable in graph.variables.items()
        }
        dims = {feature: spec.dim for spec in self.tables for feature in spec.features}
        graph.finish(self.target, self.columns, optimizers, dims)

    # Dense state.

    @property
    def variables(self) -> dict[str, NDArray[np.float32]]:
        """Dense variables by name, host copies."""
        return {name: variable.read() for name, variable in self.recorded.graph.variables.items()}

    @property
    def slots(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """Optimizer state of dense variables, host copies: ``slots["dense_0/kernel"]["accumulator"]``."""
        return {name: variable.read_slots() for name, variable in self.recorded.graph.variables.items()}

    def load_dense(
        self,
        variables: Mapping[str, NDArray[np.float32]],
        slots: Mapping[str, Mapping[str, NDArray[np.float32]]],
        global_step: int,
    ) -> None:
        """Set dense variables, their optimizer state and the step (a restore).

        UnknownNameError for a missing or surplus name, ShapeError for a shape; nothing is set then.
        """
        known = self.recorded.graph.variables
        for name in [*variables, *slots]:
            if name not in known:
                raise UnknownNameError(f"the model has no dense variable {name!r}")
        for name, variable in known.items():
            if name not in variables or name not in slots:
                raise UnknownNameError(f"dense variable {name!r} or its optimizer state is missing")
            if variables[name].shape != variable.shape:
                raise ShapeError(f"{name}: expected shape {variable.shape}, found {variables[name].shape}")
        for name, variable in known.items():
            variable.write(variables[name])
            variable.write_slots(slots[name])
        self.global_step = global_step

    def _rates(self, step: int) -> dict[str, Any]:
        profile = self.options.lr_profile
        return {spec.name: spec.config.call_learning_rate_fns(step, profile) for spec in self.tables}

    def learning_rates(self) -> dict[str, Any]:
        """Rates of this step: table name -> float32 [segments]."""
        return self._rates(self.global_step) if self._constant_rates is None else self._constant_rates

    def configuration(self) -> dict[str, str]:
        """What must be equal on all ranks: tables with their configuration, dense variables, inputs, quirks."""
        return description(self.recorded, self.tables, str(self.model.quirks), self.target.profile)

    # The step.

    def step(self, batch: Batch) -> StepResult:
        """One synchronous step with this rank's rows (all ranks call it together).

        DtypeError, ShapeError or UnknownNameError for a batch that is not well formed or lacks an input; nothing has
        changed then.
        """
        clock, sent_before = self._clock, self._sent()
        clock.seconds = {}
        batch.checked()
        for observer in self.observers:
            observer.on_batch(self.global_step, batch)
        forward = self._forward(batch)
        for observer in self.observers:
            observer.on_forward(forward)
        clock.start()
        graph = self.recorded.graph
        graph.backward()
        assert graph.pooled is not None
        dx = graph.pooled.gradients
        clock.stop("backward")
        loss = self._reduced_loss(batch)
        reduced = self._reduced_dense(batch, dx)
        clock.stop("reduce_dense")
        self.embeddings.backward(dx)
        clock.start()
        if self._is_admitted(batch, dx, reduced):
            clock.stop("check_finite")
            req_time = batch.global_req_time if self.options.reduction == "exact" else batch.req_time
            self.owned.max_ts = max(self.owned.max_ts, req_time)
            self.embeddings.apply(self.learning_rates(), self.global_step, req_time)
            clock.start()
            self._update_dense(reduced)
            clock.stop("dense_update")
        else:
            self.embeddings.discard()
        self.global_step += 1
        result = self._result(forward, loss, dx, reduced, sent_before)
        for observer in self.observers:
            observer.on_step(result)
        return result

    def predict(self, batch: Batch) -> dict[str, NDArray[np.float32]]:
        """Predictions of this rank's rows by head, host copies [rows]; nothing changes. Collective.

        The batch needs every input of the model, labels too. Errors as in :meth:`step`.
        """
        batch.checked()
        return {name: part.copy() for name, part in self._forward(batch).predictions.items()}

    def evict(self) -> dict[str, int]:
        """Remove stale rows, by the largest time of an update on any rank; rows that went, by table. Collective."""
        mine = np.array([self.owned.max_ts], np.int64)
        return self.owned.evict(self.tables, int(self.communicator.allgather(mine, "largest time").max()))

    def _forward(self, batch: Batch) -> ForwardResult:
        graph, clock = self.recorded.graph, self._clock
        rows = batch.rows
        graph.begin(rows, float(batch.global_rows if self.options.reduction == "exact" else rows))
        assert graph.pooled is not None
        x = graph.pooled.values
        self.embeddings.forward(batch.ragged, rows, x)
        clock.start()
        for name in graph.inputs:
            if name not in batch.dense:
                raise UnknownNameError(f"the model reads {name!r}, which the batch does not have")
            graph.feed(name, batch.dense[name])
        graph.forward()
        clock.stop("forward")
        heads = self.recorded.heads
        return ForwardResult(
            step=self.global_step,
            batch=batch,
            x=self.target.to_host(x)[:, : graph.pooled.width],
            columns=self.columns,
            predictions={head.name: head.prediction.host().reshape(-1) for head in heads},
        )

    def _reduced_dense(self, batch: Batch, dx: Any) -> dict[str, NDArray[np.float32]]:
        """Dense gradients (padded) over all ranks; they and ``dx`` are clipped on the way."""
        variables = self.recorded.graph.variables
        limit, ragged = self.options.clip_norm, batch.ragged
        if self.options.reduction == "exact":
            partials = {name: variable.gradient.partial() for name, variable in variables.items()}
            shapes = {name: variable.padded_shape for name, variable in variables.items()}
            reduced = self._reducer.reduce_exact(partials, shapes)
            if limit is not None:
                host = self.target.to_host(dx)
                norm = exact_norm(self.communicator, reduced.values(), host, ragged, self.columns)
                reduced = self._clipped(clip_factor(limit, norm), reduced, dx)
        else:
            own = {name: variable.gradient.total() for name, variable in variables.items()}
            if limit is not None:
                norm = local_norm(own.values(), self.target.to_host(dx), ragged, self.columns)
                own = self._clipped(clip_factor(limit, norm), own, dx)
            reduced = self._reducer.reduce(own)
        decay = np.float32(self.options.dense_weight_decay)
        if decay:
            for name, variable in variables.items():
                reduced[name] = reduced[name] + decay * self.target.to_host(variable.array)
        return reduced

    def _clipped(
        self, factor: np.float32 | None, gradients: dict[str, NDArray[np.float32]], dx: Any
    ) -> dict[str, NDArray[np.float32]]:
        """The gradients times ``factor`` (None: as they are); ``dx`` is scaled in place."""
        if factor is None:
            return gradients
        whole = dx.reshape(-1)
        self.target.dense.scale(whole, float(factor), whole)
        return {name: gradient * factor for name, gradient in gradients.items()}

    def _reduced_loss(self, batch: Batch) -> np.float32:
        """Losses of all heads, each reduced over the ranks, added in order."""
        total: np.float32 | None = None
        for term in self.recorded.spec.loss.terms:
            if self.options.reduction == "exact":
                value = self._reducer.reduce_loss_exact(term.partial(), batch.global_rows)
            else:
                value = self._reducer.reduce_loss(*term.share())
            total = value if total is None else np.float32(total + value)
        assert total is not None
        return total

    def _is_admitted(self, batch: Batch, dx: Any, reduced: Mapping[str, NDArray[np.float32]]) -> bool:
        """Whether the step goes on to its updates, on all ranks alike."""
        if self.options.non_finite == "propagate":
            return True
        dense = self._find_non_finite(reduced)
        if self._guard.is_settled(dense is None and self._sums_are_finite(batch, dx)):
            return True
        return self._guard.admits(self.embeddings.find_non_finite() or dense, self.global_step)

    def _find_non_finite(self, reduced: Mapping[str, NDArray[np.float32]]) -> Finding | None:
        variables = self.recorded.graph.variables
        for name, gradient in reduced.items():
            flat = variables[name].unpadded(gradient).reshape(-1)
            if not np.isfinite(flat).all():
                element = int(np.flatnonzero(~np.isfinite(flat))[0])
                return Finding(name, element, float(flat[element]), received=self.communicator.size > 1)
        return None

    def _sums_are_finite(self, batch: Batch, dx: Any) -> bool:
        """True where this rank's part of no sum of gradients can overflow, so that nobody need look at each.

        A part below the largest float over the number of ranks: if that holds on every rank, sums over ranks are
        finite too.
        """
        if self.options.grad_wire == "f16":
            return False
        if not batch.rows:
            return True
        whole = self.target.to_host(dx)
        largest = max(float(whole.max()), -float(whole.min()))
        occurrences = self.communicator.size * sum(len(batch.ragged[name].values) for name in self.columns)
        # A NaN makes the comparison false.
        return largest * max(occurrences, 1) < _FLOAT32_MAX

    def _update_dense(self, reduced: Mapping[str, NDArray[np.float32]]) -> None:
        for name, variable in self.recorded.graph.variables.items():
            variable.state.update(reduced[name].reshape(-1), self.global_step)

    def _no_rows(self) -> Batch:
        """What a rank without data takes part with."""
        none = Ragged(np.empty(0, np.int64), np.zeros(1, np.int64))
        inputs = self.recorded.graph.inputs
        dense = {name: np.empty((0, *tensor.tail), np.float32) for name, tensor in inputs.items()}
        return Batch(dict.fromkeys(self.columns, none), dense, 0)

    def _sent(self) -> dict[str, int]:
        return {what: traffic.sent for what, traffic in self.communicator.traffic.items()}

    def _result(
        self,
        forward: ForwardResult,
        loss: np.float32,
        dx: Any,
        reduced: Mapping[str, NDArray[np.float32]],
        sent_before: Mapping[str, int],
    ) -> StepResult:
        graph = self.recorded.graph
        assert graph.pooled is not None
        return StepResult(
            step=forward.step,
            forward=forward,
            loss=loss,
            dx=self.target.to_host(dx)[:, : graph.pooled.width],
            dense_gradients={name: graph.variables[name].unpadded(part) for name, part in reduced.items()},
            updated=self.embeddings.updated() if self.observers else {},
            seconds={**self.embeddings.seconds, **self._clock.seconds},
            sent_bytes={what: sent - sent_before.get(what, 0) for what, sent in self._sent().items()},
        )

    # The loop.

    def train(self, source: BatchSource | Iterable[Batch], steps: int | None = None) -> int:
        """Steps until ``global_step`` is ``steps`` or the data ends; returns how many were made now.

        Where ranks bring data of their own, the first end counts, with ``uneven="pad"`` the last.
        """
        if steps is not None and steps < 0:
            raise ConfigError(f"training.steps must not be negative, it is {steps}")
        first = self.global_step
        for observer in self.observers:
            observer.on_start(self)
        nothing = self._no_rows() if self.options.uneven == "pad" else None
        for batch in batches_of(source, self.communicator, first, steps, nothing):
            self.step(batch)
        self.embeddings.flush()
        for observer in self.observers:
            observer.on_end(self)
        return self.global_step - first
