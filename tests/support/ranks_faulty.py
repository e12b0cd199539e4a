"""Run by mpiexec: ``monolith-ref ARGUMENTS…`` in which something happens to one rank.

    python -m tests.support.ranks_faulty FAULT RANK POINT ARGUMENTS…

KILL, STOP, RAISE: at the POINT-th point of rank RANK (0: never) it is gone as by ``kill -9``, falls silent, or raises.
Points are what a job can be caught in: every exchange, fsync and rename; a rank that comes to the end says how many
there were. FULL: from the checkpoint of step POINT on, RANK's disk takes no file of more than 4 KiB. OTHER: RANK has
another ``training.seed``.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from monolith_ref.checkpoint.commit import Sink
from monolith_ref.cli.app import run
from monolith_ref.sync.mpi import MpiCommunicator

POINTS = [(MpiCommunicator, "_wait"), (os, "fsync"), (os, "replace")]
SMALL_FILE = 4096


def strike(fault: str) -> None:
    """It happens to this rank."""
    if fault == "RAISE":
        raise ValueError("a defect on this rank")
    os.kill(os.getpid(), signal.SIGKILL if fault == "KILL" else signal.SIGSTOP)


def fill_disk(step: int) -> None:
    """Limit the size of files from the checkpoint of ``step`` on."""
    make = Sink.__init__

    def limited(sink: Sink, root: Any, path: str, *rest: Any, **options: Any) -> None:
        if f"ckpt-{step}." in path:
            resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILE, SMALL_FILE))
        make(sink, root, path, *rest, **options)

    Sink.__init__ = limited  # type: ignore[method-assign,assignment]


def main() -> int:
    fault, rank, last, line = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    mine = os.environ.get("PMI_RANK", "0") == str(rank)
    made = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == last and mine:
                strike(fault)
            return call(*arguments, **options)

        return wrapper

    if fault in ("KILL", "STOP", "RAISE"):
        for owner, name in POINTS:
            setattr(owner, name, counted(getattr(owner, name)))
    elif mine and fault == "FULL":
        fill_disk(last)
    elif mine and fault == "OTHER":
        os.environ["MONOLITH_REF_TRAINING_SEED"] = "43"
    code = run(line)
    os.write(1, f"points {made}\n".encode())
    return code


if __name__ == "__main__":
    # A rank that has fallen silent outlives a test that is itself killed; not for long.
    signal.alarm(300)
    sys.exit(main())
