"""Where a comparison writes, decided by rank 0 before anything else happens. Rule: job 2."""

from __future__ import annotations

import getpass
import os
import tempfile
import time
from pathlib import Path

from monolith_ref.errors import ConfigError
from monolith_ref.sync.communicator import Communicator
from monolith_ref.training.outputs import agreed_directory, remove_outputs

__all__ = ["OUTPUTS", "default_directory", "prepare_directory"]

OUTPUTS = ("report.json", "report.html", "model_dump", "checkpoint")
"""What a run leaves in its directory; ``--overwrite`` removes just these."""


def default_directory(now: float | None = None) -> Path:
    """``<temporary directory>/<user>/monolith_test/<seconds>``, with ``-2``, ``-3`` ... where that is taken."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    seconds = int(time.time() if now is None else now)
    root = Path(tempfile.gettempdir()) / user / "monolith_test"
    path = root / str(seconds)
    number = 1
    while path.exists():
        number += 1
        path = root / f"{seconds}-{number}"
    return path


def prepare_directory(chosen: str | None, communicator: Communicator, *, overwrite: bool, resume: bool) -> Path:
    """The directory of this run, made and writable; the same on every rank. Collective.

    Raises
    ------
    ConfigError
        On every rank: not a directory, not empty without ``overwrite`` or ``resume``, or not writable.
    """
    return agreed_directory(
        lambda: Path(chosen).absolute() if chosen else default_directory(),
        lambda directory: _prepare(directory, overwrite, resume),
        communicator,
        "compare: model directory",
    )


def _prepare(directory: Path, overwrite: bool, resume: bool) -> None:
    if directory.exists():
        if not directory.is_dir():
            raise ConfigError(f"the model directory {directory} is a file")
        if any(directory.iterdir()) and not (overwrite or resume):
            raise ConfigError(
                f"the model directory {directory} is not empty; --overwrite replaces what an earlier run left in it, "
                "--resume continues that run"
            )
    elif resume:
        raise ConfigError(f"there is nothing to resume: {directory} does not exist")
    directory.mkdir(parents=True, exist_ok=True)
    # Only writing shows whether writing works: permissions say nothing to root, and nothing about the disk.
    with tempfile.TemporaryFile(dir=directory):
        pass
    if overwrite and not resume:
        remove_outputs(directory, OUTPUTS)
