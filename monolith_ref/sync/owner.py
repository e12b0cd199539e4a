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
from monolith_kernels.reduction import Partial
from monolith_kernels.target import Target
from numpy.typing import NDArray

from monolith_ref.sync.buffers import Buffers
from monolith_ref.sync.finite import first_non_finite
from monolith_ref.sync.plan import ExchangePlan
from monolith_ref.sync.step import Step, Update
from monolith_ref.sync.wide import Addend, elements_of, sum_tables

__all__ = ["ExactReduction", "OrderedReduction", "SequentialReduction", "make_reduction"]


def updates_of_blocks(step: Step, target: Target, gradients: Any) -> list[Update]:
    """One update per (source rank, table), with these gradients in the order of blocks."""
    there = target.asarray(gradients)
    known = step.row_numbers if len(step.row_numbers) == len(step.blocks) else [None] * len(step.blocks)
    return [
        Update(block.table, target.asarray(step.received_ids[block.low : block.high]), there, block.start, rows)
        for block, rows in zip(step.blocks, known, strict=True)
    ]


class SequentialReduction:
    """``sequential``: one optimizer step per source rank, ascending; nothing is added up."""

    def __init__(self, plan: ExchangePlan, target: Target) -> None:
        self._target = target

    def reduce(self, step: Step) -> None:
        """One update per (source rank, table)."""
        step.updates = updates_of_blocks(step, self._target, step.received_gradients)


class _Merging:
    """What ``sum``, ``mean`` and ``exact`` share: one update per table, of the distinct ids of all source ranks."""

    def __init__(self, plan: ExchangePlan, target: Target, buffers: Buffers, alone: bool = False) -> None:
        self._plan = plan
        self._target = target
        self._buffers = buffers
        self._alone = alone
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

    def _add_in_order(self, step: Step, merged: Merged, unique: Unique, offsets: Any, sums: Any) -> None:
        """(+0 + g_a) + g_b + ... by ascending rank."""
        target = self._target
        nothing = target.empty(0, np.float32)
        first_new = 0
        for dim, vectors, splits in self._walk(step, merged):
            first_new = target.segment.gradient_sums(
                vectors, 0, dim, splits, unique.inverse, nothing, offsets, sums, first_new
            )

    def _updates(self, step: Step, merged: Merged, unique: Unique, sums: Any) -> list[Update]:
        """One update per table that has ids."""
        updates = []
        start = 0
        splits = unique.unique_splits.tolist()
        rows = self._known_rows(step, merged, unique)
        for table, (low, high) in enumerate(itertools.pairwise(splits)):
            if high > low:
                known = rows[low:high] if rows is not None else None
                updates.append(Update(table, unique.unique[low:high], sums, start, known))
            start += (high - low) * int(self._plan.dims[table])
        return updates

    def _known_rows(self, step: Step, merged: Merged, unique: Unique) -> NDArray[np.int32] | None:
        """Row numbers of the distinct ids, from the lookup of this step; None where they are not at hand."""
        if self._target.name != "cpu" or len(step.row_numbers) != len(step.blocks) or not step.blocks:
            return None
        rows = np.empty(len(unique.unique), np.int32)
        # Whichever rank asked, an id has one row.
        rows[unique.inverse[merged.order]] = np.concatenate(step.row_numbers)
        return rows


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
        self._add_in_order(step, merged, unique, offsets, sums)
        if self._divisor:
            means = self._buffers.target("owner means", total, np.float32)
            target.dense.rank_sum(sums.reshape(1, total), float(self._divisor), means)
            sums = means
        step.updates = self._updates(step, merged, unique, sums)


