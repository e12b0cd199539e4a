"""Who takes part, and the processes that do the work."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["CONTENDERS", "Contender", "Ended", "Process", "Worker", "environments"]

WORKERS = Path(__file__).parent / "workers"
START_LIMIT = 180.0
"""Seconds that a process may take to load its library."""


@dataclass(frozen=True)
class Contender:
    """Attributes: ``name``; ``script`` of its worker; ``home``: this environment, or the one of peers or of tfra."""

    name: str
    script: str
    home: str = "own"


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("engine", "engine_worker.py"),
        Contender("limit", "limit_worker.py"),
        Contender("numpy", "numpy_worker.py"),
        Contender("torch", "torch_worker.py", "peers"),
        Contender("fbgemm", "fbgemm_worker.py", "peers"),
        Contender("tensorflow", "tensorflow_worker.py", "peers"),
        Contender("tensorflow-hash", "tensorflow_worker.py", "peers"),
        Contender("tfra", "tfra_worker.py", "tfra"),
    )
}


class Ended(Exception):
    """A worker that cannot be started, or is gone; the text says why."""


class Worker(Protocol):
    """What a run asks of a contender's process."""

    about: dict[str, Any]

    def ask(self, command: dict[str, Any], limit: float) -> dict[str, Any]:
        """Send one command, wait for the answer; Ended where none comes within ``limit`` seconds."""
        ...

    def stop(self) -> None:
        """End the process."""
        ...


def environments(peers: Path | None, tfra: Path | None) -> dict[str, Path | None]:
    """Interpreter by home; None where there is none."""
    found: dict[str, Path | None] = {"own": Path(sys.executable)}
    for name, folder in (("peers", peers), ("tfra", tfra)):
        python = folder / "bin" / "python" if folder is not None else None
        found[name] = python if python is not None and python.exists() else None
    return found


@dataclass
class Process:
    """A worker in a process of its own, with a number of threads.

    Attributes
    ----------
    about : dict
        What it said of itself first: ``version``.
    """

    contender: Contender
    python: Path
    threads: int
    log: Path
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = {
            "BENCH_CONTENDER": self.contender.name,
            "OMP_NUM_THREADS": str(self.threads),
            "MKL_NUM_THREADS": str(self.threads),
            "OPENBLAS_NUM_THREADS": str(self.threads),
            "CUDA_VISIBLE_DEVICES": "",
        }
        self._unread = b""
        with open(self.log, "a") as errors:
            self._said_before = errors.tell()
            self._process = subprocess.Popen(
                [str(self.python), str(WORKERS / self.contender.script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **settings},
            )
        try:
            self.about = self._answer(START_LIMIT)
        except Ended as why:
            self.stop()
            raise Ended(f"cannot start: {why}") from None

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ask(self, command: dict[str, Any], limit: float) -> dict[str, Any]:
        """Send one command, wait for the answer; a process that gives none within ``limit`` seconds is ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise Ended(self._last_words()) from None
        return self._answer(limit)

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _answer(self, limit: float) -> dict[str, Any]:
        until = time.monotonic() + limit
        while (line := self._line(until)) is not None:
            # Some libraries print when they are loaded, before the worker can send that elsewhere.
            if line.startswith(b"{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        if self._process.poll() is None and time.monotonic() >= until:
            self._process.kill()
            self._process.wait()
            raise Ended(f"gave no answer within {limit:g} s and was ended")
        raise Ended(f"its process ended ({self._process.wait()}): {self._last_words()}")

    def _line(self, until: float) -> bytes | None:
        """The next line of the process's output; None at its end, or when time is up."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            left = until - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                return None
            part = os.read(pipe, 1 << 16)
            if not part:
                return None
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _last_words(self) -> str:
        """The last line that the process wrote to its log."""
        said = self.log.read_bytes()[self._said_before :].decode(errors="replace")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it said nothing"
