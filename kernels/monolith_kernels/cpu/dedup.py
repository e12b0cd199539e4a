"""Distinct ids of a batch, in order of first occurrence. Rules: features 4, sync_training 2.2 step 1."""

from __future__ import annotations

from monolith_kernels.arrays import I4, I8, Groups, Unique

__all__ = ["Scratch", "group", "unique_tables"]


class Scratch:
    """Memory of :func:`unique_tables`, kept between batches; results are views into it until the next call with it."""

    def __init__(self) -> None:
        raise NotImplementedError


def unique_tables(values: I8, table_splits: I8, scratch: Scratch | None = None, threads: int = 1) -> Unique:
    """Distinct ids per table, never across tables, in order of first occurrence.

    Parameters
    ----------
    values : int64[n]
        Ids of all tables, table after table; any int64 is legal.
    table_splits : int64[K + 1]
        Where each table begins (host array); empty tables are allowed, K = 1 is a plain unique.
    scratch
        Reused memory. The result is then valid until the next call with the same scratch; without it arrays are new.
    """
    raise NotImplementedError


def group(inverse: I4, counts: I4) -> Groups:
    """Occurrences of every distinct id, ascending (a counting sort of ``inverse``, which holds numbers below len(counts)).

    ``counts`` int32[u] must be the occurrences of every number.
    """
    raise NotImplementedError
