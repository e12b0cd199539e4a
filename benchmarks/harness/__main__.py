"""``python -m benchmarks.harness [--quick]``: run, print, write JSON and HTML, judge the floors.

Exit status: 3 where torch or fbgemm is missing, else 1 where a floor is missed, else 0; 130 where it was interrupted
(what there is by then has been written).
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from monolith_conformance.compare.generator import FEATURES, ID_SPACE, GeneratedSource

from benchmarks.harness.conduct import Conductor
from benchmarks.harness.contenders import CONTENDERS, environments
from benchmarks.harness.crew import Crew
from benchmarks.harness.floors import exit_status, last_line
from benchmarks.harness.plan import BATCH, ROWS, STEPS, floor_jobs
from benchmarks.harness.report import verdict_lines
from benchmarks.harness.sweep import full_units

INTERRUPTED = 130


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


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="only what the floors are judged by")
    parser.add_argument(
        "--budget", type=float, metavar="MINUTES",
        help="of the whole run: points of the sweeps are dropped evenly, and named; floors are always measured",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="of the floors; points of sweeps have 3 to 7")
    parser.add_argument("--rows", type=int, default=ROWS, help="of the table that floors are measured on")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument(
        "--scale", type=int, default=1, metavar="N", help="divide the rows of sweeps by N, to try a run"
    )
    parser.add_argument("--only", metavar="TEXT", help="beyond the floors, units with this in their names; no floors")
    parser.add_argument(
        "--peers", type=Path, default=Path(".venv-peers"), help="environment of torch, fbgemm, TensorFlow"
    )
    parser.add_argument("--tfra", type=Path, default=Path(".venv-tfra"), help="environment of Recommenders-Addons")
    parser.add_argument("--skip", action="append", default=[], choices=sorted(CONTENDERS), help="leave a contender out")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args(arguments)


def main() -> int:
    """Run and judge."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / ("quick" if options.quick else "full")
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    signal.signal(signal.SIGTERM, _interrupt)
    crew = Crew(environments(options.peers, options.tfra), folder, options.skip)
    conductor = Conductor(crew, options.rounds, stem, 60 * (options.budget or float("inf")))
    run = conductor.run
    try:
        write_batches(folder / "batches.npz")
        if options.only is None:
            conductor.perform(floor_jobs(str(folder / "batches.npz"), options.rows, options.batch))
        if not options.quick:
            units = full_units(str(folder), options.scale)
            conductor.do_units(unit for unit in units if options.only is None or options.only in unit.name)
    except KeyboardInterrupt:
        run.about["interrupted"] = f"after {len(run.measured)} jobs; what is missing was not measured"
    finally:
        conductor.write()
        crew.stop()
        for log in folder.glob("*.log"):
            shutil.copy(log, options.out)
        shutil.rmtree(folder)
    for name, why in {**run.absent, **run.dropped}.items():
        print(f"{name}: -  {why}")
    print("\n".join(verdict_lines(run.verdicts)))
    print(f"{stem}.json, {stem}.html; {run.about['seconds']} s{' (interrupted)' * ('interrupted' in run.about)}")
    print(last_line(run.verdicts))
    return INTERRUPTED if "interrupted" in run.about else exit_status(run.verdicts, list(run.absent))


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
