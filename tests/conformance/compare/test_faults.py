"""What happens to a whole job when something happens to one of its ranks: one message, one code, a whole checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monolith_ref.checkpoint.job import latest
from monolith_ref.cli.app import run
from tests.support.mpi import Result, run_ranks

pytestmark = pytest.mark.mpi

PROGRAM = ["-m", "tests.support.ranks_faulty"]
COMMAND = ["compare", "--batch-size", "24", "--layout", "multi", "--reduction", "exact"]
HALFWAY = 150
"""A point in the second step or so."""


def faulty(directory: Path, fault: str, *words: str, ranks: int = 3, rank: int = 1, point: int = HALFWAY) -> Result:
    """Run a job in which ``fault`` comes over ``rank``."""
    command = [*COMMAND, "--model-dir", str(directory), "--checkpoint.every_steps", "1", *words]
    return run_ranks(ranks, [*PROGRAM, fault, str(rank), str(point), *command], timeout=120)


def lines_of(result: Result) -> list[str]:
    """Our lines on standard error."""
    return [line for line in result.stderr.splitlines() if line.startswith("monolith-ref: ")]


def states(directory: Path) -> list[str]:
    """State digests of the report."""
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    return [run["digests"]["state"] for run in report["runs"]]


def test_a_rank_that_raises_ends_all_with_its_traceback(tmp_path: Path) -> None:
    result = faulty(tmp_path, "RAISE", "--steps", "50")
    assert result.code == 4
    assert lines_of(result) == ["monolith-ref: rank 1: Traceback (most recent call last):"]
    assert "ValueError: a defect on this rank" in result.stderr


def test_a_silent_rank_is_named_with_the_exchange(tmp_path: Path) -> None:
    result = faulty(tmp_path, "STOP", "--steps", "50", "--sync.timeout", "2")
    assert result.code == 4
    (line,) = lines_of(result)
    assert "in exchange '" in line
    assert "no sign of life from rank 1" in line


def test_ranks_with_different_settings_do_not_begin(tmp_path: Path) -> None:
    result = faulty(tmp_path / "new", "OTHER", "--steps", "2")
    assert result.code == 2
    assert lines_of(result) == [
        "monolith-ref: error: ranks disagree on training.seed: '42' on ranks 0, 2, '43' on rank 1"
    ]
    assert not (tmp_path / "new").exists()


def test_a_full_disk_on_one_rank_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    directory, calm = tmp_path / "full", tmp_path / "calm"
    result = faulty(directory, "FULL", "--steps", "4", point=3)
    assert result.code == 2
    (line,) = lines_of(result)
    assert line.startswith("monolith-ref: error: ")
    assert "could not write the checkpoint: rank 1: " in line
    assert "File too large" in line
    checkpoints = directory / "checkpoint" / "multi-cpu"
    newest = latest(checkpoints)
    assert newest is not None
    assert newest.step == 2
    newest.verify_files()
    assert not [path for path in checkpoints.rglob("*") if "ckpt-3" in path.name and path.is_file()]
    assert faulty(directory, "FULL", "--steps", "4", "--resume", ranks=2, point=9).code == 0
    assert run([*COMMAND, "--steps", "4", "--model-dir", str(calm)]) == 0
    assert states(directory) == states(calm)


def test_an_unreadable_shard_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    assert faulty(tmp_path, "FULL", "--steps", "2", point=9).code == 0
    shard = sorted((tmp_path / "checkpoint" / "multi-cpu" / "model.ckpt-2.assets").iterdir())[1]
    shard.unlink()
    before = (tmp_path / "report.json").read_bytes()
    result = faulty(tmp_path, "FULL", "--steps", "3", "--resume", point=9)
    assert result.code == 2
    (line,) = lines_of(result)
    assert str(shard) in line
    assert "No such file" in line
    assert (tmp_path / "report.json").read_bytes() == before
