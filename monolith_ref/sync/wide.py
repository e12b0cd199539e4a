"""Gradient sums that float32 does not hold: how ``exact`` makes, sends and adds them. Rule: sync_training 5.

An id that occurs once on a rank has a float32 gradient there, and the float32 sum of two such is the real sum, rounded
once. So ``exact`` takes the way of ``sum``, and only the few other ids are *wide*: a rank sends their sums unrounded
beside the rest (float64, and accumulators where that is not enough), and owners add up theirs exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from monolith_kernels import reduction as exact
from monolith_kernels.reduction import Partial
from monolith_kernels.target import Target
from numpy.typing import NDArray

from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.pooling import Terms
from monolith_ref.sync.step import Step, Wide

__all__ = ["Addend", "elements_of", "exchange_wide", "sum_tables", "wide_sums"]

I8 = NDArray[np.int64]


class Addend(NamedTuple):
    """Terms of one table or feature for :func:`sum_tables`: vectors of ``dim`` floats by row, rows' occurrences."""

    dim: int
    vectors: Any
    column: int
    splits: I8
    scale: Any


def elements_of(starts: I8, dims: I8) -> I8:
    """Every element of vectors of ``dims[i]`` floats that begin at ``starts[i]``, one vector after the other."""
    ends = np.cumsum(dims)
    total = int(ends[-1]) if len(ends) else 0
    elements = np.arange(total, dtype=np.int64)
    elements += np.repeat(starts - (ends - dims), dims)
    return elements


def sum_tables(
    target: Target, addends: Sequence[Addend], slots: NDArray[np.int32], starts: I8, total: int, more: Partial | None
) -> Partial:
    """Unrounded sums of vectors by slot: slot s takes ``total`` floats' part from ``starts[s]`` on.

    ``slots`` int32: the slot of every occurrence that an addend's splits count. ``more``: accumulators to be added.
    """
    drivers = target.segment
    values, error = np.zeros(total), np.zeros(total)
    there = [target.asarray(array) for array in (slots, starts, values, error)]
    splits = [target.asarray(addend.splits) for addend in addends]
    everything = 2**31 - 1
    for addend, part in zip(addends, splits, strict=True):
        drivers.gradient_sums_exact(
            addend.vectors, addend.column, addend.dim, part, there[0], addend.scale, *there[1:], everything
        )
    values, error = (np.asarray(target.to_host(array)) for array in there[2:])
    elements = exact.inexact(error)
    if more is not None:
        elements = np.union1d(elements, more.elements)
    limbs = exact.limbs_of(len(elements))
    if len(elements):
        listed, sums = target.asarray(elements), target.asarray(limbs)
        for addend, part in zip(addends, splits, strict=True):
            drivers.gradient_limbs(
                addend.vectors, addend.column, addend.dim, part, there[0], addend.scale, there[1], listed, sums
            )
        if more is not None and len(more.elements):
            drivers.add_limbs(target.asarray(more.elements), target.asarray(more.limbs), listed, sums)
        limbs = np.asarray(target.to_host(sums))
    return exact.settle(values, elements, limbs)


def wide_sums(target: Target, step: Step, dims: I8, terms: Sequence[tuple[int, Terms]]) -> Wide:
    """The ids of this rank that occur twice or more in the batch, with their unrounded sums; ascending by start."""
    counts = np.asarray(target.to_host(step.unique.counts))
    numbers = np.flatnonzero(counts > 1)
    inverse = np.asarray(target.to_host(step.unique.inverse))
    offsets = np.asarray(target.to_host(step.offsets))
    widths = dims[np.searchsorted(step.unique.unique_splits, numbers, side="right") - 1]
    order = np.argsort(offsets[numbers], kind="stable")
    numbers, widths = numbers[order], widths[order]
    slot_of = np.full(len(counts), -1, np.int32)
    slot_of[numbers] = np.arange(len(numbers), dtype=np.int32)
    occurrences = np.flatnonzero((counts > 1)[inverse])
    starts = np.cumsum(widths) - widths
    addends = [
        Addend(
            dim,
            part.gradient,
            part.column,
            np.searchsorted(occurrences, np.asarray(target.to_host(part.splits))),
            part.scale,
        )
        for dim, part in terms
    ]
    partial = sum_tables(target, addends, slot_of[inverse[occurrences]], starts, int(widths.sum()), None)
    return Wide(offsets[numbers], widths, partial)


def exchange_wide(communicator: Communicator, wide: Wide, send_counts: I8, counts: I8) -> Wide:
    """Wide sums to the owners of their ids; starts become those of what an owner has received.

    ``send_counts`` and ``counts`` int64[N]: floats of gradients to and from each rank. What came from several ranks
    lies in rank order, starts ascending.
    """
    if communicator.size == 1:
        return wide
    ends = np.cumsum(send_counts)
    owner = np.searchsorted(ends, wide.starts, side="right")
    floats = np.cumsum(wide.dims)
    slow_owner = owner[np.searchsorted(floats, wide.partial.elements, side="right")]
    size = communicator.size
    mine = np.stack(
        [
            np.bincount(owner, minlength=size),
            np.bincount(owner, wide.dims, minlength=size),
            np.bincount(slow_owner, minlength=size),
        ],
        axis=1,
    ).astype(np.int64)
    theirs = communicator.alltoall(mine, "wide counts")
    sent, first = [], np.cumsum(mine, axis=0) - mine
    for rank in range(size):
        ids, parts, slow = (slice(low, low + count) for low, count in zip(first[rank], mine[rank], strict=True))
        sent += [
            wide.starts[ids] - (ends - send_counts)[rank],
            wide.dims[ids],
            wide.partial.values[parts].view(np.int64),
            wide.partial.elements[slow] - first[rank, 1],
            wide.partial.limbs[slow].reshape(-1),
        ]
    weights = np.array([2, 1, 1 + exact.LIMBS])
    words = theirs @ weights
    buffer = np.empty(int(words.sum()), np.int64)
    arrived = communicator.alltoallv(np.concatenate(sent), mine @ weights, buffer, words, "wide sums")
    return _unpacked(arrived, theirs, np.cumsum(counts) - counts)


def _unpacked(words: I8, theirs: I8, begins: I8) -> Wide:
    parts: list[tuple[I8, ...]] = []
    low = before = 0
    for (ids, floats, slow), begin in zip(theirs.tolist(), begins.tolist(), strict=True):
        cuts = np.cumsum([low, ids, ids, floats, slow, slow * exact.LIMBS]).tolist()
        starts, dims, values, elements, limbs = (words[a:b] for a, b in pairwise(cuts))
        parts.append((starts + begin, dims, values, elements + before, limbs))
        low, before = cuts[-1], before + floats
    starts, dims, values, elements, limbs = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Wide(starts, dims, Partial(values.view(np.float64), elements, limbs.reshape(-1, exact.LIMBS)))
