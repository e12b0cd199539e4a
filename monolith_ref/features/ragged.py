"""Ragged batches of fids: ``values`` (int64) and ``row_splits`` (int64, rows + 1). Rule: features 2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import DtypeError, ShapeError

__all__ = ["Batch", "Ragged"]


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """One feature's ids of a batch: row ``i`` holds ``values[row_splits[i]:row_splits[i + 1]]``.

    Attributes
    ----------
    values : int64 [n]
        Fids of all rows, one after the other.
    row_splits : int64 [rows + 1]
        Ascending, from 0 to n.
    """

    values: NDArray[np.int64]
    row_splits: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.row_splits) - 1

    @classmethod
    def from_lengths(cls, values: NDArray[np.int64], lengths: NDArray[Any]) -> Ragged:
        """From the values of all rows and the number of values of each row."""
        splits = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=splits[1:])
        return cls(values, splits).checked()

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[int]]) -> Ragged:
        """From one sequence of ids per row."""
        lists = [list(row) for row in rows]
        flat = [value for row in lists for value in row]
        return cls.from_lengths(np.array(flat, np.int64), np.array([len(row) for row in lists], np.int64))

    def row(self, i: int) -> NDArray[np.int64]:
        """The ids of row ``i`` (a view)."""
        return self.values[self.row_splits[i] : self.row_splits[i + 1]]

    def lengths(self) -> NDArray[np.int64]:
        """Number of ids of each row, int64 [rows]."""
        return np.diff(self.row_splits)

    def slice_rows(self, low: int, high: int) -> Ragged:
        """Rows ``low`` to ``high`` (exclusive); values are a view, splits start at 0 again."""
        splits = self.row_splits[low : high + 1]
        return Ragged(self.values[splits[0] : splits[-1]], splits - splits[0])

    def checked(self, name: str = "ragged") -> Ragged:
        """This batch if it is well formed; DtypeError or ShapeError (naming ``name``) else."""
        values, splits = self.values, self.row_splits
        for part, array in (("values", values), ("row_splits", splits)):
            if array.dtype != np.int64:
                raise DtypeError(f"{name}: {part} must be int64, not {array.dtype}")
            if array.ndim != 1:
                raise ShapeError(f"{name}: {part} must have one dimension, not {array.ndim}")
        ascending = len(splits) > 0 and splits[0] == 0 and splits[-1] == len(values)
        if not ascending or (splits[1:] < splits[:-1]).any():
            raise ShapeError(f"{name}: row_splits must ascend from 0 to {len(values)}, the number of values")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The rows of one step on one rank (or, with ``global_rows == rows``, a whole global batch).

    Attributes
    ----------
    ragged : mapping of feature name to Ragged
        Categorical features; each has ``rows`` rows.
    dense : mapping of name to float32 [rows] or [rows, d]
        Everything else; the label is ``dense["label"]``.
    rows : int
        Rows here (B_r); may be 0.
    global_rows : int
        Rows of the global batch (G).
    first_row : int
        Number of the first row here within the global batch.
    req_time, global_req_time : int
        Seconds since the epoch of the first row here, and of the first row of the global batch: the times that updates
        give to rows (0: none).
    """

    ragged: Mapping[str, Ragged]
    dense: Mapping[str, NDArray[np.float32]]
    rows: int
    global_rows: int = -1
    first_row: int = 0
    req_time: int = 0
    global_req_time: int = 0

    def __post_init__(self) -> None:
        if self.global_rows < 0:
            object.__setattr__(self, "global_rows", self.rows)

    @property
    def label(self) -> NDArray[np.float32]:
        """The labels, float32 [rows]."""
        return self.dense["label"]

    def slice_rows(self, low: int, high: int) -> Batch:
        """Rows ``low`` to ``high`` (exclusive) of this batch, as views where possible."""
        return Batch(
            {name: ragged.slice_rows(low, high) for name, ragged in self.ragged.items()},
            {name: array[low:high] for name, array in self.dense.items()},
            high - low,
            self.global_rows,
            self.first_row + low,
            self.req_time,
            self.global_req_time,
        )

    def checked(self) -> Batch:
        """This batch if all of its parts are well formed and have ``rows`` rows; an error naming the part else."""
        for name, ragged in self.ragged.items():
            if ragged.checked(name).rows != self.rows:
                raise ShapeError(f"feature {name}: {ragged.rows} rows in a batch of {self.rows}")
        for name, array in self.dense.items():
            if array.dtype != np.float32:
                raise DtypeError(f"{name} must be float32, not {array.dtype}")
            if len(array) != self.rows:
                raise ShapeError(f"{name}: {len(array)} rows in a batch of {self.rows}")
        return self
