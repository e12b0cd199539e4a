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
from tests.support.mpi import run_ranks

pytestmark = pytest.mark.mpi

PROGRAM = ["-m", "tests.support.ranks_faulty", "KILL"]
COMMAND = ["compare", "--batch-size", "24", "--layout", "multi", "--reduction", "exact", "--steps"]
SEED = int(os.environ.get("CHAOS_SEED", "7"))
POINTS_BEFORE, POINTS_A_STEP = 90, 54
"""Exchanges, fsyncs and renames of a rank before the first step, and in a step with its checkpoint, about."""


def state(directory: Path) -> dict[str, str]:
    """Digests of the report."""
    found: dict[str, str] = json.loads((directory / "report.json").read_text(encoding="utf-8"))["runs"][0]["digests"]
    return found


def kill_and_restart(directory: Path, kills: int, total: int) -> None:
    """Kill ``kills`` jobs that would make ``total`` steps, then let one run to its end; looks after every kill."""
    chance = random.Random(SEED)
    checkpoints = directory / "checkpoint" / "multi-cpu"
    command = [*COMMAND, str(total), "--checkpoint.every_steps", "1", "--model-dir", str(directory)]
    reached = 0
    killed = 0
    while True:
        ranks = chance.randint(2, 4)
        victim, point = chance.randrange(ranks), chance.randint(5, POINTS_BEFORE + 3 * POINTS_A_STEP)
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


def calm(directory: Path, total: int) -> dict[str, str]:
    """The digests of a serial run that nothing disturbs."""
    assert run([*COMMAND, str(total), "--model-dir", str(directory)]) == 0
    return state(directory)


def test_three_kills(tmp_path: Path) -> None:
    kill_and_restart(tmp_path / "chaos", 3, 8)
    assert state(tmp_path / "chaos") == calm(tmp_path / "calm", 8)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_kills(tmp_path: Path) -> None:
    kill_and_restart(tmp_path / "chaos", 20, 60)
    assert state(tmp_path / "chaos") == calm(tmp_path / "calm", 60)
