"""Bars: on a terminal they are seen; with --json, and in pipes, there is nothing of them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import monolith_conformance
import numpy as np
import pytest

from monolith_ref import test_hash_table as make_table
from monolith_ref.cli.app import run
from monolith_ref.progress import Bar

GOLDEN = Path(monolith_conformance.__file__).parent / "golden"
DUMP = GOLDEN / "model_dump" / "two_heads.pb"
ESCAPE = "\x1b["


class Terminal:
    """A pseudo-terminal that stands in for standard error."""

    def __init__(self) -> None:
        self._reader, self.writer = pty.openpty()
        self._parts: list[bytes] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._reader, 65536)
            except OSError:  # the other end is closed, and all has been read
                return
            if not part:
                return
            self._parts.append(part)

    def text(self) -> str:
        """Close it; all that was written to it."""
        os.close(self.writer)
        self._thread.join()
        os.close(self._reader)
        return b"".join(self._parts).decode()


def _on_terminal(work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``work`` writes to standard error where that is a terminal."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    try:
        with open(terminal.writer, "w", closefd=False) as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            work()
    finally:
        text = terminal.text()
    return text


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table of 40 rows that was saved."""
    table = make_table(4, use_adagrad=True)
    table.assign(np.arange(40, dtype=np.int64), np.ones((40, 4), np.float32), 1)
    basename = str(tmp_path_factory.mktemp("table") / "rows")
    table.save(basename)
    return basename


COMMANDS = {
    "reading": "table verify PREFIX",
    "looking": "table show PREFIX",
    "comparing": "table diff PREFIX PREFIX",
    "writing": "table convert PREFIX FOLDER/rows.npz --format npz",
    "verifying": f"dump verify {DUMP}",
    "drawing": f"dump graph {DUMP} -o FOLDER/page.html",
    "learning_rates": f"conform vectors {GOLDEN}/vectors/learning_rates.json --target oracle",
    "checks": "conform dumps FOLDER/dumps",
    "mutants": "conform mutants adagrad-",
    "cases": "conform run --backend oracle --select core/optimizer.sgd",
    "cases of a round": "conform fuzz --backend oracle --examples 1 --select core/compressor --corpus FOLDER/corpus",
}
"""A word of the bar → the command."""


def _line(word: str, prefix: str, folder: Path) -> list[str]:
    (folder / "dumps").mkdir(exist_ok=True)
    (folder / "dumps" / DUMP.name).write_bytes(DUMP.read_bytes())
    return COMMANDS[word].replace("PREFIX", prefix).replace("FOLDER", str(folder)).split()


@pytest.mark.parametrize("word", COMMANDS)
def test_a_command_shows_its_bar_on_a_terminal_and_takes_it_away(
    word: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _line(word, prefix, tmp_path)
    seen = _on_terminal(lambda: run(line), monkeypatch)
    assert word in seen
    assert "0:00:0" in seen, "no time is told"
    assert seen.rstrip().endswith(f"{ESCAPE}2K"), "the bar is still there"
    assert ESCAPE not in capsys.readouterr().out


def test_an_export_tells_what_it_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _on_terminal(
        lambda: run(["conform", "export", str(tmp_path / "data"), "--comparison-steps", "1"]), monkeypatch
    )
    assert "recording cases" in seen
    assert "comparison run on 1 rank " in seen
    assert "comparison run on 3 ranks" in seen


@pytest.mark.parametrize("word", COMMANDS)
def test_in_a_pipe_there_is_none(word: str, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(_line(word, prefix, tmp_path))
    shown = capsys.readouterr()
    assert shown.out
    assert ESCAPE not in shown.out + shown.err
    assert "0:00:0" not in shown.err


@pytest.mark.parametrize("word", ["reading", "looking", "comparing", "verifying", "learning_rates", "checks", "cases"])
def test_with_json_there_is_none_on_a_terminal_either(
    word: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*_line(word, prefix, tmp_path), "--json"]
    assert _on_terminal(lambda: run(line), monkeypatch) == ""
    assert capsys.readouterr().out.startswith("{")


def test_amounts_lines_and_new_beginnings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with Bar("first", 3) as bar:
            bar.advance(2)
            bar.tell("a line for standard error")
            bar.print("a line for standard output")
            bar.begin("second", 2_500_000, in_bytes=True)
            bar.advance(1_000_000)
            bar.begin("third")

    seen = _on_terminal(work, monkeypatch)
    assert "0 of 3" in seen
    assert "2 of 3" in seen
    assert "0.0 MB of 2.5 MB" in seen
    assert "third" in seen
    assert "a line for standard error" in seen
    # Standard output is no terminal here: its lines stay out of the bar's.
    assert capsys.readouterr().out == "a line for standard output\n"
    assert "standard output" not in seen


def test_an_error_takes_the_bar_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with pytest.raises(ValueError, match="broken"), Bar("work", 2):
            raise ValueError("broken")

    assert _on_terminal(work, monkeypatch).rstrip().endswith(f"{ESCAPE}2K")


def test_a_process_of_its_own_writes_its_result_into_a_pipe_and_its_bar_to_the_terminal(prefix: str) -> None:
    terminal = Terminal()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    line = [sys.executable, "-m", "monolith_ref", "table", "verify", prefix]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=terminal.writer, env=environment, check=False)
    seen = terminal.text()
    assert done.returncode == 0
    assert "0 errors" in done.stdout.decode()
    assert "reading" in seen
    assert "errors" not in seen
