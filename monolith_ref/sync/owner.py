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
from monolith_ref.sync.step import Step, Update, Wide
from monolith_ref.sync.wide import Addend, elements_of, sum_tables

__all__ = ["ExactReduction", "OrderedReduction", "SequentialReduction", "make_reduction"]


def updates_of_blocks(
    step: Step, target: Target, gradients: Any, skipped: NDArray[np.int64] | None = None
) -> list[Update]:
    """One update per (source rank, table), with these gradients in the order of blocks.

    ``skipped`` int64, ascending: numbers of received ids that are left out.
    """
    there = target.asarray(gradients)
    known = step.row_numbers if len(step.row_numbers) == len(step.blocks) else [None] * len(step.blocks)
    updates = []
    for block, rows in zip(step.blocks, known, strict=True):
        ids = target.asarray(step.received_ids[block.low : block.high])
        skip = None
        if skipped is not None and len(skipped):
            low, high = np.searchsorted(skipped, [block.low, block.high]).tolist()
            skip = skipped[low:high] - block.low if high > low else None
        updates.append(Update(block.table, ids, there, block.start, rows, skip))
    return updates


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

    def _merge(self, step: Step) -> tuple[Merged, Unique]:
        """Ids by table, and the distinct ones."""
        target = self._target
        merged = target.shard.merge(target.asarray(step.received_ids), step.received_counts)
        return merged, target.dedup.unique_tables(merged.ids, merged.table_splits, self._scratch, target.threads)

    def _places(self, unique: Unique) -> tuple[Any, int]:
        """Where each distinct id's vector begins, and the floats of all vectors."""
        counts = np.diff(unique.unique_splits)
        starts = np.cumsum([0, *(counts * self._plan.dims)[:-1]])
        offsets = np.arange(int(counts.sum()), dtype=np.int64)
        offsets -= np.repeat(unique.unique_splits[:-1], counts)
        offsets *= np.repeat(self._plan.dims, counts)
        offsets += np.repeat(starts, counts)
        return self._target.asarray(offsets), int(counts @ self._plan.dims)

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
        merged, unique = self._merge(step)
        offsets, total = self._places(unique)
        sums = self._buffers.target("owner sums", total, np.float32)
        self._add_in_order(step, merged, unique, offsets, sums)
        if self._divisor:
            means = self._buffers.target("owner means", total, np.float32)
            target.dense.rank_sum(sums.reshape(1, total), float(self._divisor), means)
            sums = means
        step.updates = self._updates(step, merged, unique, sums)


class ExactReduction(_Merging):
    """``exact``: the real sum over all occurrences of all ranks, rounded once.

    Most ids come from one rank, as a float32 that is their sum already: they are left where they arrived. The others
    (of several ranks, or wide) are added up, and their sum takes the place of the first rank's; the places of the
    other ranks are left out of the updates.
    """

    def reduce(self, step: Step) -> None:
        """One update per (source rank, table)."""
        assert step.received_wide is not None
        wide = step.received_wide
        gradients = step.received_gradients if self._alone else step.received_gradients[:]
        skipped: NDArray[np.int64] = np.empty(0, np.int64)
        if len({block.source for block in step.blocks}) <= 1:
            _put_rounded(gradients, wide.starts, wide.dims, wide.partial)
        else:
            skipped = self._add_up(step, wide, gradients)
        step.updates = updates_of_blocks(step, self._target, gradients, skipped)

    def _add_up(self, step: Step, wide: Wide, gradients: NDArray[np.float32]) -> NDArray[np.int64]:
        """Exact sums in the places of first ranks; the numbers of the other received ids, ascending."""
        target = self._target
        merged, unique = self._merge(step)
        inverse = np.asarray(target.to_host(unique.inverse))
        blocks = sorted(step.blocks, key=lambda block: (block.table, block.source))
        firsts = np.array([merged.source_splits[block.table, block.source] for block in blocks])
        begins = np.array([block.start for block in blocks])
        block_dims = self._plan.dims[[block.table for block in blocks]]
        # Where wide sums belong, as positions in merged order.
        by_begin = np.argsort(begins, kind="stable")
        which = by_begin[np.searchsorted(begins[by_begin], wide.starts, side="right") - 1]
        positions = firsts[which] + (wide.starts - begins[which]) // block_dims[which]
        chosen = np.asarray(target.to_host(unique.counts)) > 1
        chosen[inverse[positions]] = True
        numbers = np.flatnonzero(chosen)
        if not len(numbers):
            _make_plain(gradients)
            return numbers
        slot_of = np.full(len(chosen), -1, np.int32)
        slot_of[numbers] = np.arange(len(numbers), dtype=np.int32)
        occurrences = np.flatnonzero(chosen[inverse])
        slots = slot_of[inverse[occurrences]]
        which = np.searchsorted(firsts, occurrences, side="right") - 1
        dims = block_dims[which]
        places = begins[which] + (occurrences - firsts[which]) * dims
        terms = gradients[elements_of(places, dims)].astype(np.float64)
        ends = np.cumsum(dims)
        elements = elements_of((ends - dims)[np.searchsorted(occurrences, positions)], wide.dims)
        terms[elements] = wide.partial.values
        widths = self._plan.dims[np.searchsorted(unique.unique_splits, numbers, side="right") - 1]
        starts = np.cumsum(widths) - widths
        more = None
        if len(wide.partial.elements):
            # Their accumulators, by element of the sums; several ranks may have some for one.
            element = elements[wide.partial.elements]
            owner = np.searchsorted(ends, element, side="right")
            listed, into = np.unique(starts[slots[owner]] + element - (ends - dims)[owner], return_inverse=True)
            limbs = exact.limbs_of(len(listed))
            np.add.at(limbs, into, wide.partial.limbs)
            more = Partial(np.empty(0), listed, limbs)
        of_table = np.searchsorted(merged.table_splits, occurrences, side="right") - 1
        addends = self._addends(terms, of_table, ends)
        partial = sum_tables(target, addends, slots, starts, int(widths.sum()), more)
        _, first = np.unique(slots, return_index=True)
        _put_rounded(gradients, places[first], widths, partial)
        later = np.delete(np.arange(len(occurrences)), first)
        lows = np.array([block.low for block in blocks])
        return np.sort((lows[which] + occurrences - firsts[which])[later])

    def _addends(
        self, terms: NDArray[np.float64], of_table: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> list[Addend]:
        """One addend a table: its occurrences follow each other."""
        target, addends = self._target, []
        nothing = target.empty(0, np.float32)
        for table in np.unique(of_table).tolist():
            low, high = np.searchsorted(of_table, [table, table + 1]).tolist()
            dim = int(self._plan.dims[table])
            vectors = terms[int(ends[high - 1]) - (high - low) * dim : int(ends[high - 1])].reshape(-1, dim)
            splits = np.arange(low, high + 1, dtype=np.int64)
            addends.append(Addend(dim, target.asarray(vectors), 0, splits, nothing))
        return addends


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
