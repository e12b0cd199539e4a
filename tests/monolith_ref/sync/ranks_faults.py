"""Run by mpiexec: a loop of exchanges in which something goes wrong, as the first argument says."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np

from monolith_ref.errors import ConfigError
from monolith_ref.sync.agreement import check_agreement
from monolith_ref.sync.guard import run_guarded
from monolith_ref.sync.launch import make_communicator
from monolith_ref.sync.mpi import MpiCommunicator

MODE = sys.argv[1]
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 10


def say(line: str) -> None:
    """One write: lines of ranks do not mix."""
    os.write(1, f"{line}\n".encode())


def break_mpi() -> None:
    """From now on MPI answers with errors, as it may when the process at the other end is gone."""
    from mpi4py import MPI

    def fail(*arguments: object) -> None:
        raise MPI.Exception(MPI.ERR_OTHER)

    MpiCommunicator._poll = fail  # type: ignore[method-assign,assignment]


def main() -> int:
    if MODE == "early":
        raise ConfigError("unknown option '--steps-per'")
    if MODE == "early-crash" and os.environ["PMI_RANK"] == "1":
        raise ZeroDivisionError("before there is a communicator")
    communicator = make_communicator(timeout=float(os.environ.get("TEST_TIMEOUT", "30")))
    rank, size = communicator.rank, communicator.size
    say(f"pid {rank} {os.getpid()}")
    if MODE == "disagree":
        check_agreement(communicator, {"training.seed": str(rank // 2), "version": "1"})
    counts = np.full(size, 100, np.int64)
    for step in range(STEPS):
        if step == 5:
            say(f"halfway {rank}")
            if MODE == "raise" and rank == 1:
                raise ValueError("a defect on this rank")
            if MODE == "input" and rank == 1:
                raise ConfigError("part-1.csv: no such file")
            if MODE == "all":
                raise ConfigError("the checkpoint is of another configuration")
            if MODE == "broken" and rank == 1:
                break_mpi()
            if MODE == "elsewhere" and rank == 1:
                communicator.barrier("rank 1's own exchange")
        communicator.alltoallv(np.zeros(100 * size), counts, np.empty(100 * size), counts, "rows")
    return 1 if MODE == "differences" else 0


if __name__ == "__main__":
    # A test that is itself killed must not leave ranks that loop for ever.
    signal.alarm(180)
    if MODE == "unguarded":
        MODE = "raise"
        main()
    else:
        sys.exit(run_guarded(main))
