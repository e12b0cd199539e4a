"""Event files that TensorBoard reads: a TFRecord of Event messages with scalars by step."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from monolith_protos.event_pb2 import Event

from monolith_ref.checkpoint.container import frame
from monolith_ref.training.callbacks import Callback
from monolith_ref.training.metrics import Evaluation

if TYPE_CHECKING:
    from monolith_ref.training.history import Window
    from monolith_ref.training.trainer import Trainer, TrainResult

__all__ = ["EventFile", "EventFiles"]

_VERSION = "brain.Event:2"
"""What readers expect of the first record."""


class EventFile:
    """One file ``events.out.tfevents.<seconds>.<host>.<process>``, opened for appending.

    ``folder`` is made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        self._stream = self.path.open("ab")
        self._write(Event(wall_time=time.time(), file_version=_VERSION))

    def _write(self, event: Event) -> None:
        self._stream.write(frame(event.SerializeToString()))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write values by tag, and let readers see them."""
        event = Event(wall_time=time.time(), step=step)
        for tag, value in values.items():
            event.summary.value.add(tag=tag, simple_value=value)
        self._write(event)
        self._stream.flush()

    def close(self) -> None:
        """No more events."""
        self._stream.close()


class EventFiles(Callback):
    """Loss, speed, phases, bytes and evaluations as event files, written by rank 0."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: EventFile | None = None

    def on_start(self, trainer: Trainer) -> None:
        """See :class:`Callback`."""
        if trainer.communicator.rank == 0:
            self._file = EventFile(self._folder)

    def on_window(self, trainer: Trainer, window: Window) -> None:
        """See :class:`Callback`."""
        if self._file is None:
            return
        values = {"train/loss": window.loss}
        if window.seconds > 0:
            values["speed/ids_per_second"] = window.ids / window.seconds
            values["speed/rows_per_second"] = window.rows / window.seconds
        values |= {f"phase_seconds/{name}": seconds for name, seconds in window.phases.items()}
        values |= {f"sent_bytes/{name}": count for name, count in window.sent.items()}
        values["rows/owned"] = float(sum(window.owned))
        values["memory/peak_bytes"] = float(max(window.memory))
        self._file.scalars(window.step, values)

    def on_evaluate(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """See :class:`Callback`."""
        if self._file is None:
            return
        values = {"evaluation/loss": evaluation.loss, "evaluation/mean_prediction": evaluation.mean_prediction}
        if evaluation.auc is not None:
            values["evaluation/auc"] = evaluation.auc
        self._file.scalars(evaluation.step, values)

    def on_end(self, trainer: Trainer, result: TrainResult) -> None:
        """See :class:`Callback`."""
        if self._file is not None:
            self._file.close()
