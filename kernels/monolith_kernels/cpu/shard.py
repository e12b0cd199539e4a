"""Dealing distinct ids to owner ranks and putting received ids together. Rule: sync_training 2.2 steps 1 to 3.

The owner of an id is ``id mod N`` with a remainder that is never negative (C++'s would be, and index out of bounds).
With ``empty_rank0`` and N > 4 it is ``id mod (N - 1) + 1``: rank 0 owns nothing. Counts are host arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

from monolith_kernels.arrays import F4, I4, I8, Merged, Split, Unique

__all__ = ["merge", "move", "offsets", "owners", "split"]


def owners(ids: I8, ranks: int, empty_rank0: bool, out: I4) -> None:
    """Owner rank of every id, into ``out`` int32[n]."""
    raise NotImplementedError


def split(unique: I8, unique_splits: I8, ranks: int, empty_rank0: bool = False) -> Split:
    """Order distinct ids by (owner, table, first occurrence).

    ``unique`` int64[u] and ``unique_splits`` int64[K + 1] (host) as ``dedup.unique_tables`` gives them; ranks may be thousands.
    """
    raise NotImplementedError


def offsets(order: I4, unique_splits: I8, owner_table_counts: I8, widths: Sequence[int] | I8) -> I8:
    """Element offset of every distinct id's vector in a flat buffer in send order: int64[u].

    ``widths[k]`` floats per id of table k (the dim on the wire, or a padded stride in a local buffer).
    """
    raise NotImplementedError


def merge(ids: I8, source_table_counts: I8) -> Merged:
    """Put received ids (by source rank, then table) in order (table, source rank, position).

    ``ids`` int64[m]; ``source_table_counts`` int64[N, K] (host): ids per source rank and table.
    """
    raise NotImplementedError


def move(values: F4, from_offsets: I8, to_offsets: I8, width: int, out: F4) -> None:
    """Copy vectors: ``out[to_offsets[i] :][:width] = values[from_offsets[i] :][:width]`` (flat float32 buffers, bits preserved).

    ``from_offsets[i]`` of -1 gives zeros. ``values`` and ``out`` may not overlap.
    """
    raise NotImplementedError
