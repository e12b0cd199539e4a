"""Run by mpiexec: ``monolith-ref ARGUMENTS…`` in which one rank kills itself at a point counted in advance.

    python -m tests.support.ranks_killed RANK POINT ARGUMENTS…

Points are what a job can be caught in: every exchange, fsync and rename. Rank RANK is gone as by ``kill -9`` when it
comes to its POINT-th one (0: never; then the rank says how many points there were).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from monolith_ref.cli.app import run
from monolith_ref.sync.mpi import MpiCommunicator

POINTS = [(MpiCommunicator, "_wait"), (os, "fsync"), (os, "replace")]


def main() -> int:
    rank, last, line = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    made = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == last and os.environ.get("PMI_RANK", "0") == str(rank):
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return wrapper

    for owner, name in POINTS:
        setattr(owner, name, counted(getattr(owner, name)))
    code = run(line)
    os.write(1, f"points {made}\n".encode())
    return code


if __name__ == "__main__":
    sys.exit(main())
