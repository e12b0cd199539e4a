"""The engine's step on one to four ranks, one thread each: the curve by ranks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness.floors import Outcome
from benchmarks.harness.plan import Job
from benchmarks.harness.report import Measured

__all__ = ["rank_jobs"]

RANKS = (1, 2, 3, 4)
SCRIPT = Path(__file__).parent.parent / "ranks.py"


def rank_jobs(rounds: int) -> Iterator[Measured]:
    """One job a number of ranks; ``-`` and a reason where mpiexec is not there."""
    launcher = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    for ranks in RANKS:
        job = Job(
            f"training step on {ranks} ranks", {"ranks": ranks}, ("engine",), unit=1, curve="training step by ranks"
        )
        outcome = Outcome()
        if launcher is None:
            outcome.reason = "mpiexec is not there"
            yield Measured(job, {"engine": outcome})
            continue
        for _ in range(max(1, rounds // 2)):
            command = [launcher, "-n", str(ranks), sys.executable, str(SCRIPT), "--reductions", "sequential"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                outcome.reason = (done.stderr.strip().splitlines() or ["it failed"])[-1][:200]
                break
            step = json.loads(done.stdout)["step_ms"]["sequential"]
            outcome.seconds.setdefault("Engine.step, layout multi", []).append(step / 1e3)
        yield Measured(job, {"engine": outcome})
