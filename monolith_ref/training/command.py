"""What ``monolith-ref train`` does, from a file to outputs. Rule: job 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monolith_ref.training.callbacks import Callback
from monolith_ref.training.progress import Progress
from monolith_ref.training.recipe.load import load_train_config
from monolith_ref.training.summary import report_of, summary_text
from monolith_ref.training.trainer import Trainer

__all__ = ["train_from_file"]


def train_from_file(
    path: Path,
    overrides: Mapping[str, str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Path | None = None,
    export: Path | None = None,
    progress: bool = True,
    as_json: bool = False,
) -> str | dict[str, Any] | None:
    """Train to the end and write what the file asks for; what is to be printed (rank 0 only). Collective."""
    config = load_train_config(path, overrides)
    directory = config.settings["model_dir"] or f"runs/{config.model.name}"
    bar = Progress()
    callbacks: list[Callback] = [bar] if progress else []
    trainer = Trainer(config, callbacks=callbacks, directory=directory, overwrite=overwrite, resume=resume)
    try:
        result = trainer.fit()
    finally:
        bar.close()
    if trainer.communicator.rank != 0:
        return None
    found = report_of(trainer, result)
    return found if as_json else summary_text(found)
