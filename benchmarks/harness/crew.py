"""The processes of a run: started when a job needs them, kept from job to job, given up where they keep failing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.harness.contenders import CONTENDERS, Ended, Process
from benchmarks.harness.plan import Job

__all__ = ["Crew"]

INSTALL = {
    "peers": "its environment is not there: make bench-peers",
    "tfra": "its environment is not there, or could not be made: make bench-peers",
}
TRIES = 3
"""Breakdowns after which a contender is left out: each may have cost a time limit."""


class Crew:
    """Processes that are kept while the number of threads stays.

    Attributes
    ----------
    absent : dict of contender to reason
        Those that do not take part, or no longer.
    versions : dict of contender to text
    """

    def __init__(self, homes: dict[str, Path | None], log: Path, skipped: Iterable[str] = ()) -> None:
        self._homes, self._log = homes, log
        self._running: dict[str, Process] = {}
        self._threads = 0
        self._breakdowns: Counter[str] = Counter()
        self.absent = dict.fromkeys(skipped, "left out")
        self.versions: dict[str, str] = {}

    @property
    def idle(self) -> bool:
        """Whether no process runs."""
        return not self._running

    def workers(self, job: Job) -> dict[str, Process]:
        """Processes of a job's contenders, with its number of threads."""
        if job.threads != self._threads:
            self.stop()
            self._threads = job.threads
        if job.alone:
            self.stop(keep=job.contenders)
        for name in job.contenders:
            if name in self._running and not self._running[name].alive:
                # It broke down in the job before; that job says so.
                self._running.pop(name).stop()
                self._breakdowns[name] += 1
                if self._breakdowns[name] == TRIES:
                    self.absent[name] = f"broke down {TRIES} times, not tried again"
            if name not in self._running and name not in self.absent:
                self._start(name)
        return {name: self._running[name] for name in job.contenders if name in self._running}

    def _start(self, name: str) -> None:
        contender = CONTENDERS[name]
        python = self._homes[contender.home]
        if python is None:
            self.absent[name] = INSTALL[contender.home]
            return
        try:
            self._running[name] = Process(contender, python, self._threads, self._log / f"{name}.log")
            self.versions[name] = str(self._running[name].about.get("version"))
        except Ended as why:
            self.absent[name] = str(why)

    def stop(self, keep: Iterable[str] = ()) -> None:
        """End every process but those to keep."""
        for name in set(self._running) - set(keep):
            self._running.pop(name).stop()
