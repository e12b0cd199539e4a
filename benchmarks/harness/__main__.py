"""``python -m benchmarks.harness [--quick]``: run, print, write JSON and HTML, judge the floors.

Exit status: 3 where torch or fbgemm is missing, else 1 where a floor is missed, else 0.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from monolith_conformance.compare.generator import FEATURES, ID_SPACE, GeneratedSource

from benchmarks.harness.contenders import CONTENDERS, Ended, Process, environments
from benchmarks.harness.floors import FLOORS, Outcome, exit_status, judge, last_line
from benchmarks.harness.plan import STEPS, Job, floor_jobs, full_jobs
from benchmarks.harness.ranks import rank_jobs
from benchmarks.harness.report import Measured, Run, html_page, job_lines, json_report, verdict_lines
from benchmarks.harness.turns import take_turns

INSTALL = {
    "peers": "its environment is not there: make bench-peers",
    "tfra": "its environment is not there, or could not be made: make bench-peers",
}


class Crew:
    """Processes that are kept from job to job while the number of threads stays."""

    def __init__(self, homes: dict[str, Path | None], log: Path, skipped: Iterable[str]) -> None:
        self._homes, self._log = homes, log
        self._running: dict[str, Process] = {}
        self._threads = 0
        self.absent = dict.fromkeys(skipped, "left out")
        self.versions: dict[str, str] = {}

    def workers(self, job: Job) -> dict[str, Process]:
        """Processes of a job's contenders, with its number of threads."""
        if job.threads != self._threads:
            self.stop()
            self._threads = job.threads
        for name in job.contenders:
            if name in self._running and not self._running[name].alive:
                # It broke down in the job before; that job says so.
                self._running.pop(name).stop()
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

    def stop(self) -> None:
        """End every process."""
        for process in self._running.values():
            process.stop()
        self._running = {}


def write_batches(path: Path) -> None:
    """The workload's batches for contenders that do not know the engine: ids numbered from 0 over all features."""
    source, arrays = GeneratedSource(), {}
    for step in range(STEPS):
        batch = source.rows(step, 0, source.batch_size)
        ids, splits = [], [np.zeros(1, np.int64)]
        for feature, ragged in enumerate(batch.ragged.values()):
            ids.append((ragged.values & ((1 << 48) - 1)) + feature * ID_SPACE)
            splits.append(ragged.row_splits[1:] + splits[-1][-1])
        arrays[f"ids{step}"], arrays[f"splits{step}"] = np.concatenate(ids), np.concatenate(splits)
        arrays[f"label{step}"] = batch.dense["label"]
    assert len(batch.ragged) == FEATURES
    np.savez(path, **arrays)


def perform(crew: Crew, jobs: Iterable[Job], rounds: int, run: Run) -> None:
    """Do jobs and print each as it is done."""
    for job in jobs:
        workers = crew.workers(job)
        outcomes = take_turns(workers, job.spec, rounds, lambda text: print(f"\r\033[K{text}", end="", file=sys.stderr))
        print("\r\033[K", end="", file=sys.stderr)
        for name in job.contenders:
            outcomes.setdefault(name, Outcome(reason=crew.absent.get(name, "")))
        measured = Measured(job, {name: outcomes[name] for name in job.contenders})
        run.measured.append(measured)
        print("\n".join(job_lines(measured)), flush=True)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="only what the floors are judged by")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the table that floors are measured on")
    parser.add_argument("--batch", type=int, default=1_000_000)
    parser.add_argument(
        "--peers", type=Path, default=Path(".venv-peers"), help="environment of torch, fbgemm, TensorFlow"
    )
    parser.add_argument("--tfra", type=Path, default=Path(".venv-tfra"), help="environment of Recommenders-Addons")
    parser.add_argument("--skip", action="append", default=[], choices=sorted(CONTENDERS), help="leave a contender out")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    run = Run()
    began = time.monotonic()
    crew = Crew(environments(options.peers, options.tfra), folder, options.skip)
    try:
        write_batches(folder / "batches.npz")
        batches = str(folder / "batches.npz")
        perform(crew, floor_jobs(batches, options.rows, options.batch), options.rounds, run)
        run.verdicts = judge({m.job.floor: m.outcomes for m in run.measured if m.job.floor}, FLOORS)
        if not options.quick:
            perform(crew, full_jobs(str(folder)), options.rounds, run)
            for measured in rank_jobs(options.rounds):
                run.measured.append(measured)
                print("\n".join(job_lines(measured)), flush=True)
    finally:
        crew.stop()
        for log in folder.glob("*.log"):
            shutil.copy(log, options.out)
        shutil.rmtree(folder)
    run.absent = crew.absent
    run.about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "seconds": round(time.monotonic() - began),
        "rounds": options.rounds,
        **crew.versions,
    }
    stem = options.out / ("quick" if options.quick else "full")
    stem.with_suffix(".json").write_text(json.dumps(json_report(run), indent=1))
    stem.with_suffix(".html").write_text(html_page(run))
    for name, why in run.absent.items():
        print(f"{name}: -  {why}")
    print("\n".join(verdict_lines(run.verdicts)))
    print(f"{stem}.json, {stem}.html; {run.about['seconds']} s")
    print(last_line(run.verdicts))
    return exit_status(run.verdicts, list(run.absent))


if __name__ == "__main__":
    sys.exit(main())
