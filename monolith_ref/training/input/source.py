"""Log files as global batches in the specified order. Rule: job 1, sync_training 6.1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, ConfigError
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.training.input.encode import encode
from monolith_ref.training.input.mapping import InputMap
from monolith_ref.training.input.readers import read_files
from monolith_ref.training.order import row_order

__all__ = ["LogSource", "open_logs", "take_rows"]


def _take(ragged: Ragged, rows: NDArray[np.int64]) -> Ragged:
    starts = ragged.row_splits[rows]
    lengths = ragged.row_splits[rows + 1] - starts
    splits = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=splits[1:])
    positions = np.arange(splits[-1]) + np.repeat(starts - splits[:-1], lengths)
    return Ragged(ragged.values[positions], splits)


def take_rows(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """The given rows of a batch, in that order (copies)."""
    return Batch(
        {name: _take(ragged, rows) for name, ragged in batch.ragged.items()},
        {name: array[rows] for name, array in batch.dense.items()},
        len(rows),
    )


class LogSource:
    """A BatchSource over rows read from files: shuffled per epoch, cut into batches of ``batch_size``, tail kept.

    ``shuffle=False``: every epoch has the order of the rows. ``times``: seconds since the epoch of each row.

    Attributes
    ----------
    map : InputMap
    data : Batch
        All rows in file order, each feature as one Ragged of fids (slot in the upper bits).
    batch_size, epochs, seed : int
    steps : int
        Global batches of all epochs.
    """

    def __init__(
        self,
        input_map: InputMap,
        data: Batch,
        *,
        batch_size: int,
        epochs: int = 1,
        seed: int = 42,
        shuffle: bool = True,
        times: NDArray[np.int64] | None = None,
    ) -> None:
        for name, value in (("training.batch_size", batch_size), ("training.epochs", epochs)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, it is {value}")
        self.map = input_map
        self.data = data
        self.batch_size = batch_size
        self.epochs = epochs
        self.seed = seed
        self._shuffle = shuffle
        self._times = times
        self._per_epoch = -(-data.rows // batch_size)
        self._order: tuple[int, NDArray[np.int64]] | None = None

    @property
    def steps(self) -> int:
        """Global batches of all epochs."""
        return self._per_epoch * self.epochs

    def _place(self, step: int) -> tuple[int, int, int]:
        """(epoch, first row in the epoch's order, rows) of a global batch; no rows after the last."""
        epoch, number = divmod(step, self._per_epoch)
        first = number * self.batch_size
        rows = min(self.batch_size, self.data.rows - first)
        return epoch, first, rows if 0 <= step < self.steps else 0

    def global_rows(self, step: int) -> int:
        """Rows of global batch ``step``; 0 after the last."""
        return self._place(step)[2]

    def rows(self, step: int, low: int, high: int) -> Batch:
        """Rows ``low`` to ``high`` of global batch ``step``; ArgumentError outside of it."""
        epoch, first, total = self._place(step)
        if not 0 <= low <= high <= total:
            raise ArgumentError(f"step {step} has {total} rows; {low} to {high} are not among them")
        order = self._order_of(epoch)[first : first + total]
        taken = take_rows(self.data, order[low:high])
        own = int(self._times[order[low]]) if self._times is not None and low < high else 0
        first_time = int(self._times[order[0]]) if self._times is not None and total else 0
        return Batch(taken.ragged, taken.dense, taken.rows, total, low, own, first_time)

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        if self._order is None or (self._shuffle and self._order[0] != epoch):
            rows = self.data.rows
            order = row_order(self.seed, epoch, rows) if self._shuffle else np.arange(rows, dtype=np.int64)
            self._order = epoch, order
        return self._order[1]


def open_logs(
    paths: Sequence[str | Path], input_map: InputMap, *, batch_size: int, epochs: int = 1, seed: int = 42
) -> LogSource:
    """Read all files (CSV, TSV, JSON lines, TFRecord of tf.Example), each row hashed and labelled.

    FormatError (path, record, column) or ConfigError before anything is trained.
    """
    table = read_files(paths, input_map.wanted())
    return LogSource(input_map, encode(table, input_map), batch_size=batch_size, epochs=epochs, seed=seed)
