"""Several tables in one call, on the CPU: what a training step does to all tables of a rank.

One call a table costs more in Python than in memory once tables are many and ids a table few; and threads that share
tables out spend their time waiting for each other's turn in Python. Here a thread makes one compiled call for its whole
share. The results are those of the calls table by table, for any number of threads.

Rules: tables 1 (index), sync_training 2.2 steps 2, 4, 5 and 6.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cpu import _tables, lookup
from monolith_kernels.cpu.lookup import Index
from monolith_kernels.layout import RowLayout
from monolith_kernels.prim import profile as profile_value
from monolith_kernels.threads import run_shares

__all__ = ["Block", "Feature", "Table", "find_gather", "gradient_sums", "sums", "update"]

_GRAIN = 8192
"""Ids below which a share is not worth a thread."""
_ROWS_GRAIN = 32
"""Batch rows of all features below which a share is not worth a thread."""


class Table:
    """One table as it is now: its index, rows float32 [capacity, width], times float32 [capacity, 1 or more], floats a
    vector. Holds until the index or one of the arrays is made anew (:meth:`is_current`).
    """

    __slots__ = ("dim", "index", "keys", "line", "rows", "times")

    def __init__(self, index: Index, rows: F4, times: F4, dim: int) -> None:
        self.index, self.rows, self.times, self.dim = index, rows, times, dim
        self.keys = index.key_words
        self.line = (
            _address(index.key_words), _address(index.counts), index.buckets, len(index.counts), _address(rows),
            _address(times), min(len(rows), len(times)), rows.shape[1], times.shape[1], dim,
        )  # fmt: skip

    def is_current(self, index: Index, rows: F4, times: F4) -> bool:
        """Whether a table of these would be the same."""
        return self.keys is index.key_words and self.rows is rows and self.times is times


class Block(NamedTuple):
    """Distinct ids int64 [n] of one table (its place in a list), their row numbers int32 [n], and where the vector of
    the first one begins in a flat buffer; the others follow it.
    """

    table: int
    ids: I8
    numbers: I4
    start: int


class Feature(NamedTuple):
    """A feature's place among the splits, the floats of its vectors, and its first column."""

    number: int
    dim: int
    column: int


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _described(tables: Sequence[Table], blocks: Sequence[Block]) -> tuple[I8, I8]:
    """Tables and blocks as compiled loops read them; the arrays must outlive the use of it."""
    lines = [
        (block.table, _address(block.ids), _address(block.numbers), len(block.ids), block.start) for block in blocks
    ]
    return np.array([table.line for table in tables], np.int64), np.array(lines, np.int64)


def find_gather(tables: Sequence[Table], blocks: Sequence[Block], out: F4, threads: int = 1) -> None:
    """Look up the ids of all blocks: row numbers (-1: absent) into ``numbers``, embeddings into flat ``out``.

    Absent ids read as +0.0; bits are kept.
    """
    if not blocks:
        return
    described, lines = _described(tables, blocks)
    count = sum(len(block.ids) for block in blocks)
    run_shares(lambda lo, hi: _tables.find_and_gather(described, lines, out, lo, hi), count, threads, _GRAIN)


