"""What rank 0 shows while it trains: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from monolith_ref.training.callbacks import Callback
from monolith_ref.training.metrics import Evaluation
from monolith_ref.training.observer import StepResult

if TYPE_CHECKING:
    from monolith_ref.training.trainer import Trainer, TrainResult

__all__ = ["Progress"]


def _words(evaluation: Evaluation) -> str:
    auc = "AUC undefined" if evaluation.auc is None else f"AUC {evaluation.auc:.5f}"
    return f"{auc}, loss {evaluation.loss:.5f} on {evaluation.rows} rows"


class Progress(Callback):
    """Writes to standard error, on rank 0 only."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def on_start(self, trainer: Trainer) -> None:
        """See :class:`Callback`."""
        if trainer.communicator.rank != 0 or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("train", total=trainer.steps, completed=trainer.engine.global_step)
        self._bar.start()

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        """See :class:`Callback`."""
        if trainer.communicator.rank != 0:
            return
        made = result.step + 1
        if self._bar is not None:
            self._bar.update(self._task, completed=made, description=f"loss {float(result.loss):.4f}")
        elif made % trainer.config.settings["training.log_every"] == 0 and made < trainer.steps:
            self._line(f"step {made} of {trainer.steps}, loss {float(result.loss):.6g}")

    def on_evaluate(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """See :class:`Callback`."""
        if trainer.communicator.rank == 0:
            self._line(f"step {evaluation.step}: {_words(evaluation)}")

    def on_end(self, trainer: Trainer, result: TrainResult) -> None:
        """See :class:`Callback`."""
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)
