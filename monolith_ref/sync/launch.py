"""From settings to a communicator; launchers that do not match are errors, never N serial runs. Rule: job 5."""

from __future__ import annotations

from typing import Literal

from monolith_ref.sync.communicator import Communicator

__all__ = ["make_communicator"]


def make_communicator(kind: Literal["auto", "serial", "mpi"] = "auto", timeout: float = 60.0) -> Communicator:
    """The communicator of this process.

    ``auto``: MPI if mpi4py can be imported and either a launcher started this process or there is one rank anyway;
    ``mpi`` without mpi4py, or a launcher of another MPI than mpi4py's: EnvironmentMissing. ``timeout``: ``sync.timeout``.
    """
    raise NotImplementedError
