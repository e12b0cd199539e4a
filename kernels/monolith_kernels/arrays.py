"""Names of the array types that kernels take and return, and the small tuples of arrays that they give back.

An array lives where its twin runs (NumPy on the CPU, a device array on CUDA); the names only state the element type.
Every array is C-contiguous unless a driver says otherwise.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["F4", "F8", "I4", "I8", "U1", "U2", "U4", "U8", "Groups", "Merged", "Split", "Unique"]

F4: TypeAlias = NDArray[np.float32]
F8: TypeAlias = NDArray[np.float64]
I4: TypeAlias = NDArray[np.int32]
I8: TypeAlias = NDArray[np.int64]
U1: TypeAlias = NDArray[np.uint8]
U2: TypeAlias = NDArray[np.uint16]
U4: TypeAlias = NDArray[np.uint32]
U8: TypeAlias = NDArray[np.uint64]


class Unique(NamedTuple):
    """Distinct ids per table, in order of first occurrence (``dedup.unique_tables``).

    Attributes
    ----------
    unique : int64[u]
        Distinct ids, table after table.
    inverse : int32[n]
        For every occurrence the number of its id in ``unique`` (numbers run on over the tables).
    unique_splits : int64[K + 1]
        Where each table's ids begin in ``unique`` (host array on every target).
    counts : int32[u]
        Occurrences of every distinct id.
    """

    unique: Any
    inverse: Any
    unique_splits: Any
    counts: Any


class Groups(NamedTuple):
    """Occurrences grouped by the slot they belong to (``dedup.group``).

    Attributes
    ----------
    splits : int64[u + 1]
        Where each slot's occurrences begin in ``occurrences``.
    occurrences : int32[n]
        Occurrence numbers, ascending within a slot.
    """

    splits: Any
    occurrences: Any


class Split(NamedTuple):
    """Distinct ids dealt to their owners (``shard.split``); counts are host arrays on every target.

    Attributes
    ----------
    order : int32[u]
        Send position of every distinct id: by (owner, table, first occurrence).
    ids : int64[u]
        The ids in send order.
    owner_counts : int64[N]
        Ids per owner.
    owner_table_counts : int64[N, K]
        Ids per owner and table.
    """

    order: Any
    ids: Any
    owner_counts: Any
    owner_table_counts: Any


class Merged(NamedTuple):
    """Ids received from all source ranks, put table by table (``shard.merge``).

    Attributes
    ----------
    order : int32[m]
        Position of every received id after merging: by (table, source rank, position).
    ids : int64[m]
        The ids in merged order.
    table_splits : int64[K + 1]
        Where each table begins in ``ids`` (host array).
    source_splits : int64[K, N + 1]
        Where each source rank's stretch begins inside each table, as positions in ``ids`` (host array).
    """

    order: Any
    ids: Any
    table_splits: Any
    source_splits: Any
