"""Flat layouts of several tables: ragged ids and concatenated floats. Rule: tables 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ShapeError
from monolith_ref.table.arrays import as_floats, as_ids, as_splits

__all__ = ["RaggedId", "check_ragged", "flat_values", "ragged_ids", "split_values"]


class RaggedId(NamedTuple):
    """Ids of all tables, table after table.

    Attributes
    ----------
    values : int64[n]
    row_splits : int64[K + 1]
    """

    values: NDArray[np.int64]
    row_splits: NDArray[np.int64]


def ragged_ids(names: Sequence[str], ids: Mapping[str, Any]) -> RaggedId:
    """Ids by table name as one ragged id; tables without an entry are empty."""
    parts = [as_ids(ids[name]).reshape(-1) if name in ids else np.empty(0, np.int64) for name in names]
    splits = np.zeros(len(names) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=splits[1:])
    return RaggedId(np.concatenate(parts) if parts else np.empty(0, np.int64), splits)


def flat_values(names: Sequence[str], values: Mapping[str, Any]) -> NDArray[np.float32]:
    """Values by table name, flattened and put one after the other."""
    parts = [as_floats(values[name], "values").reshape(-1) for name in names if name in values]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def check_ragged(ragged: Any, tables: int) -> RaggedId:
    """A pair (values, row_splits), or anything with those attributes, checked against the number of tables."""
    values = getattr(ragged, "values", None)
    splits = getattr(ragged, "row_splits", None)
    if values is None or splits is None or callable(values):
        try:
            values, splits = ragged
        except (TypeError, ValueError):
            raise ShapeError("a ragged id has values and row_splits") from None
    keys = as_ids(values)
    if keys.ndim != 1:
        raise ShapeError(f"values of a ragged id must have rank 1, got shape {list(keys.shape)}")
    return RaggedId(keys, as_splits(splits, tables, len(keys), "row_splits"))


def split_values(
    ragged: RaggedId, flat: Any, dims: Sequence[int], names: Sequence[str]
) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """(ids, flat floats) of every table. ShapeError, naming the table, where a table's floats run short."""
    floats = as_floats(flat, "values")
    if floats.ndim != 1:
        raise ShapeError(f"flat values must have rank 1, got shape {list(floats.shape)}")
    counts = np.diff(ragged.row_splits)
    parts = []
    start = 0
    for number, (count, dim) in enumerate(zip(counts.tolist(), dims, strict=True)):
        stop = start + count * dim
        if stop > len(floats):
            raise ShapeError(f"table {names[number]!r}: {len(floats) - start} floats are left for {count} ids of {dim}")
        lo, hi = ragged.row_splits[number], ragged.row_splits[number + 1]
        parts.append((ragged.values[lo:hi], floats[start:stop]))
        start = stop
    if start != len(floats):
        raise ShapeError(f"the tables need {start} floats, got {len(floats)}")
    return parts
