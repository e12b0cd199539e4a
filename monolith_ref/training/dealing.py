"""Which rows of a global batch a rank works on, and sources of global batches. Rule: sync_training 6.1, job 1."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from monolith_ref.errors import ArgumentError
from monolith_ref.features.ragged import Batch

__all__ = ["BatchSource", "deal", "row_range"]


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
