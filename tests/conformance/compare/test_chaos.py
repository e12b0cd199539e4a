"""Ranks are killed at random points, again and again; a job that is restarted ends with the digest of a calm one.

The number of ranks changes with every restart: under ``exact`` it makes no difference.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from monolith_ref.checkpoint.job import latest, steps
from monolith_ref.cli.app import run
from tests.monolith_ref.training.small_log import write_config
from tests.support.mpi import run_ranks

pytestmark = pytest.mark.mpi

PROGRAM = ["-m", "tests.support.ranks_faulty", "KILL"]
COMMAND = ["compare", "--batch-size", "24", "--layout", "multi", "--reduction", "exact", "--steps"]
SEED = int(os.environ.get("CHAOS_SEED", "7"))
LAST_POINT = 250
"""Exchanges, fsyncs and renames of a rank before the end of its third step (each with its checkpoint), about."""


def state(directory: Path) -> dict[str, str]:
    """Digests of the report."""
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    found: dict[str, str] = report["runs"][0]["digests"] if "runs" in report else report["digests"]
    return found


def kill_and_restart(
    directory: Path, checkpoints: Path, kills: int, total: int, command: list[str], last: int = LAST_POINT
) -> None:
    """Kill ``kills`` jobs that would make ``total`` steps, then let one run to its end; looks after every kill."""
    chance = random.Random(SEED)
    reached = 0
    killed = 0
    while True:
        ranks = chance.randint(2, 4)
        victim, point = chance.randrange(ranks), chance.randint(5, last)
        point = point if killed < kills else 0
        resume = ["--resume"] if directory.exists() else []
        job = run_ranks(ranks, [*PROGRAM, str(victim), str(point), *command, *resume], timeout=240)
        where = f"ranks {ranks}, victim {victim}, point {point}, after {killed} kills: {job.stdout}{job.stderr}"
        if killed == kills:
            assert job.code == 0, where
            return
        assert job.code != 0, where
        assert f"rank {victim} (process " in job.stderr, where
        assert job.stderr.count("was killed") == 1, where
        killed += 1
        newest = latest(checkpoints) if checkpoints.is_dir() else None
        if newest is not None:
            newest.verify_files()
            assert newest.step >= reached, f"a whole checkpoint was lost, {where}"
            reached = newest.step
            assert reached < total, where
            assert len(steps(checkpoints)) <= 11


def compare_through(kills: int, total: int, directory: Path) -> None:
    """The comparison, disturbed and calm."""
    chaos, calm = directory / "chaos", directory / "calm"
    command = [*COMMAND, str(total), "--checkpoint.every_steps", "1", "--model-dir", str(chaos)]
    kill_and_restart(chaos, chaos / "checkpoint" / "multi-cpu", kills, total, command)
    assert run([*COMMAND, str(total), "--model-dir", str(calm)]) == 0
    assert state(chaos) == state(calm)


def test_three_kills(tmp_path: Path) -> None:
    compare_through(3, 8, tmp_path)


def test_training_through_two_kills(tmp_path: Path) -> None:
    config, chaos, calm = write_config(tmp_path), tmp_path / "chaos", tmp_path / "calm"
    command = ["train", str(config), "--quiet", "--set", "epochs=1"]
    checkpointing = ["--set", "checkpoint.every_steps=1", "--model-dir", str(chaos)]
    kill_and_restart(chaos, chaos / "checkpoint", 2, 5, [*command, *checkpointing], last=150)
    assert run([*command, "--model-dir", str(calm)]) == 0
    assert state(chaos) == state(calm)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_kills(tmp_path: Path) -> None:
    compare_through(20, 60, tmp_path)
