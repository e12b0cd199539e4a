"""Conducting a run: floors first, then what the time allows; results are written whenever there are new ones."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.harness.apart import cold_starts, cuda_table, step_on_ranks
from benchmarks.harness.crew import Crew
from benchmarks.harness.floors import FLOORS, Outcome, judge
from benchmarks.harness.machine import bytes_text, free_bytes, read_machine
from benchmarks.harness.page import html_page
from benchmarks.harness.plan import Job
from benchmarks.harness.report import Measured, Run, job_lines, json_report
from benchmarks.harness.sweep import Unit, fit
from benchmarks.harness.turns import Limits, take_turns

__all__ = ["Conductor"]

ROW_BYTES = 150
"""What a row of a job that runs alone may take in both processes, growth included: for a look at free memory."""


class Conductor:
    """Does jobs and units, keeps ``run`` and its files up to date.

    ``seconds`` bounds the whole run (infinite: not); ``clock`` tells the time since any moment.
    """

    def __init__(
        self,
        crew: Crew,
        rounds: int,
        stem: Path,
        seconds: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = Run()
        self.machine = read_machine()
        self._crew, self._rounds, self._stem = crew, rounds, stem
        self._clock, self._began, self._budget = clock, clock(), seconds

    @property
    def spent(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def perform(self, jobs: Iterable[Job]) -> None:
        """Do jobs; each is printed and written as it is done."""
        for job in jobs:
            self._keep(self._one(job))

    def _one(self, job: Job) -> Measured:
        needed, free = ROW_BYTES * job.spec.get("rows", 0), free_bytes()
        if job.alone:
            self._crew.stop(keep=job.contenders)
        if job.alone and self._crew.idle and free is not None and needed > free:
            reason = f"needs some {bytes_text(needed)} of memory, {bytes_text(free)} are free"
            return Measured(job, {name: Outcome(reason=reason) for name in job.contenders})
        workers = self._crew.workers(job)
        limits = Limits(prepare=180 + 4e-6 * job.spec.get("rows", 0))
        outcomes = take_turns(workers, job.spec, job.rounds or self._rounds, _tell, limits)
        _tell("")
        for name in job.contenders:
            outcomes.setdefault(name, Outcome(reason=self._crew.absent.get(name, "")))
        return Measured(job, {name: outcomes[name] for name in job.contenders})

    def do_units(self, units: Iterable[Unit]) -> None:
        """Do units in their order; what does not fit into the time is dropped, looked at anew before each.

        Estimates are corrected by how long units took so far.
        """
        left, expected, taken = list(units), 1.0, 1.0
        while left:
            pace = taken / expected
            left, dropped = fit(left, (self._budget - self.spent) / pace)
            for unit in dropped:
                self.run.dropped[unit.name] = f"some {unit.seconds * pace:.0f} s more than the time allows"
            if not left:
                break
            unit, before = left.pop(0), self.spent
            self._do(unit)
            expected, taken = expected + unit.seconds, taken + self.spent - before
        self.write()

    def _do(self, unit: Unit) -> None:
        self.perform(unit.jobs)
        kind, _, number = unit.kind.partition(" ")
        if not kind:
            return
        self._crew.stop()
        _tell(f"{unit.name} ...")
        if kind == "ranks":
            self._keep(step_on_ranks(int(number), max(1, self._rounds // 2)))
        elif kind == "cold":
            for measured in cold_starts():
                self._keep(measured)
        else:
            self.run.cuda = cuda_table()
            print("\n".join(self.run.cuda.get("lines", ["", f"CUDA kernels: -  {self.run.cuda.get('reason')}"])[-1:]))

    def _keep(self, measured: Measured) -> None:
        self.run.measured.append(measured)
        print("\n".join(job_lines(measured)), flush=True)
        self.write()

    def write(self) -> None:
        """Judge what there is, write JSON and page; a file is whole at any moment."""
        run = self.run
        run.verdicts = judge({m.job.floor: m.outcomes for m in run.measured if m.job.floor}, FLOORS)
        run.absent = dict(self._crew.absent)
        run.about = {
            **self.machine.facts(),
            "python": sys.version.split()[0],
            **{key: value for key, value in run.about.items() if key == "interrupted"},
            "seconds": round(self.spent),
            "rounds": f"{self._rounds} for floors, and as each job says",
            **self._crew.versions,
        }
        for suffix, text in (
            (".json", json.dumps(json_report(run), indent=1)),
            (".html", html_page(run, self.machine)),
        ):
            temporary = self._stem.with_suffix(f"{suffix}.part")
            temporary.write_text(text)
            os.replace(temporary, self._stem.with_suffix(suffix))


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
