"""What a trainer tells whoever watches it. Rule: sync_training 4 (nothing here changes a bit of the model)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from monolith_ref.training.metrics import Evaluation
from monolith_ref.training.observer import StepResult

if TYPE_CHECKING:
    from monolith_ref.training.history import Window
    from monolith_ref.training.trainer import Trainer, TrainResult

__all__ = ["Callback"]


class Callback:
    """Override what you need. Every rank calls its callbacks at the same points; what one raises ends the run."""

    def on_start(self, trainer: Trainer) -> None:
        """Once, before the first step (after a restore, if any)."""

    def on_step(self, trainer: Trainer, result: StepResult) -> None:
        """After all updates of a step. Arrays of ``result`` are valid until the next one."""

    def on_window(self, trainer: Trainer, window: Window) -> None:
        """After every ``training.report_every`` steps: what they took, over all ranks."""

    def on_evaluate(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """After an evaluation."""

    def on_checkpoint(self, trainer: Trainer, path: Path) -> None:
        """After a checkpoint; ``path`` is its manifest."""

    def on_end(self, trainer: Trainer, result: TrainResult) -> None:
        """Once, after the last step, evaluation and checkpoint."""
