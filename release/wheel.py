"""Build wheel and sdist twice, see that the bytes agree, install each in an empty environment and use it.

    python -m release.wheel [--python python3.11 --python python3.12 ...] [--output dist]

Every interpreter that is named, or found on PATH, gets an environment of its own outside the checkout. The smoke run
is what a new user does first. Exit code 1: something failed, the last line says what.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("python3.11", "python3.12", "python3.13", "python3.14")
SMOKE = (
    ("monolith-ref", "--version"),
    ("monolith-ref", "compare", "--steps", "2", "--batch-size", "40"),
    ("monolith-ref", "conform", "run", "--backend", "oracle", "--select", "core/optimizer.sgd"),
)
"""What runs in the fresh environment, from an empty directory."""


def works(python: str) -> bool:
    """Whether an interpreter of that name is there and runs (a version manager's stand-in may refuse)."""
    return (
        bool(shutil.which(python))
        and not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode
    )


def export(into: Path) -> Path:
    """The files of the last commit, without what lies around in the checkout."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True)
    into.mkdir()
    subprocess.run(["tar", "-x"], cwd=into, input=archive.stdout, check=True)
    return into


def build(sources: Path, into: Path) -> list[Path]:
    """Wheel and sdist of exported sources; their time stamps are the commit's, so the bytes can be built again."""
    stamp = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": stamp.stdout.strip()}
    run([sys.executable, "-m", "build", "--outdir", str(into), str(sources)], environment=environment)
    return sorted(into.iterdir())


def run(line: Sequence[str], cwd: Path | None = None, environment: dict[str, str] | None = None) -> None:
    """Run a command; its output is shown only where it fails."""
    answer = subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.stderr.write(answer.stdout + answer.stderr)
        raise SystemExit(f"failed with exit code {answer.returncode}: {' '.join(line)}")


def check_reproducible(work: Path) -> list[Path]:
    """Build twice; the artefacts, after comparing their digests."""
    first, second = (build(export(work / f"{name}-sources"), work / name) for name in ("first", "second"))
    for one, other in zip(first, second, strict=True):
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (one, other)]
        if digests[0] != digests[1]:
            raise SystemExit(f"{one.name} is not the same when it is built again: {digests}")
        print(f"{one.name}  {one.stat().st_size:,} bytes  sha256 {digests[0]}  built twice, the same")
    return first


def check_installs(python: str, artefact: Path, work: Path) -> None:
    """Install one artefact for one interpreter in an empty environment and run the smoke commands there."""
    home = work / f"{Path(python).name}-{artefact.suffix.strip('.')}"
    run([python, "-m", "venv", str(home / "venv")])
    run(
        [str(home / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(artefact)]
    )
    (home / "empty").mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["PATH"] = f"{home / 'venv/bin'}:{environment.get('PATH', '')}"
    for command in SMOKE:
        run([str(home / "venv/bin" / command[0]), *command[1:]], cwd=home / "empty", environment=environment)
    print(f"{python}: {artefact.name} installs in an empty environment and works", flush=True)


def main() -> None:
    """Entry of ``python -m release.wheel``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="an interpreter to install for (may be repeated)")
    parser.add_argument("--output", type=Path, help="directory that gets the artefacts once all is well")
    options = parser.parse_args()
    asked = options.python
    pythons = asked or [name for name in VERSIONS if works(name)] or [sys.executable]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        artefacts = check_reproducible(work)
        wheel = next(file for file in artefacts if file.suffix == ".whl")
        for python in pythons:
            check_installs(python, wheel, work)
        # An sdist becomes the same wheel; once is enough.
        check_installs(pythons[0], next(file for file in artefacts if file != wheel), work)
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            for artefact in artefacts:
                shutil.copy(artefact, options.output)
    absent = [name for name in VERSIONS if not asked and name not in pythons]
    if absent:
        print(f"not on this machine, so not tried: {', '.join(absent)}")


if __name__ == "__main__":
    main()