class ExactReduction(_Merging):
    """``exact``: the real sum over all occurrences of all ranks, rounded once.

    Ids of one or two ranks without wide sums are right as ``sum`` adds them; the others are added up again, exactly.
    """

    def reduce(self, step: Step) -> None:
        """One update per table."""
        assert step.received_wide is not None
        if len({block.source for block in step.blocks}) <= 1:
            gradients = step.received_gradients if self._alone else step.received_gradients[:]
            _put_rounded(gradients, step.received_wide.starts, step.received_wide.dims, step.received_wide.partial)
            step.updates = updates_of_blocks(step, self._target, gradients)
            return
        target = self._target
        merged, unique, offsets, total = self._merge(step)
        sums = self._buffers.target("owner sums", total, np.float32)
        self._add_in_order(step, merged, unique, offsets, sums)
        host = target.to_host(sums)
        self._add_again(step, merged, unique, np.asarray(target.to_host(offsets)), host)
        step.updates = self._updates(step, merged, unique, target.asarray(host))

    def _add_again(self, step: Step, merged: Merged, unique: Unique, offsets: Any, sums: NDArray[np.float32]) -> None:
        """Exact sums of the ids that need them, into ``sums``."""
        assert step.received_wide is not None
        target, wide = self._target, step.received_wide
        inverse = np.asarray(target.to_host(unique.inverse))
        blocks = sorted(step.blocks, key=lambda block: (block.table, block.source))
        firsts = np.array([merged.source_splits[block.table, block.source] for block in blocks])
        begins = np.array([block.start for block in blocks])
        block_dims = self._plan.dims[[block.table for block in blocks]]
        # Where wide sums belong, as positions in merged order.
        by_begin = np.argsort(begins, kind="stable")
        which = by_begin[np.searchsorted(begins[by_begin], wide.starts, side="right") - 1]
        positions = firsts[which] + (wide.starts - begins[which]) // block_dims[which]
        hard = np.asarray(target.to_host(unique.counts)) > 2
        hard[inverse[positions]] = True
        numbers = np.flatnonzero(hard)
        if not len(numbers):
            _make_plain(sums)
            return
        slot_of = np.full(len(hard), -1, np.int32)
        slot_of[numbers] = np.arange(len(numbers), dtype=np.int32)
        occurrences = np.flatnonzero(hard[inverse])
        which = np.searchsorted(firsts, occurrences, side="right") - 1
        dims = block_dims[which]
        taken = step.received_gradients[elements_of(begins[which] + (occurrences - firsts[which]) * dims, dims)]
        terms = taken.astype(np.float64)
        places = np.cumsum(dims) - dims
        at = places[np.searchsorted(occurrences, positions)]
        elements = elements_of(at, wide.dims)
        terms[elements] = wide.partial.values
        # One addend a table: its occurrences follow each other.
        tables = np.searchsorted(unique.unique_splits, numbers, side="right") - 1
        widths = self._plan.dims[tables]
        starts = np.cumsum(widths) - widths
        slots = slot_of[inverse[occurrences]]
        of_table = np.searchsorted(merged.table_splits, occurrences, side="right") - 1
        addends = []
        nothing = target.empty(0, np.float32)
        for table in np.unique(of_table).tolist():
            low, high = np.searchsorted(of_table, [table, table + 1]).tolist()
            dim = int(self._plan.dims[table])
            vectors = terms[places[low] : places[low] + (high - low) * dim].reshape(-1, dim)
            splits = np.arange(low, high + 1, dtype=np.int64)
            addends.append(Addend(dim, target.asarray(vectors), 0, splits, nothing))
        more = None
        if len(wide.partial.elements):
            # Their accumulators, by element of the sums; several ranks may have some for one.
            element = elements[wide.partial.elements]
            owner = np.searchsorted(places, element, side="right") - 1
            goal = starts[slots[owner]] + element - places[owner]
            listed, into = np.unique(goal, return_inverse=True)
            limbs = exact.limbs_of(len(listed))
            np.add.at(limbs, into, wide.partial.limbs)
            more = Partial(np.empty(0), listed, limbs)
        partial = sum_tables(target, addends, slots, starts, int(widths.sum()), more)
        _put_rounded(sums, offsets[numbers], widths, partial)


def _put_rounded(sums: NDArray[np.float32], starts: Any, dims: Any, partial: Partial) -> None:
    """Round unrounded sums once, to their places; every NaN becomes 7fc00000, every zero +0."""
    rounded = np.empty(len(partial.values), np.float32)
    exact.finish(partial, rounded)
    sums[elements_of(starts, dims)] = rounded
    _make_plain(sums)


def _make_plain(sums: NDArray[np.float32]) -> None:
    """All NaNs with one pattern."""
    if first_non_finite(sums) >= 0:
        sums[np.isnan(sums)] = np.array(0x7FC00000, np.uint32).view(np.float32)


def make_reduction(
    name: str, plan: ExchangePlan, target: Target, buffers: Buffers, ranks: int
) -> SequentialReduction | OrderedReduction | ExactReduction:
    """The reduction ``sync.reduction`` names."""
    if name == "sequential":
        return SequentialReduction(plan, target)
    if name == "exact":
        return ExactReduction(plan, target, buffers, alone=ranks == 1)
    return OrderedReduction(plan, target, buffers, ranks if name == "mean" else 0)
