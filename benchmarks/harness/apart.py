"""Measurements that are no turns of workers: the step by ranks, cold starts, CUDA kernels by their assembled code."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness.floors import Outcome
from benchmarks.harness.plan import Job
from benchmarks.harness.report import Measured

__all__ = ["Failed", "cold_starts", "cuda_table", "finished", "step_on_ranks"]

SCRIPT = Path(__file__).parent.parent / "ranks.py"
STARTS = (1, 2, 4)
COLD = """
import json, time
began = time.perf_counter()
from monolith_ref.warmup import stages, warm_up
imported = time.perf_counter()
wanted = ("training, sequential", "table, AdagradOptimizer")
done = list(warm_up(stage for stage in stages("ieee") if stage.name in wanted))
print(json.dumps({"import": imported - began, "all": time.perf_counter() - began, "stages": len(done),
                  "compiled": sum(d.compiled for d in done), "loaded": sum(d.loaded for d in done)}))
"""


class Failed(Exception):
    """A program that did not end well or in time; the text is its last line, or says so."""


def finished(commands: Sequence[Sequence[str]], limit: float, env: dict[str, str] | None = None) -> list[str]:
    """What programs that run at the same time print; each, with its children, is ended where ``limit`` s do not do."""
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
        )
        for command in commands
    ]
    printed = []
    try:
        for process in running:
            try:
                out, errors = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                raise Failed(f"did not end within {limit:g} s and was ended") from None
            if process.returncode:
                lines = [line for line in errors.splitlines() if line.strip()] or ["it said nothing"]
                raise Failed(f"exit status {process.returncode}: {lines[-1].strip()[:200]}")
            printed.append(out)
    finally:
        for process in running:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return printed


def step_on_ranks(ranks: int, rounds: int) -> Measured:
    """The engine's step on so many ranks of one thread each; a reason where mpiexec is not there."""
    spec = {"job": "step on ranks", "ranks": ranks}
    curve = ("ranks", "training step by ranks of one thread")
    job = Job(f"training step on {ranks} ranks", spec, ("engine",), unit=1, curves=(curve,), rounds=rounds)
    outcome = Outcome()
    launcher = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if launcher is None:
        outcome.reason = "mpiexec is not there"
        return Measured(job, {"engine": outcome})
    command = [launcher, "-n", str(ranks), sys.executable, str(SCRIPT), "--reductions", "sequential"]
    for _ in range(rounds):
        try:
            report = json.loads(finished([command], 120)[0])
        except (Failed, ValueError) as why:
            outcome.reason, outcome.seconds = str(why), {}
            break
        step = report["step_ms"]["sequential"]
        outcome.seconds.setdefault("Engine.step, layout multi, the slowest rank", []).append(step / 1e3)
        outcome.facts["bytes sent a step"] = sum(report["sent_bytes"]["sequential"].values())
    return Measured(job, {"engine": outcome})


def cold_starts(limit: float = 300) -> Iterator[Measured]:
    """Training and a table for the first time: so many processes at once, nothing compiled before; and one after."""
    with tempfile.TemporaryDirectory(prefix="cold-") as folder:
        for processes in STARTS:
            yield _started(processes, f"{folder}/{processes}", limit, warm=False)
        for processes in (1, STARTS[-1]):
            yield _started(processes, f"{folder}/1", limit, warm=True)


def _started(processes: int, cache: str, limit: float, warm: bool) -> Measured:
    kind = "everything compiled before" if warm else "nothing compiled before"
    curve = ("processes", f"cold start by processes, {kind}")
    title = f"{'warm' if warm else 'cold'} start of {processes} process{'es' * (processes > 1)}, {kind}"
    spec = {"job": "start", "processes": processes, "warm": warm}
    job = Job(title, spec, ("engine",), unit=1, curves=(curve,), rounds=1)
    outcome = Outcome()
    env = {**os.environ, "MONOLITH_REF_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"}
    try:
        reports = [json.loads(text) for text in finished([[sys.executable, "-c", COLD]] * processes, limit, env)]
    except (Failed, ValueError) as why:
        outcome.reason = str(why)
        return Measured(job, {"engine": outcome})
    form = "import, then two stages of warmup; the slowest process"
    outcome.seconds[form] = [max(report["all"] for report in reports)]
    outcome.facts = {
        "import ms": 1e3 * max(report["import"] for report in reports),
        "kernels compiled, all together": sum(report["compiled"] for report in reports),
        "kernels loaded, all together": sum(report["loaded"] for report in reports),
    }
    return Measured(job, {"engine": outcome})


def cuda_table(limit: float = 300) -> dict[str, Any]:
    """``lines`` of ``python -m monolith_kernels.ptx --table`` and ``device``: what the machine has of them."""
    found: dict[str, Any] = {"device": _device()}
    try:
        found["lines"] = finished([[sys.executable, "-m", "monolith_kernels.ptx", "--table"]], limit)[0].splitlines()
    except Failed as why:
        found["reason"] = str(why)
    return found


def _device() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        return finished([[program, "--query-gpu=name", "--format=csv,noheader"]], 30)[0].strip()
    except Failed:
        return ""
