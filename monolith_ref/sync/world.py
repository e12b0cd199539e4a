"""How this process was started, and the MPI communicator it makes once.

Launchers that do not match are errors, never N serial runs. Rule: job 5.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from monolith_ref.errors import ArgumentError, EnvironmentMissing
from monolith_ref.sync.communicator import Communicator, SerialCommunicator

if TYPE_CHECKING:
    from monolith_ref.sync.mpi import MpiCommunicator

__all__ = ["Launcher", "current_communicator", "launcher", "open_communicator"]

OPEN_MPI = "Open MPI"
"""Its name, as its launcher and as mpi4py know it."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """What the environment says about how this process was started.

    Attributes
    ----------
    name : str
        Family of MPI whose launcher it was.
    variable : str
        Environment variable that says so.
    rank, ranks : int
        ``ranks`` is at least ``rank + 1`` where the launcher gives no total.
    """

    name: str
    variable: str
    rank: int
    ranks: int


def launcher(environment: Mapping[str, str] | None = None) -> Launcher | None:
    """The launcher of this process, or None if nothing says that there was one."""
    given = os.environ if environment is None else environment

    def number(name: str) -> int | None:
        text = given.get(name, "")
        return int(text) if text.isdigit() else None

    for name, rank_variable, size_variable in (
        (OPEN_MPI, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("an MPI of the MPICH family", "PMI_RANK", "PMI_SIZE"),
        ("a PMIx launcher", "PMIX_RANK", "PMIX_SIZE"),
    ):
        rank, ranks = number(rank_variable), number(size_variable)
        if rank is None and ranks is None:
            continue
        rank = rank or 0
        variable = size_variable if ranks is not None else rank_variable
        return Launcher(name, variable, rank, max(ranks or 1, rank + 1))
    return None


_made: dict[str, MpiCommunicator] = {}


def current_communicator() -> MpiCommunicator | None:
    """The MPI communicator that this process has made, if any."""
    return _made.get("mpi")


def open_communicator(kind: Literal["auto", "serial", "mpi"], timeout: float) -> Communicator:
    """The communicator of this process; parameters and errors as of ``launch.make_communicator``."""
    if kind not in ("auto", "serial", "mpi"):
        raise ArgumentError(f"sync.communicator must be auto, serial or mpi, not {kind!r}")
    made = current_communicator()
    if made is not None and kind != "serial":
        made.timeout = timeout
        return made
    started = launcher()
    several = started is not None and started.ranks > 1
    if kind == "serial" or (kind == "auto" and not several):
        if started is not None and several:
            raise EnvironmentMissing(
                f"{started.name} started {started.ranks} processes ({started.variable}), but sync.communicator "
                "is serial: that would be as many independent runs"
            )
        return SerialCommunicator(timeout)
    size, library = _start_mpi(started)
    if size > 1:
        from monolith_ref.sync.mpi import MpiCommunicator

        _made["mpi"] = MpiCommunicator(timeout)
        return _made["mpi"]
    if started is not None and several:
        raise _mismatch(started, library)
    return SerialCommunicator(timeout)


def _start_mpi(started: Launcher | None) -> tuple[int, str]:
    """Number of ranks that mpi4py sees, and the name of its MPI."""
    asked = (
        f"{started.name} started {started.ranks} processes ({started.variable})"
        if started is not None
        else "sync.communicator is mpi"
    )
    try:
        import mpi4py

        if "mpi4py.MPI" not in sys.modules:
            # MPI starts below: an MPI that a foreign launcher started may end the process there without a word of ours.
            mpi4py.rc.initialize = False
        with warnings.catch_warnings():
            # mpi4py warns at length of a launcher of another MPI; the error says it in one line.
            warnings.simplefilter("ignore", RuntimeWarning)
            from mpi4py import MPI
    except ImportError as error:
        raise EnvironmentMissing(
            f"{asked}, but mpi4py is not usable ({error}): pip install 'monolith-ref[mpi]'"
        ) from error
    except RuntimeError as error:
        raise EnvironmentMissing(f"{asked}, but mpi4py finds no MPI library ({error})") from error
    vendor, version = MPI.get_vendor()
    library = f"{vendor} {'.'.join(map(str, version))}"
    if not MPI.Is_initialized():
        if started is not None and started.ranks > 1 and started.name == OPEN_MPI != vendor:
            raise _mismatch(started, library)
        # One thread at a time calls MPI here; asking for less than "multiple" saves its locks.
        MPI.Init_thread(MPI.THREAD_SERIALIZED)
        atexit.register(_finish_mpi)
    return int(MPI.COMM_WORLD.Get_size()), library


def _finish_mpi() -> None:
    from mpi4py import MPI

    if not MPI.Is_finalized():
        MPI.Finalize()


def _mismatch(started: Launcher, library: str) -> EnvironmentMissing:
    return EnvironmentMissing(
        f"{started.name} started {started.ranks} processes ({started.variable}), but mpi4py uses {library}, "
        f"which sees one: start with the mpiexec of {library}{_matching_mpiexec()}"
    )


def _matching_mpiexec() -> str:
    """' (path)' of the mpiexec beside this Python, where there is one."""
    beside = Path(sys.executable).parent / "mpiexec"
    if beside.exists():
        return f" ({beside})"
    found = shutil.which("mpiexec")
    return f" ({found} is the first one in PATH)" if found else ""