def update(
    profile: str,
    layout: RowLayout,
    tables: Sequence[Table],
    next_rows: I8,
    blocks: Sequence[Block],
    grads: F4,
    rates: F4,
    global_step: int,
    time: int | None,
    grow: Callable[[int, int], Table],
    threads: int = 1,
) -> None:
    """Give absent ids rows and make one optimizer step on all rows, block by block.

    Parameters
    ----------
    profile, layout
        As in ``optimize.update``: one segment, nothing drawn, nothing rounded; the layout of all tables.
    tables : sequence of Table
    next_rows : int64[tables]
        First row number of each table that was never used; advanced as rows are made, also before an error.
    blocks : sequence of Block
        Blocks of one table follow each other, in the order of their steps. ``numbers`` hold what a lookup gave (rows
        may have come since, none may have gone) and are completed.
    grads : float32, flat
        The gradient of id i of a block begins at ``start + i * dim``.
    rates : float32[blocks]
    time : int or None
        Update time that rows get; None: theirs stays.
    grow : callable
        ``grow(table, count)`` makes rows and times usable up to ``next_rows[table] + count`` and returns the table as
        it is then; what it raises ends the call.
    threads
        Tables are shared out.
    """
    if not blocks:
        return
    described, lines = _described(tables, blocks)
    sizes = np.array([table.index.size for table in tables], np.int64)
    value, segment, place = profile_value(profile), layout.segments[0], layout.places[0]
    where = (place.dim, place.embedding, place.state, place.state_words, place.pad, place.words)
    stamp = np.array([] if time is None else [time], np.uint32).view(np.float32)
    counts = [len(block.ids) for block in blocks]
    ends = list(itertools.accumulate(counts))
    # A share's blocks are those whose table begins among its ids.
    owned = [0] * len(blocks)
    for b in range(1, len(blocks)):
        owned[b] = owned[b - 1] if blocks[b].table == blocks[b - 1].table else ends[b - 1]
    template, longest = layout.template(), max(counts)

    def share(lo: int, hi: int) -> None:
        first, last = sum(own < lo for own in owned), sum(own < hi for own in owned)
        absent, slots, fresh = np.empty(longest, np.int32), np.empty(longest, np.int64), np.empty(longest, np.int32)
        while first < last:
            first = _tables.insert_and_update(
                value, segment.rule, template, where, described, lines, sizes, next_rows, grads, rates,
                np.int64(global_step), stamp, absent, slots, fresh, first, last,
            )  # fmt: skip
            if first < last:
                number = blocks[first].table
                count = int(np.count_nonzero(blocks[first].numbers < 0))
                index, usable = tables[number].index, int(described[number, _tables.CAPACITY])
                index.size = int(sizes[number])
                if int(next_rows[number]) + count <= usable and index.size + count <= _tables.room_of(index.buckets):
                    lookup._rebuild(index, 2 * index.buckets)  # one of its regions is full
                lookup.reserve(index, index.size + count)
                described[number] = grow(number, count).line

    try:
        run_shares(share, ends[-1], threads, _GRAIN)
    finally:
        for table, size in zip(tables, sizes.tolist(), strict=True):
            table.index.size = size


def sums(
    flat: F4,
    offsets: I8,
    positions: I4,
    splits: I8,
    features: Sequence[Feature],
    out: F4,
    threads: int = 1,
) -> None:
    """ReduceSum of every feature's occurrences by row, as ``segment.sum`` (``splits`` int64 [features, B + 1])."""
    if not features:
        return
    listed, values = np.array(features, np.int64), out.reshape(-1)
    run_shares(
        lambda lo, hi: _tables.sums_of_features(flat, offsets, positions, splits, listed, values, out.shape[1], lo, hi),
        splits.shape[1] - 1,
        threads,
        _ROWS_GRAIN,
    )


def gradient_sums(
    grad: F4,
    splits: I8,
    features: Sequence[Sequence[Feature]],
    positions: I4,
    table_splits: I8,
    targets: I8,
    out: F4,
    threads: int = 1,
) -> None:
    """Sums of gradients per id from +0.0, in occurrence order, as ``segment.gradient_sums``.

    ``features``: those of every table, in order; ``table_splits`` int64 [tables + 1]: the ids of each table among the
    ``targets``. Tables are shared out between threads.
    """
    flat, stride, ends = grad.reshape(-1), grad.shape[1], table_splits.tolist()

    def share(lo: int, hi: int) -> None:
        first, last = sum(end < lo for end in ends[:-1]), sum(end < hi for end in ends[:-1])
        listed = np.array([feature for part in features[first:last] for feature in part], np.int64).reshape(-1, 3)
        _tables.sums_by_table(flat, stride, splits, listed, positions, targets[: ends[last]], out, ends[first])

    run_shares(share, ends[-1], threads, _GRAIN)
