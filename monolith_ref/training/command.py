"""What ``monolith-ref train`` does, from a file to outputs. Rule: job 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monolith_ref.errors import ConfigError
from monolith_ref.training.callbacks import Callback
from monolith_ref.training.event_files import EventFiles
from monolith_ref.training.export import check_export, export_serving, write_model_dump
from monolith_ref.training.outputs import EVENTS, MODEL_DUMP
from monolith_ref.training.progress import Progress
from monolith_ref.training.recipe.load import load_train_config
from monolith_ref.training.report import write_report
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
    directory = Path(config.settings["model_dir"] or f"runs/{config.model.name}")
    bar = Progress(bar=not as_json)
    callbacks: list[Callback] = [bar] if progress else []
    trainer = Trainer(config, callbacks=callbacks, directory=directory, overwrite=overwrite, resume=resume)
    place = trainer.directory
    assert place is not None
    if config.output.events:
        trainer.callbacks.append(EventFiles(place / EVENTS))
    chosen = export if export is not None else config.output.export
    if chosen is not None:
        check_export(Path(chosen), trainer.communicator)
    try:
        result = trainer.fit()
    finally:
        bar.close()
    if chosen is not None:
        export_serving(trainer.engine, Path(chosen))
    if trainer.communicator.rank != 0:
        return None
    found = report_of(trainer, result)
    try:
        if config.output.model_dump:
            write_model_dump(place / MODEL_DUMP, trainer.engine)
        if config.output.report or report is not None:
            write_report(place if report is None else report, found)
    except OSError as error:
        raise ConfigError(f"trained and saved, but outputs cannot be written: {error}") from None
    return found if as_json else summary_text(found)
