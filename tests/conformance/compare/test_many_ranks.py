"""The comparison on more ranks than the machine has cores: every reduction, both layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.mpi import run_ranks

pytestmark = pytest.mark.mpi


def compare(directory: Path, ranks: int, *words: str) -> list[str]:
    """State digests of the layouts."""
    command = ["-m", "monolith_ref", "compare", "--model-dir", str(directory), *words]
    job = run_ranks(ranks, command, timeout=280)
    assert job.code == 0, job.stderr
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    assert (report["verdict"], report["ranks"]) == ("pass", ranks)
    return [run["digests"]["state"] for run in report["runs"]]


def test_exact_on_eight_ranks_is_exact_on_one(tmp_path: Path) -> None:
    words = ["--steps", "2", "--batch-size", "20", "--reduction", "exact", "--layout", "multi"]
    assert compare(tmp_path / "8", 8, *words) == compare(tmp_path / "1", 1, *words)


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["sequential", "sum", "mean", "exact"])
@pytest.mark.parametrize("ranks", [8, 16])
def test_every_reduction(ranks: int, reduction: str, tmp_path: Path) -> None:
    merged, multi = compare(tmp_path, ranks, "--steps", "5", "--reduction", reduction)
    assert merged == multi
    known = {
        ("sequential", 8): "cdf67093d9727abe",
        ("sequential", 16): "e01290fbdf44faf3",
        ("sum", 8): "b904ef09bf62a12d",
        ("sum", 16): "aafb8d9663e0ca80",
        ("mean", 8): "7c1f431037b3a5da",
        ("mean", 16): "ce93756a5c385c32",
    }
    assert merged.startswith(known.get((reduction, ranks), "2a22f04b5d46212c"))
