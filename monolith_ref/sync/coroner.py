"""Says which rank died when one is killed: the launcher ends the others at once, so no rank lives to tell.

Each rank starts a shell that waits at the far end of a pipe. When the rank ends without saying good-bye the pipe
closes, and the first shell to notice on this machine (it creates a file, which only one can) writes one line. Only
builtins run until then: starting a program would take longer than the launcher takes to kill the next rank.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
from typing import Any

import numpy as np

__all__ = ["Coroner"]

SCRIPT = (
    'if read -r word; then exit 0; fi; set -C; if { true > "$CLAIM"; } 2>/dev/null; then echo "$TEXT" >&2; fi; '
    'exec 2>/dev/null; sleep 2; rm -f "$CLAIM"'
)


class Coroner:
    """The shell beside one rank; none where ranks are spread over machines (the launcher names process and host)."""

    def __init__(self, mpi: Any, comm: Any) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._claimed = False
        rank = comm.Get_rank()
        token = np.frombuffer(os.urandom(8), np.uint64).copy()
        comm.Bcast([token, mpi.BYTE], 0)
        self._claim = os.path.join(tempfile.gettempdir(), f"monolith-ref-{os.getuid()}-{int(token[0]):016x}")
        node = comm.Split_type(mpi.COMM_TYPE_SHARED)
        alone = node.Get_size() < comm.Get_size()
        node.Free()
        if alone or not os.path.exists("/bin/sh"):
            return
        text = f"monolith-ref: error: rank {rank} (process {os.getpid()}) was killed"
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath), "CLAIM": self._claim, "TEXT": text},
            start_new_session=True,
        )
        atexit.register(self.dismiss)

    def claim(self) -> bool:
        """This rank ends the job itself and says why: nobody else should. False where another one already does."""
        if self._process is None or self._claimed:
            return True
        try:
            os.close(os.open(self._claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        except OSError:
            return True
        self._claimed = True
        return True

    def claimed_by_another(self) -> bool:
        """Somebody else on this machine already says why the job ends (or nobody here could)."""
        return self._process is None or (not self._claimed and os.path.exists(self._claim))

    def dismiss(self) -> None:
        """Good-bye: the rank ends as it should."""
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(b"bye\n")
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        self._process.wait()
        self._process = None
