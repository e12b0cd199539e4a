"""What an owner does with the gradients of several ranks: the reductions. Rule: sync_training 2.4 and 5.

A reduction turns what was received into :class:`~monolith_ref.sync.step.Update` s; the tables' optimizers then take
them in order. Ranks always count in ascending order, whatever order their messages came in.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from monolith_kernels import reduction as exact
from monolith_kernels.arrays import Merged, Unique
from monolith_kernels.target import Target

from monolith_ref.sync.buffers import Buffers
from monolith_ref.sync.plan import ExchangePlan
from monolith_ref.sync.step import Step, Update

__all__ = ["ExactReduction", "OrderedReduction", "SequentialReduction", "make_reduction"]


class SequentialReduction:
    """``sequential``: one optimizer step per source rank, ascending; nothing is added up."""

    def __init__(self, plan: ExchangePlan, target: Target) -> None:
        self._target = target

    def reduce(self, step: Step) -> None:
        """One update per (source rank, table)."""
        gradients = self._target.asarray(step.received_gradients)
        known = step.row_numbers if len(step.row_numbers) == len(step.blocks) else [None] * len(step.blocks)
        step.updates = [
            Update(
                block.table,
                self._target.asarray(step.received_ids[block.low : block.high]),
                gradients,
                block.start,
                rows,
            )
            for block, rows in zip(step.blocks, known, strict=True)
        ]


class _Merging:
    """What ``sum``, ``mean`` and ``exact`` share: one update per table, of the distinct ids of all source ranks."""

    def __init__(self, plan: ExchangePlan, target: Target, buffers: Buffers) -> None:
        self._plan = plan
        self._target = target
        self._buffers = buffers
        self._scratch = target.dedup.Scratch()

    def _merge(self, step: Step) -> tuple[Merged, Unique, Any, int]:
        """(ids by table, distinct ones, where each one's vector begins, floats of all vectors)."""
        target = self._target
        merged = target.shard.merge(target.asarray(step.received_ids), step.received_counts)
        unique = target.dedup.unique_tables(merged.ids, merged.table_splits, self._scratch, target.threads)
        counts = np.diff(unique.unique_splits)
        starts = np.cumsum([0, *(counts * self._plan.dims)[:-1]])
        offsets = np.arange(int(counts.sum()), dtype=np.int64)
        offsets -= np.repeat(unique.unique_splits[:-1], counts)
        offsets *= np.repeat(self._plan.dims, counts)
        offsets += np.repeat(starts, counts)
        return merged, unique, target.asarray(offsets), int(counts @ self._plan.dims)

    def _walk(self, step: Step, merged: Merged) -> list[tuple[int, Any, Any]]:
        """(dim, gradients [c, dim], splits) of every block, by (table, source rank): the order of ``merged.ids``."""
        gradients = self._target.asarray(step.received_gradients)
        walk = []
        for block in sorted(step.blocks, key=lambda block: (block.table, block.source)):
            dim, count = int(self._plan.dims[block.table]), block.high - block.low
            first = int(merged.source_splits[block.table, block.source])
            vectors = gradients[block.start : block.start + count * dim].reshape(count, dim)
            splits = np.arange(first, first + count + 1, dtype=np.int64)
            walk.append((dim, vectors, self._target.asarray(splits)))
        return walk

    def _updates(self, unique: Unique, sums: Any) -> list[Update]:
        """One update per table that has ids."""
        updates = []
        start = 0
        splits = unique.unique_splits.tolist()
        for table, (low, high) in enumerate(itertools.pairwise(splits)):
            if high > low:
                updates.append(Update(table, unique.unique[low:high], sums, start))
            start += (high - low) * int(self._plan.dims[table])
        return updates


class OrderedReduction(_Merging):
    """``sum`` and ``mean``: (+0 + g_a) + g_b + ... by ascending rank; ``divisor`` 0, or the number of ranks."""

    def __init__(self, plan: ExchangePlan, target: Target, buffers: Buffers, divisor: int) -> None:
        super().__init__(plan, target, buffers)
        self._divisor = divisor

    def reduce(self, step: Step) -> None:
        """One update per table."""
        target = self._target
        merged, unique, offsets, total = self._merge(step)
        sums = self._buffers.target("owner sums", total, np.float32)
        nothing = target.empty(0, np.float32)
        first_new = 0
        for dim, vectors, splits in self._walk(step, merged):
            first_new = target.segment.gradient_sums(
                vectors, 0, dim, splits, unique.inverse, nothing, offsets, sums, first_new
            )
        if self._divisor:
            means = self._buffers.target("owner means", total, np.float32)
            target.dense.rank_sum(sums.reshape(1, total), float(self._divisor), means)
            sums = means
        step.updates = self._updates(unique, sums)


class ExactReduction(_Merging):
    """``exact``: the real sum over all occurrences of all ranks, rounded once."""

    def reduce(self, step: Step) -> None:
        """One update per table."""
        target = self._target
        merged, unique, offsets, total = self._merge(step)
        partial = self._buffers.target("owner partials", total, np.float64)
        error = self._buffers.target("owner errors", total, np.float64)
        nothing = target.empty(0, np.float32)
        walk = self._walk(step, merged)
        first_new = 0
        for dim, vectors, splits in walk:
            first_new = target.segment.gradient_sums_exact(
                vectors, 0, dim, splits, unique.inverse, nothing, offsets, partial, error, first_new
            )
        received = [
            (self._own_elements(step, source, elements, merged, unique, offsets), limbs)
            for source, (elements, limbs) in enumerate(step.received_slow)
            if len(elements)
        ]
        elements = exact.inexact(target.to_host(error))
        for theirs, _ in received:
            elements = np.union1d(elements, theirs)
        limbs = exact.limbs_of(len(elements))
        if len(elements):
            there, limbs_there = target.asarray(elements), target.asarray(limbs)
            for dim, vectors, splits in walk:
                target.segment.gradient_limbs(
                    vectors, 0, dim, splits, unique.inverse, nothing, offsets, there, limbs_there
                )
            for theirs, accumulated in received:
                order = np.argsort(theirs, kind="stable")
                target.segment.add_limbs(
                    target.asarray(theirs[order]), target.asarray(accumulated[order]), there, limbs_there
                )
            limbs = target.to_host(limbs_there)
        sums = self._buffers.host("owner sums", total, np.float32)
        exact.finish(exact.settle(target.to_host(partial), elements, limbs), sums)
        step.updates = self._updates(unique, target.asarray(sums))

    def _own_elements(
        self, step: Step, source: int, elements: Any, merged: Merged, unique: Unique, offsets: Any
    ) -> Any:
        """Elements of what ``source`` sent, as elements of this owner's sums."""
        blocks = [block for block in step.blocks if block.source == source]
        begin = blocks[0].start
        starts = np.array([block.start - begin for block in blocks], np.int64)
        which = np.searchsorted(starts, elements, side="right") - 1
        tables = np.array([block.table for block in blocks], np.int64)[which]
        dims = self._plan.dims[tables]
        within = elements - starts[which]
        positions = merged.source_splits[tables, source] + within // dims
        inverse = self._target.to_host(unique.inverse)
        return self._target.to_host(offsets)[inverse[positions]] + within % dims


def make_reduction(
    name: str, plan: ExchangePlan, target: Target, buffers: Buffers, ranks: int
) -> SequentialReduction | OrderedReduction | ExactReduction:
    """The reduction ``sync.reduction`` names."""
    if name == "sequential":
        return SequentialReduction(plan, target)
    if name == "exact":
        return ExactReduction(plan, target, buffers)
    return OrderedReduction(plan, target, buffers, ranks if name == "mean" else 0)
