"""A run that is continued ends where an uninterrupted one does, and path B reads the checkpoint by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from monolith_conformance.oracle.records import read_job

from monolith_ref.cli.app import run
from tests.support.mpi import run_ranks


def compare(directory: Path, *words: str) -> int:
    return run(["compare", "--batch-size", "24", "--layout", "multi", "--model-dir", str(directory), *words])


def digests(directory: Path, layout: int = 0) -> dict[str, str]:
    found: dict[str, str] = json.loads((directory / "report.json").read_text(encoding="utf-8"))["runs"][layout][
        "digests"
    ]
    return found


@pytest.mark.parametrize("layout", ["merged", "multi"])
def test_continued_equals_uninterrupted(layout: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert compare(whole, "--steps", "5", "--layout", layout) == 0
    assert compare(parts, "--steps", "2", "--layout", layout) == 0
    assert digests(parts) != digests(whole)
    assert compare(parts, "--steps", "5", "--layout", layout, "--resume") == 0
    assert digests(parts) == digests(whole)
    report = json.loads((parts / "report.json").read_text(encoding="utf-8"))
    assert report["runs"][0]["resumed_at"] == 2
    assert [record["step"] for record in report["runs"][0]["records"]] == [2, 3, 4]


def test_checkpoints_on_the_way_are_kept_in_number(tmp_path: Path) -> None:
    assert compare(tmp_path, "--steps", "5", "--checkpoint.every_steps", "1", "--checkpoint.keep", "2") == 0
    names = sorted(path.name for path in (tmp_path / "checkpoint" / "multi-cpu").iterdir())
    assert names == sorted(f"model.ckpt-{step}.{kind}" for step in (4, 5) for kind in ("assets", "dense", "manifest"))


def test_the_oracle_reads_what_the_engine_wrote(tmp_path: Path) -> None:
    assert compare(tmp_path, "--steps", "2", "--layout", "both") == 0
    contents = [read_job(tmp_path / "checkpoint" / f"{layout}-cpu", 2) for layout in ("merged", "multi")]
    orders = [np.argsort(content.fids) for content in contents]
    for name in ("fids", "weights", "accumulators"):
        first, second = (getattr(c, name)[order] for c, order in zip(contents, orders, strict=True))
        np.testing.assert_array_equal(first, second)
    assert set(contents[0].dense) == set(contents[1].dense)
    assert {"dense_0/kernel", "dense_2/bias/accumulator", "global_step"} <= set(contents[0].dense)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "3", "--seed", "7"], "training.seed was '42', now it is '7'"),
        (["--steps", "3", "--batch-size", "25"], "global batch"),
        (["--steps", "1"], "already at step 2"),
        (["--steps", "3", "--quirks", "clean"], "quirks"),
    ],
)
def test_what_cannot_be_continued(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert compare(tmp_path, "--steps", "2") == 0
    before = (tmp_path / "report.json").read_bytes()
    assert compare(tmp_path, *words, "--resume") == 2
    assert message in capfd.readouterr().err
    assert (tmp_path / "report.json").read_bytes() == before


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert compare(tmp_path / "nowhere", "--steps", "2", "--resume") == 2


def test_a_changed_number_in_the_files_is_noticed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Also with a right checksum: the digest of the manifest is over numbers, not over files."""
    assert compare(tmp_path, "--steps", "2") == 0
    manifest = next((tmp_path / "checkpoint" / "multi-cpu").glob("*.dense"))
    data = bytearray(manifest.read_bytes())
    data[len(data) // 2] ^= 1
    manifest.write_bytes(bytes(data))
    assert compare(tmp_path, "--steps", "3", "--resume") == 2
    assert manifest.name in capfd.readouterr().err


@pytest.mark.mpi
def test_exact_continues_on_another_number_of_ranks(tmp_path: Path) -> None:
    common = ["-m", "monolith_ref", "compare", "--batch-size", "30", "--reduction", "exact"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for ranks, directory, words in (
        (2, whole, ["--steps", "4"]),
        (2, parts, ["--steps", "2"]),
        (3, parts, ["--steps", "4", "--resume"]),
    ):
        job = run_ranks(ranks, [*common, "--model-dir", str(directory), *words], timeout=240)
        assert job.code == 0, job.stderr
    for layout in (0, 1):
        assert digests(parts, layout) == digests(whole, layout)


@pytest.mark.mpi
def test_other_reductions_do_not(tmp_path: Path) -> None:
    common = ["-m", "monolith_ref", "compare", "--batch-size", "30", "--layout", "multi", "--model-dir", str(tmp_path)]
    assert run_ranks(1, [*common, "--steps", "1"]).code == 0
    job = run_ranks(2, [*common, "--steps", "2", "--resume"])
    assert job.code == 2
    assert "only sync.reduction=exact" in job.stderr
