"""Log files as global batches in the specified order. Rule: job 1, sync_training 6.1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monolith_ref.features.ragged import Batch
from monolith_ref.training.input.mapping import InputMap

__all__ = ["LogSource", "open_logs"]


class LogSource:
    """A BatchSource over rows read from files: shuffled per epoch, cut into batches of ``batch_size``, tail kept.

    Attributes
    ----------
    map : InputMap
    data : Batch
        All rows in file order, each feature as one Ragged of fids (slot in the upper bits).
    steps : int
        Global batches of all epochs.
    """

    map: InputMap
    data: Batch
    steps: int

    def global_rows(self, step: int) -> int:
        """Rows of global batch ``step``; 0 after the last."""
        raise NotImplementedError

    def rows(self, step: int, low: int, high: int) -> Batch:
        """Rows ``low`` to ``high`` of global batch ``step``."""
        raise NotImplementedError


def open_logs(
    paths: Sequence[str | Path], input_map: InputMap, *, batch_size: int, epochs: int = 1, seed: int = 42
) -> LogSource:
    """Read all files (TFRecord of tf.Example, CSV, TSV, JSON lines; ``.gz`` too); FormatError or ConfigError
    before any step."""
    raise NotImplementedError
