"""The directory of a training run, decided by rank 0 before anything else happens. Rule: job 2."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from monolith_ref.errors import ConfigError
from monolith_ref.sync.communicator import Communicator

__all__ = [
    "CHECKPOINTS",
    "EVENTS",
    "MODEL_DUMP",
    "OUTPUTS",
    "REPORT",
    "agreed_directory",
    "prepare_outputs",
    "remove_outputs",
]

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
    return agreed_directory(
        lambda: Path(chosen).absolute(),
        lambda directory: _prepare(directory, overwrite, resume),
        communicator,
        "train: model directory",
    )


def agreed_directory(
    choose: Callable[[], Path], prepare: Callable[[Path], None], communicator: Communicator, what: str
) -> Path:
    """The directory that rank 0 chooses and prepares, on every rank. Collective.

    Raises
    ------
    ConfigError
        On every rank: what ``prepare`` raised, or that the directory is not writable.
    """
    problem, path = "", ""
    if communicator.rank == 0:
        directory = choose()
        path = str(directory)
        try:
            prepare(directory)
        except ConfigError as error:
            problem = str(error)
        except OSError as error:
            problem = f"the model directory {directory} is not writable: {error.strerror}"
    answer = communicator.broadcast_bytes(f"{problem}\n{path}".encode(), 0, what).decode()
    problem, _, path = answer.partition("\n")
    if problem:
        raise ConfigError(problem)
    return Path(path)


def remove_outputs(directory: Path, names: Iterable[str]) -> None:
    """Remove these files and folders of an earlier run; what is not there is no error."""
    for name in names:
        target = directory / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


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
    if overwrite and not resume:
        remove_outputs(directory, taken)
