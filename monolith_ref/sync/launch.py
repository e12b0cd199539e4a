"""From settings to a communicator."""

from __future__ import annotations

from typing import Literal

from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.guard import install_excepthook
from monolith_ref.sync.world import open_communicator

__all__ = ["make_communicator"]


def make_communicator(kind: Literal["auto", "serial", "mpi"] = "auto", timeout: float = 60.0) -> Communicator:
    """The communicator of this process.

    Parameters
    ----------
    kind : {"auto", "serial", "mpi"}
        ``auto``: MPI where a launcher started more than one process, else serial. A single rank is always served by
        :class:`SerialCommunicator`. Among several ranks, an exception that nobody catches ends them all from here on.
    timeout : float
        ``sync.timeout``, seconds; 0: wait for ever.

    Raises
    ------
    EnvironmentMissing
        mpi4py (or the MPI under it) is needed and cannot be imported; or the launcher says that there is more than
        one process while the communicator has one.
    """
    communicator = open_communicator(kind, timeout)
    if communicator.size > 1:
        install_excepthook()
    return communicator
