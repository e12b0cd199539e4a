"""What rank 0 shows while it trains: a bar on a terminal, else a line now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monolith_ref.progress import Bar
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
    """Writes to standard error, on rank 0 only; without ``bar`` lines alone, on a terminal too."""

    def __init__(self, bar: bool = True) -> None:
        self._bar = Bar("train", wanted=bar)

    def on_start(self, trainer: Trainer) -> None:
        """See :class:`Callback`."""
        if trainer.communicator.rank == 0:
            self._bar.update(trainer.engine.global_step, trainer.steps)
            self._bar.start()

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        """See :class:`Callback`."""
        if trainer.communicator.rank != 0:
            return
        made = result.step + 1
        if self._bar.shown:
            self._bar.update(made, what=f"loss {float(result.loss):.4f}")
        elif made % trainer.config.settings["training.log_every"] == 0 and made < trainer.steps:
            self._bar.tell(f"step {made} of {trainer.steps}, loss {float(result.loss):.6g}")

    def on_evaluate(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """See :class:`Callback`."""
        if trainer.communicator.rank == 0:
            self._bar.tell(f"step {evaluation.step}: {_words(evaluation)}")

    def on_end(self, trainer: Trainer, result: TrainResult) -> None:
        """See :class:`Callback`."""
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()
