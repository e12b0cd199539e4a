"""The command from its options to its exit code and what it leaves behind."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from monolith_conformance.compare.directories import default_directory
from monolith_conformance.compare.golden import known_state

from monolith_ref.checkpoint.job import latest
from monolith_ref.cli.app import run
from monolith_ref.model_dump.recorder import Recorder
from tests.support.mpi import run_ranks

FEW = ["--steps", "2", "--batch-size", "24"]


def compare(*words: str) -> int:
    return run(["compare", *words])


@pytest.fixture
def passed(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    assert compare(*FEW, "--model-dir", str(directory)) == 0
    return directory


def report_of(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    return content


def test_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passed = tmp_path / "run"
    assert compare(*FEW, "--model-dir", str(passed)) == 0
    printed = capsys.readouterr().out
    report = report_of(passed)
    assert (report["verdict"], report["exit_code"], len(report["runs"])) == ("pass", 0, 2)
    first, second = report["runs"]
    assert (first["layout"], second["layout"]) == ("merged", "multi")
    assert first["digests"] == second["digests"]
    for digest in first["digests"].values():
        assert len(digest) == 64
        assert digest in printed
    assert "PASS" in printed
    assert str(passed / "report.html") in printed
    assert first["moved_rows"] == first["rows"] == sum(first["rows_per_rank"]) > 0
    for layout in ("merged", "multi"):
        checkpoint = latest(passed / "checkpoint" / f"{layout}-cpu")
        assert checkpoint is not None
        assert (checkpoint.step, checkpoint.extra["state_digest"]) == (2, first["digests"]["state"])
    recorder = Recorder()
    recorder.load(passed / "model_dump")
    assert sorted(recorder.feature_slice_dims) == sorted(f"feature{i}" for i in range(17))
    assert set(map(tuple, recorder.feature_slice_dims.values())) == {(15,)}


def test_the_page_is_whole_and_alone(passed: Path) -> None:
    page = (passed / "report.html").read_text(encoding="utf-8")
    outside: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            outside.extend(f"{tag} {key}={value}" for key, value in attrs if key in ("src", "href"))
            if tag in ("script", "link", "iframe"):
                outside.append(tag)

    Parser().feed(page)
    assert outside == []
    assert "http://" not in page
    assert "https://" not in page
    drawings = page.split("<svg")[1:]
    assert len(drawings) == 2 * 6
    for drawing in drawings:
        ElementTree.fromstring("<svg" + drawing.partition("</svg>")[0] + "</svg>")
    assert 'name="viewport"' in page


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(*FEW, "--layout", "multi", "--model-dir", str(tmp_path), "--json") == 0
    assert json.loads(capsys.readouterr().out) == report_of(tmp_path)


def test_explain_settings_stops_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--explain-settings", "--steps", "7", "--model-dir", str(tmp_path / "x")) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["training.steps"].split()[1:] == ["7", "--steps"]
    assert lines["table.layout"].split()[1:] == ["both", "default"]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "--steps"),
        (["--batch-size", "0"], "--batch-size"),
        (["--reduction", "median"], "--reduction"),
        (["--layout", "none"], "--layout"),
        (["--targets", "tpu"], "--targets"),
        (["--seed", "-1"], "--seed"),
        (["--plant", "nothing"], "no kind 'nothing'"),
        (["--bogus", "1"], "bogus"),
        (["--bogus"], "bogus"),
        (["--sync.timeout"], "needs a value"),
        (["stray"], "unexpected argument 'stray'"),
        (["--sync.skip_allreduce", "true"], "sync.skip_allreduce"),
        (["--training.clip_norm", "3"], "training.clip_norm"),
        (["--reduction", "exact", "--sync.dense_wire", "f16"], "f16"),
        (["--input", "missing.csv", "--column", "a", "--label", "b > 0"], "missing.csv"),
        (["--input", "x.csv"], "--map"),
        (["--column", "a", "--label", "b > 0"], "--input"),
        (["--as-published", "--resume"], "--as-published"),
        (["--as-published", "--reduction", "exact"], "exact"),
        (["--batch-size", "8", "--batch-size-per-rank", "8"], "batch_size"),
    ],
)
def test_wrong_words_end_with_one_line_before_anything_is_written(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "never"
    assert compare(*words, "--model-dir", str(directory)) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("monolith-ref: error: ")
    assert message in error
    assert not directory.exists()


def test_directories(passed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compare(*FEW, "--model-dir", str(passed)) == 2
    assert "--overwrite" in capfd.readouterr().err
    own = passed / "notes.txt"
    own.write_text("mine", encoding="utf-8")
    assert compare(*FEW, "--layout", "multi", "--model-dir", str(passed), "--overwrite") == 0
    assert own.read_text(encoding="utf-8") == "mine"
    assert not (passed / "checkpoint" / "merged-cpu").exists()
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    assert compare(*FEW, "--model-dir", str(file)) == 2


def test_default_directory_counts_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = default_directory(1_700_000_000.7)
    assert first.parts[-2:] == ("monolith_test", "1700000000")
    first.mkdir(parents=True)
    second = default_directory(1_700_000_000.2)
    assert second.name == "1700000000-2"
    second.mkdir()
    assert default_directory(1_700_000_000.0).name == "1700000000-3"


def test_as_published_proves_nothing(tmp_path: Path) -> None:
    assert compare(*FEW, "--as-published", "--model-dir", str(tmp_path)) == 0
    report = report_of(tmp_path)
    assert (report["verdict"], report["exit_code"]) == ("vacuous", 0)
    for published in report["runs"]:
        assert (published["verdict"], published["moved_rows"]) == ("vacuous", 0)
        assert published["rows"] > 0
        assert any("only the output biases changed" in note for note in published["notes"])


def test_differences_give_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(*FEW, "--plant", "one-ulp", "--model-dir", str(tmp_path)) == 1
    printed = capsys.readouterr().out
    report = report_of(tmp_path)
    finding = report["runs"][0]["findings"][0]
    assert report["verdict"] == "fail"
    for text in ("FAIL", str(finding["fid"]), finding["engine"], finding["oracle"], "likely cause"):
        assert text in printed
    assert finding["cause"] in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--sync.staleness", "2"],
        ["--sync.embedding_grad_wire", "f16", "--sync.dense_wire", "f16"],
        ["--seed", "18446744073709551615", "--batch-size", "1"],
        ["--sync.allreduce_fusion", "one", "--threads", "2"],
        ["--batch-size-per-rank", "9"],
    ],
)
def test_other_settings_pass_too(words: list[str], tmp_path: Path) -> None:
    size = [] if any("batch-size" in word for word in words) else ["--batch-size", "24"]
    assert compare("--steps", "4", *size, *words, "--layout", "multi", "--model-dir", str(tmp_path)) == 0


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("ranks", "reduction", "layout"),
    [(2, "sequential", "both"), (3, "mean", "multi"), (4, "sum", "merged"), (4, "exact", "multi")],
)
def test_ranks_give_the_known_digest(ranks: int, reduction: str, layout: str, tmp_path: Path) -> None:
    words = ["--steps", "5", "--reduction", reduction, "--layout", layout, "--model-dir", str(tmp_path)]
    job = run_ranks(ranks, ["-m", "monolith_ref", "compare", *words], timeout=240)
    assert job.code == 0, job.stderr
    report = report_of(tmp_path)
    known = known_state(reduction, ranks, 5)
    assert known is not None
    assert {one["digests"]["state"][:16] for one in report["runs"]} == {known}
    assert report["ranks"] == ranks


@pytest.mark.mpi
def test_ranks_that_differ_stop_at_once(tmp_path: Path) -> None:
    job = run_ranks(2, ["-m", "tests.conformance.compare.ranks_differ", str(tmp_path / "never")], timeout=120)
    assert job.code == 2
    assert "training.seed" in job.stderr
    assert not (tmp_path / "never").exists()
