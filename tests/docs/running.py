"""Runs the blocks of a page in a folder of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

from monolith_ref.cli.app import run
from tests.docs.pages import ROOT, Block, Page

__all__ = ["Runner", "missing", "same_output"]

TIME_LIMIT = 120.0


def missing(need: str) -> str | None:
    """Why ``need`` (a module, a program, or ``mpi``) is not to be had; None where it is."""
    if need == "mpi":
        absent = importlib.util.find_spec("mpi4py") is None or shutil.which("mpiexec", path=_path()) is None
        return "no mpi4py with an mpiexec" if absent else None
    if need in ("cc", "rustc"):
        return None if shutil.which(need) else f"no {need} on this machine"
    return None if importlib.util.find_spec(need) else f"{need} is not installed"


def same_output(expected: str, actual: str) -> bool:
    """Whether texts are equal but for what ``...`` stands for, the width of blanks and blanks at line ends."""

    def tidy(text: str) -> str:
        return re.sub(" +", " ", "\n".join(line.rstrip() for line in text.strip().splitlines()))

    pattern = r"\s*.*?\s*".join(re.escape(part.strip()) for part in tidy(expected).split("..."))
    return re.fullmatch(pattern, tidy(actual), re.S) is not None


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


class Runner:
    """The names and the folder of one page."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.environment = {
            **os.environ,
            "PATH": _path(),
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "TMPDIR": str(folder),
            # What contributors run, they run in a checkout.
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }

    def run(self, block: Block) -> None:
        """Run one block; AssertionError where it fails or prints something else."""
        if "file" in block.asks:
            target = self.folder / block.asks["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif not block.runs:
            return
        elif block.language == "python":
            self._python(block)
        else:
            self._console(block)

    def _where(self, block: Block) -> str:
        return f"{self.page.name}:{block.line}"

    def _python(self, block: Block) -> None:
        printed = io.StringIO()
        # Blank lines in front, so that a traceback names the line of the page.
        code = compile("\n" * (block.line - 1) + block.text, str(self.page.path), "exec")
        with contextlib.redirect_stdout(printed), contextlib.chdir(self.folder):
            exec(code, self.names)
        if block.output is not None:
            assert same_output(block.output, printed.getvalue()), (
                f"{self._where(block)} prints\n{printed.getvalue()}\ninstead of\n{block.output}"
            )

    def _console(self, block: Block) -> None:
        commands = list(_commands(block.text))
        assert commands, f"{self._where(block)}: a console block without a command"
        for number, (command, expected) in enumerate(commands, 1):
            wanted = int(block.asks.get("exit", "0")) if number == len(commands) else 0
            # What ends badly is seen as the shell sees it: errors of ranks go past sys.stderr.
            alone = wanted != 0 or not _is_ours(command)
            code, printed = self._shell(command) if alone else self._ours(command)
            where = f"{self._where(block)}: {command}"
            assert code == wanted, f"{where}\nexit code {code}, not {wanted}\n{printed}"
            if expected.strip():
                assert same_output(expected, printed), f"{where}\nprints\n{printed}\ninstead of\n{expected}"

    def _shell(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
        return done.returncode, done.stdout

    def _ours(self, command: str) -> tuple[int, str]:
        """A command of ours in this process: a dozen of them start as often as one would."""
        out = io.StringIO()
        hooks = sys.excepthook, threading.excepthook
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, self.environment),
            mock.patch.object(tempfile, "tempdir", None),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            try:
                code = run(shlex.split(command)[1:])
            finally:
                sys.excepthook, threading.excepthook = hooks
        return code, out.getvalue()


def _is_ours(command: str) -> bool:
    """Whether a command is plain ``monolith-ref ...``, with nothing for a shell to do."""
    return command.startswith("monolith-ref ") and not re.search(r"[|<>&;$*]", command)


def _commands(text: str) -> list[tuple[str, str]]:
    """Commands and what is expected below each."""
    found: list[tuple[str, str]] = []
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = command[:-1] + next(lines).strip()
            found.append((command, ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found
