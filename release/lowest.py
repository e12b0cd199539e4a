"""Install the oldest versions that pyproject.toml allows, in an environment of their own, and use them.

    python -m release.lowest [--python python3.11]

Runs the comparison on two ranks, the suite against the engine, and the tests of tables and files.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from release.wheel import ROOT, run

TESTS = ("tests/monolith_ref/table", "tests/monolith_ref/checkpoint", "tests/kernels/test_rules.py")
TEST_TOOLS = ("pytest>=8", "pytest-timeout", "pytest-xdist")


def constraints() -> list[str]:
    """``name==bound`` for every requirement at run time, the MPI extra's included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["mpi"]
    bounds = [re.fullmatch(r"([\w.-]+)>=([\w.]+)", line.replace(" ", "")) for line in lines]
    return [f"{bound.group(1)}=={bound.group(2)}" for bound in bounds if bound is not None]


def main() -> None:
    """Entry of ``python -m release.lowest``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter; its version must be the oldest one")
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run([python, "-m", "venv", str(home / "venv")])
        here = home / "venv/bin"
        pinned = constraints()
        (home / "constraints.txt").write_text("\n".join(pinned) + "\n")
        install = [str(here / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*install, "-c", str(home / "constraints.txt"), "-e", f"{ROOT}[mpi]", *TEST_TOOLS])
        print("installed:", ", ".join(pinned), flush=True)
        program = str(here / "monolith-ref")
        run([str(here / "mpiexec"), "-n", "2", program, "compare", "--steps", "3"], cwd=home)
        print("the comparison passes on two ranks", flush=True)
        run([program, "conform", "run", "--backend", "engine-cpu", "--quick"], cwd=home)
        print("the engine conforms", flush=True)
        # A warning of an old library is not ours to fix, so it is no error here.
        tests = [str(here / "python"), "-m", "pytest", "-q", "-n", "2", "-W", "default"]
        subprocess.run([*tests, "-m", "not mpi and not slow and not cudasim", *TESTS], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
