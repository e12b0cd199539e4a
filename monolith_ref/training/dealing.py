"""Which rows of a global batch a rank works on, and sources of global batches. Rule: sync_training 6.1, job 1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from monolith_ref.errors import ArgumentError
from monolith_ref.features.ragged import Batch
from monolith_ref.sync.communicator import Communicator

__all__ = ["BatchSource", "batches_of", "deal", "row_range"]


def row_range(rank: int, ranks: int, rows: int) -> tuple[int, int]:
    """First and last-plus-one row of ``rank`` in a global batch of ``rows``: floor(rG/N) to floor((r+1)G/N)."""
    if not 0 <= rank < ranks:
        raise ArgumentError(f"rank must be in 0..{ranks - 1}, not {rank}")
    if rows < 0:
        raise ArgumentError(f"a batch cannot have {rows} rows")
    return rank * rows // ranks, (rank + 1) * rows // ranks


@runtime_checkable
class BatchSource(Protocol):
    """Global batches by number: any rank can make any rows of any step, so data never depends on the number of
    ranks."""

    def global_rows(self, step: int) -> int:
        """Rows of the global batch of ``step`` (from 0); 0 when the data has ended before it."""
        ...

    def rows(self, step: int, low: int, high: int) -> Batch:
        """Rows ``low`` to ``high`` of that global batch; ``global_rows`` and ``first_row`` of the result are set."""
        ...


def deal(source: BatchSource, step: int, rank: int, ranks: int) -> Batch | None:
    """The rows of ``rank`` in global batch ``step``; None when the data has ended."""
    total = source.global_rows(step)
    if total == 0:
        return None
    low, high = row_range(rank, ranks, total)
    return source.rows(step, low, high)


def batches_of(
    source: BatchSource | Iterable[Batch],
    communicator: Communicator,
    first: int = 0,
    stop: int | None = None,
    nothing: Batch | None = None,
) -> Iterator[Batch]:
    """This rank's batches of steps ``first`` to ``stop`` (None: to the end of the data).

    A BatchSource is dealt by rows. Any other iterable is this rank's own data, of which batches before ``first`` are
    passed over. Where ranks have different numbers of batches (sync_training 4): all stop before a step that some rank
    has none for; or, with ``nothing`` (a batch of no rows), ranks that have come to their end take part with that,
    until the last one has.
    """
    if isinstance(source, BatchSource):
        step = first
        while stop is None or step < stop:
            batch = deal(source, step, communicator.rank, communicator.size)
            if batch is None:
                return
            yield batch
            step += 1
        return
    own = iter(source)
    for _ in range(first):
        next(own, None)
    step = first
    while stop is None or step < stop:
        mine = next(own, None)
        rows = communicator.allgather(np.array([-1 if mine is None else mine.rows], np.int64), "rows")[:, 0]
        if rows.max() < 0 or (nothing is None and rows.min() < 0):
            return
        rows = np.maximum(rows, 0)
        batch = mine if mine is not None else nothing
        assert batch is not None
        yield replace(batch, global_rows=int(rows.sum()), first_row=int(rows[: communicator.rank].sum()))
        step += 1
