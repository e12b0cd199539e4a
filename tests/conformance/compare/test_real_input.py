"""The same comparison on logs: mapping, multi-valued cells, an uneven tail, more ranks than rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monolith_ref.cli.app import run
from tests.support.mpi import run_ranks


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    random = np.random.default_rng(3)
    lines = ["user,item,tags,rating"]
    for _ in range(53):
        tags = " ".join(random.choice(["a", "b", "été", "d"], random.integers(0, 4)))
        lines.append(f"{random.integers(0, 9)},{random.integers(0, 20)},{tags},{random.integers(1, 6)}")
    path = tmp_path / "logs.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def options(logs: Path, directory: Path) -> list[str]:
    return [
        *("compare", "--input", str(logs), "--column", "user", "--column", "item:7", "--column", "tags:3: "),
        *("--label", "rating >= 4", "--batch-size", "8", "--epochs", "2", "--model-dir", str(directory)),
    ]


def test_all_rows_once_an_epoch(logs: Path, tmp_path: Path) -> None:
    assert run(options(logs, tmp_path / "out")) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    for one in report["runs"]:
        assert one["features"] == ["user", "item", "tags"]
        assert [record["batch_rows"] for record in one["records"]] == [8, 8, 8, 8, 8, 8, 5] * 2


@pytest.mark.mpi
def test_exact_has_one_digest_for_all_ranks(logs: Path, tmp_path: Path) -> None:
    found = set()
    for ranks in (2, 6):
        directory = tmp_path / str(ranks)
        words = ["-m", "monolith_ref", *options(logs, directory), "--reduction", "exact"]
        job = run_ranks(ranks, words, timeout=240)
        assert job.code == 0, job.stderr
        report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
        found |= {json.dumps(one["digests"], sort_keys=True) for one in report["runs"]}
    assert len(found) == 1
