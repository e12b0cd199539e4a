"""The command line's outside: help, unknown words, one-line errors and exit codes."""

from __future__ import annotations

import pytest

from monolith_ref import __version__
from monolith_ref.cli.app import EXIT_ENVIRONMENT, EXIT_FAULT, EXIT_OK, EXIT_USAGE, exit_code_of, run
from monolith_ref.errors import ConfigError, EnvironmentMissing, FormatError, MonolithRefError, SyncError


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == EXIT_OK
    assert capsys.readouterr().out.strip() == f"monolith-ref {__version__}"


def test_without_arguments_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == EXIT_OK
    shown = capsys.readouterr().out
    for command in ("compare", "conform", "table", "dump"):
        assert command in shown


@pytest.mark.parametrize(
    "line", [["compare", "--help"], ["conform", "--help"], ["table", "--help"], ["dump", "--help"]]
)
def test_every_command_has_help(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == EXIT_OK
    assert "Usage" in capsys.readouterr().out


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tabel"]) == EXIT_USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "did you mean 'table'" in shown.err


def test_unknown_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["table", "--no-such-option"]) == EXIT_USAGE
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), EXIT_USAGE),
        (FormatError("x", path="f", record=1, offset=2), EXIT_USAGE),
        (EnvironmentMissing("x"), EXIT_ENVIRONMENT),
        (SyncError("x"), EXIT_FAULT),
    ],
)
def test_exit_codes(error: MonolithRefError, code: int) -> None:
    assert exit_code_of(error) == code


def test_only_one_rank_speaks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "1")
    assert run(["tabel"]) == EXIT_USAGE
    assert capsys.readouterr().err == ""
