"""Start ranks with the mpiexec beside this Python, and look at what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TextIO

import pytest

__all__ = ["Job", "Result", "run_ranks", "start_ranks"]


@dataclass(slots=True)
class Result:
    """How a job ended: exit code of mpiexec, what all ranks wrote, wall time."""

    code: int
    stdout: str
    stderr: str
    seconds: float


class Job:
    """A running job; its ranks write ``pid <rank> <pid>`` lines where a test wants to signal them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._since = monotonic()
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: TextIO, lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    lines.append(line.rstrip("\n"))
                    self._changed.notify_all()

    def wait_for(self, prefix: str, count: int = 1, timeout: float = 60.0) -> list[str]:
        """Wait until ``count`` lines beginning with ``prefix`` have come; they, without it."""
        until = monotonic() + timeout
        with self._changed:
            while True:
                found = [line[len(prefix) :].strip() for line in self.lines if line.startswith(prefix)]
                if len(found) >= count:
                    return found
                left = until - monotonic()
                if left <= 0 or self.process.poll() is not None:
                    raise AssertionError(f"{len(found)} of {count} lines '{prefix}': {self.lines}{self.errors}")
                self._changed.wait(min(left, 0.5))

    def pids(self, ranks: int) -> dict[int, int]:
        """Process of each rank, from its ``pid`` line."""
        return {int(rank): int(pid) for rank, pid in (line.split() for line in self.wait_for("pid", ranks))}

    def end(self, timeout: float = 60.0) -> Result:
        """Wait for the end of the job; kills it and fails where it does not come."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"the job did not end within {timeout} s: {self.lines}{self.errors}") from None
        finally:
            seconds = monotonic() - self._since
            for reader in self._readers:
                reader.join(10)
        return Result(self.process.returncode, "\n".join(self.lines), "\n".join(self.errors), seconds)


def start_ranks(ranks: int, arguments: list[str], env: dict[str, str] | None = None) -> Job:
    """``mpiexec -n ranks python arguments…``, with this interpreter; skips where there is no MPI."""
    pytest.importorskip("mpi4py")
    mpiexec = Path(sys.executable).parent / "mpiexec"
    if not mpiexec.exists():
        pytest.skip("there is no mpiexec beside this Python")
    path = os.pathsep.join(
        [str(Path(__file__).resolve().parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    )
    environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), **(env or {})}
    process = subprocess.Popen(
        [str(mpiexec), "-n", str(ranks), sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    return Job(process)


def run_ranks(ranks: int, arguments: list[str], timeout: float = 120.0, env: dict[str, str] | None = None) -> Result:
    """Start and wait; see :func:`start_ranks`."""
    return start_ranks(ranks, arguments, env).end(timeout)
