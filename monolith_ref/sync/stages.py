"""The stages of a step up to the gradients at the owners. Rule: sync_training 2.2 steps 1 to 6.

``Forward`` takes ids to their owners and rows back; ``Backward`` sums gradients per id and takes them to the owners.
Each public method is one stage and takes the step in hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from monolith_kernels import tables
from monolith_kernels.target import Target
from numpy.typing import NDArray

from monolith_ref.errors import ShapeError
from monolith_ref.sync.buffers import Buffers
from monolith_ref.sync.collisions import check_collisions
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.plan import ExchangePlan, FeaturePlan
from monolith_ref.sync.pooling import Terms, gradient_terms, pool
from monolith_ref.sync.sharing import by_group
from monolith_ref.sync.step import Block, Step
from monolith_ref.sync.wide import elements_of, exchange_wide, wide_sums
from monolith_ref.table.several import SeveralStores, Wanted

__all__ = ["Backward", "Forward"]

ALIGN = 16
"""x and its gradient are padded to a multiple of this many columns: dense kernels are fastest so."""


class Forward:
    """Stages ``dedup``, ``exchange_ids``, ``lookup``, ``exchange_rows``, ``pool``."""

    def __init__(
        self,
        plan: ExchangePlan,
        stores: Mapping[str, Any],
        communicator: Communicator,
        target: Target,
        buffers: Buffers,
        *,
        empty_rank0: bool,
        merge_collisions: bool,
    ) -> None:
        self._plan = plan
        self._tables = [stores[table.name] for table in plan.tables]
        self._several = SeveralStores(self._tables, target)
        features = [(feature, table.dim) for table in plan.tables for feature in table.features]
        together = [target.name == "cpu" and feature.combiner.name == "reduce_sum" for feature, _ in features]
        self._summed = [
            tables.Feature(number, dim, feature.column)
            for number, (feature, dim) in enumerate(features)
            if together[number]
        ]
        self._combined = [
            (number, feature, dim) for number, (feature, dim) in enumerate(features) if not together[number]
        ]
        self._communicator = communicator
        self._target = target
        self._buffers = buffers
        self._empty_rank0 = empty_rank0
        self._merge_collisions = merge_collisions
        self._scratch = target.dedup.Scratch()

    def dedup(self, step: Step) -> None:
        """Ids of all features in table order, distinct per table, dealt to owners."""
        target, plan = self._target, self._plan
        features = [(k, feature.name) for k, table in enumerate(plan.tables) for feature in table.features]
        parts = [step.batch[name].values for _, name in features]
        ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        values = self._buffers.host("values", int(ends[-1]), np.int64)
        table_splits = np.zeros(len(plan.tables) + 1, np.int64)
        splits = np.empty((len(features), step.rows + 1), np.int64)
        for i, (k, name) in enumerate(features):
            table_splits[k + 1] = ends[i + 1]
            np.add(step.batch[name].row_splits, ends[i], out=splits[i])
        if parts:
            np.concatenate(parts, out=values)
        step.splits = splits if target.name == "cpu" else [target.asarray(row) for row in splits]
        np.maximum.accumulate(table_splits, out=table_splits)
        if not self._merge_collisions:
            check_collisions(plan, step.batch, self._communicator)
        step.unique = target.dedup.unique_tables(target.asarray(values), table_splits, self._scratch, target.threads)
        step.split = target.shard.split(
            step.unique.unique, step.unique.unique_splits, self._communicator.size, self._empty_rank0
        )
        step.offsets = target.shard.offsets(
            step.split.order, step.unique.unique_splits, step.split.owner_table_counts, plan.dims
        )

    def exchange_ids(self, step: Step) -> None:
        """Counts per (owner, table), then the ids."""
        step.received_counts = self._communicator.alltoall(step.split.owner_table_counts, "id counts")
        per_source = step.received_counts.sum(axis=1)
        buffer = self._buffers.host("received ids", int(per_source.sum()), np.int64)
        ids = self._target.to_host(step.split.ids)
        step.received_ids = self._communicator.alltoallv(ids, step.split.owner_counts, buffer, per_source, "ids")
        step.blocks = _blocks(step.received_counts, self._plan.dims)

    def lookup(self, step: Step) -> None:
        """This rank's rows of the received ids; an absent id reads as zeros and is not inserted."""
        target = self._target
        total = int(step.received_counts.sum(axis=0) @ self._plan.dims)
        reply = self._buffers.target("reply", total, np.float32)
        numbers = self._buffers.target("row numbers", len(step.received_ids), np.int32)
        step.row_numbers = [numbers[block.low : block.high] for block in step.blocks]
        together, one_by_one = [], []
        can = self._several.can_look_up()
        for block, rows in zip(step.blocks, step.row_numbers, strict=True):
            if can[block.table]:
                together.append(Wanted(block.table, step.received_ids[block.low : block.high], rows, block.start))
            else:
                one_by_one.append((block, rows))
        self._several.look_up(together, reply)

        def look_up(place: tuple[Block, Any]) -> None:
            block, rows = place
            store = self._tables[block.table]
            store.find(target.asarray(step.received_ids[block.low : block.high]), rows)
            store.gather(rows, reply, block.start)

        by_group(target, one_by_one, lambda place: place[0].table, look_up)
        step.reply = target.to_host(reply)

    def exchange_rows(self, step: Step) -> None:
        """The rows back to whoever asked."""
        send_counts = step.received_counts @ self._plan.dims
        counts = step.split.owner_table_counts @ self._plan.dims
        buffer = self._buffers.host("vectors", int(counts.sum()), np.float32)
        step.vectors = self._communicator.alltoallv(step.reply, send_counts, buffer, counts, "rows")

    def pool(self, step: Step) -> None:
        """Every occurrence's vector into the sums of its row."""
        target, plan = self._target, self._plan
        if step.x is None:
            stride = -(-plan.width // ALIGN) * ALIGN
            step.x = self._buffers.target("x", step.rows * stride, np.float32).reshape(step.rows, stride)
            if stride > plan.width:
                step.x[:, plan.width :] = np.float32(0)
        elif step.x.shape[0] != step.rows or step.x.shape[1] < plan.width:
            raise ShapeError(f"x must be [{step.rows}, {plan.width} or more], not {step.x.shape}")
        vectors = target.asarray(step.vectors)
        if target.name == "cpu":
            tables.sums(vectors, step.offsets, step.unique.inverse, step.splits, self._summed, step.x, target.threads)

        def combine(feature: tuple[int, FeaturePlan, int]) -> None:
            number, planned, dim = feature
            pool(target, planned, dim, vectors, step.offsets, step.unique.inverse, step.splits[number], step.x)

        by_group(target, self._combined, lambda feature: feature[0], combine)


class Backward:
    """Stages ``gradient_sums`` and ``exchange_gradients``."""

    def __init__(
        self,
        plan: ExchangePlan,
        communicator: Communicator,
        target: Target,
        buffers: Buffers,
        *,
        exact: bool,
        half: bool,
    ) -> None:
        self._plan = plan
        self._communicator = communicator
        self._target = target
        self._buffers = buffers
        self._exact = exact
        self._half = half
        numbers = itertools.count()
        features = [
            [tables.Feature(next(numbers), table.dim, feature.column) for feature in table.features]
            for table in plan.tables
        ]
        plain = all(feature.combiner.name == "reduce_sum" for table in plan.tables for feature in table.features)
        # Where rows are summed and nothing else, one call goes over all tables.
        self._features = features if plain and target.name == "cpu" else None

    def gradient_sums(self, step: Step) -> None:
        """Gradients of this rank's distinct ids: features in table order, rows ascending, position, from +0.0."""
        if step.dx.shape[0] != step.rows or step.dx.shape[1] < self._plan.width:
            raise ShapeError(f"dx must be [{step.rows}, {self._plan.width} or more], not {step.dx.shape}")
        total = int(step.split.owner_table_counts.sum(axis=0) @ self._plan.dims)
        target = self._target
        step.sums = self._buffers.target("sums", total, np.float32)
        terms: list[tuple[int, Terms]] = []
        if self._features is None or self._exact:
            terms = self._terms(step)
        if self._features is None:
            self._add_terms(step, terms)
        else:
            unique = step.unique
            tables.gradient_sums(
                step.dx, step.splits, self._features, unique.inverse, unique.unique_splits, step.offsets, step.sums,
                target.threads,
            )  # fmt: skip
        if self._exact:
            step.wide = wide_sums(target, step, self._plan.dims, terms)
            step.sums = target.to_host(step.sums)
            step.sums[elements_of(step.wide.starts, step.wide.dims)] = 0

    def _add_terms(self, step: Step, terms: list[tuple[int, Terms]]) -> None:
        """Feature by feature."""
        drivers = self._target.segment
        first_new = 0
        for dim, part in terms:
            first_new = drivers.gradient_sums(
                part.gradient,
                part.column,
                dim,
                part.splits,
                step.unique.inverse,
                part.scale,
                step.offsets,
                step.sums,
                first_new,
            )

    def exchange_gradients(self, step: Step) -> None:
        """The sums to the owners: float32, or rounded to half on the way; under ``exact`` the wide ones beside them."""
        send_counts = step.split.owner_table_counts @ self._plan.dims
        counts = step.received_counts @ self._plan.dims
        sums = self._target.to_host(step.sums)
        total = int(counts.sum())
        if self._half:
            halves = self._buffers.host("half sums", len(sums), np.float16)
            with np.errstate(over="ignore"):
                np.copyto(halves, sums, casting="same_kind")
            buffer = self._buffers.host("half gradients", total, np.float16)
            arrived = self._communicator.alltoallv(halves, send_counts, buffer, counts, "gradients")
            step.received_gradients = self._buffers.host("gradients", total, np.float32)
            np.copyto(step.received_gradients, arrived)
            return
        buffer = self._buffers.host("gradients", total, np.float32)
        step.received_gradients = self._communicator.alltoallv(sums, send_counts, buffer, counts, "gradients")
        if step.wide is not None:
            step.received_wide = exchange_wide(self._communicator, step.wide, send_counts, counts)

    def _terms(self, step: Step) -> list[tuple[int, Terms]]:
        """(dim of the table, terms) of every feature, in table order."""
        splits = iter(step.splits)
        return [
            (table.dim, gradient_terms(self._target, feature, table.dim, step.dx, next(splits)))
            for table in self._plan.tables
            for feature in table.features
        ]


def _blocks(counts: NDArray[np.int64], dims: NDArray[np.int64]) -> list[Block]:
    """The non-empty (source, table) blocks in the order in which they arrive."""
    blocks = []
    low = start = 0
    widths = dims.tolist()
    for source, row in enumerate(counts.tolist()):
        for table, count in enumerate(row):
            if count:
                blocks.append(Block(source, table, low, low + count, start))
                low += count
                start += count * widths[table]
    return blocks
