"""The directory of a training run, decided by rank 0 before anything else happens. Rule: job 2."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from monolith_ref.errors import ConfigError
from monolith_ref.sync.communicator import Communicator

__all__ = ["CHECKPOINTS", "EVENTS", "MODEL_DUMP", "OUTPUTS", "REPORT", "prepare_outputs"]

CHECKPOINTS, EVENTS, MODEL_DUMP, REPORT = "checkpoint", "events", "model_dump", "report"
OUTPUTS = (CHECKPOINTS, EVENTS, MODEL_DUMP, f"{REPORT}.html", f"{REPORT}.json")
"""What a run leaves in its directory; ``overwrite`` removes just these."""


def prepare_outputs(chosen: str | Path, communicator: Communicator, *, overwrite: bool, resume: bool) -> Path:
    """The directory of this run, made and writable; rank 0's counts. Collective.

    Raises
    ------
    ConfigError
        On every rank: not a directory, not empty without ``overwrite`` or ``resume``, or not writable.
    """
    problem, path = "", ""
    if communicator.rank == 0:
        directory = Path(chosen).absolute()
        path = str(directory)
        try:
            _prepare(directory, overwrite, resume)
        except ConfigError as error:
            problem = str(error)
        except OSError as error:
            problem = f"the model directory {directory} is not writable: {error.strerror}"
    answer = communicator.broadcast_bytes(f"{problem}\n{path}".encode(), 0, "train: model directory").decode()
    problem, _, path = answer.partition("\n")
    if problem:
        raise ConfigError(problem)
    return Path(path)


def _prepare(directory: Path, overwrite: bool, resume: bool) -> None:
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"the model directory {directory} is a file")
    taken = [name for name in OUTPUTS if (directory / name).exists()]
    if taken and not (overwrite or resume):
        raise ConfigError(
            f"the model directory {directory} holds {taken[0]} of an earlier run; --overwrite replaces it, --resume "
            "continues that run"
        )
    directory.mkdir(parents=True, exist_ok=True)
    # Only writing shows whether writing works: permissions say nothing to root, and nothing about the disk.
    with tempfile.TemporaryFile(dir=directory):
        pass
    for name in taken if overwrite and not resume else ():
        target = directory / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()
