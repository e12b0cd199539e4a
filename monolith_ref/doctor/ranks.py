"""MPI: the library under mpi4py, a launcher of the same family, and two ranks that really meet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from monolith_ref.doctor.finding import Finding, Status

__all__ = ["check_launcher", "check_mpi_library", "check_two_ranks"]

INSTALL = "pip install 'monolith-ref[mpi]' (only needed for more than one rank)"
SECONDS = 60.0

# In a process of its own: starting MPI may end a process where library and launcher do not fit.
_VENDOR = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(*MPI.get_vendor())"
# One write of a single word a rank: longer ones of two ranks may come out interleaved.
_MEET = (
    "import os; from mpi4py import MPI; c = MPI.COMM_WORLD; "
    "os.write(1, b'[%d:%d]' % (c.Get_size(), c.allreduce(c.Get_rank() + 1)))"
)


def _python(code: str, *before: str) -> subprocess.CompletedProcess[str]:
    line = [*before, sys.executable, "-c", code]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PMI_", "PMIX_", "OMPI_"))}
    return subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, env=clean, check=False)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"


def _mpiexec() -> str | None:
    """The launcher beside this interpreter (where wheels put it), else the one on PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("mpiexec") or shutil.which("mpirun")


def check_mpi_library() -> Finding:
    """mpi4py and the MPI that it loads."""
    answer = _python(_VENDOR)
    if answer.returncode:
        return Finding("MPI library", Status.PROBLEM, f"mpi4py is not usable: {_last_line(answer.stderr)}", INSTALL)
    return Finding("MPI library", Status.OK, answer.stdout.strip())


def check_launcher() -> Finding:
    """The program that starts ranks."""
    launcher = _mpiexec()
    if launcher is None:
        return Finding("MPI launcher", Status.PROBLEM, "neither mpiexec nor mpirun is there", INSTALL)
    other = shutil.which("mpiexec")
    if other is not None and Path(other).resolve() != Path(launcher).resolve():
        remedy = f"activate the environment, or start with {launcher}"
        return Finding("MPI launcher", Status.NOTE, f"{launcher}, but 'mpiexec' on PATH is {other}", remedy)
    return Finding("MPI launcher", Status.OK, launcher)


def check_two_ranks() -> Finding:
    """Start two ranks and let them add their numbers."""
    launcher = _mpiexec()
    if launcher is None:
        return Finding("two ranks", Status.PROBLEM, "not tried: there is no launcher", INSTALL)
    try:
        answer = _python(_MEET, launcher, "-n", "2")
    except subprocess.TimeoutExpired:
        remedy = "a firewall or a name that does not resolve: see that this host's own name resolves ('hostname -f')"
        return Finding("two ranks", Status.PROBLEM, f"two ranks did not meet within {SECONDS:.0f} s", remedy)
    if answer.returncode == 0 and answer.stdout.count("[2:3]") == 2:
        return Finding("two ranks", Status.OK, "started, met and agreed")
    if answer.returncode == 0 and answer.stdout.count("[1:1]") == 2:
        remedy = f"{launcher} belongs to another MPI than mpi4py: {INSTALL}, and use the mpiexec beside your Python"
        return Finding("two ranks", Status.PROBLEM, "two processes started, each a world of its own", remedy)
    return Finding("two ranks", Status.PROBLEM, f"exit code {answer.returncode}: {_last_line(answer.stderr)}", INSTALL)
