"""``monolith-ref train`` from words to exit codes, and real ranks."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from monolith_ref.cli.app import run
from monolith_ref.training.outputs import OUTPUTS
from tests.monolith_ref.training.small_log import write_config
from tests.monolith_ref.training.test_trainer import fit
from tests.support.mpi import run_ranks

RANKS = Path(__file__).with_name("ranks_trainer.py")
DATA = Path(__file__).parents[3] / "data" / "ml-100k.tsv"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def train(config: Path, *words: str) -> int:
    return run(["train", str(config), "--model-dir", str(config.parent / "run"), *words])


def test_a_run_leaves_its_outputs_and_prints_digests(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(config, "--export", str(config.parent / "export"), "--set", "log_every=2") == 0
    out, err = capfd.readouterr()
    directory = config.parent / "run"
    assert sorted(path.name for path in directory.iterdir()) == sorted(OUTPUTS)
    report = json.loads((directory / "report.json").read_text())
    assert report["digests"]["state"] in out
    assert "step 2 of 8, loss" in err
    assert "step 4: AUC" in err
    assert (config.parent / "export" / "serving.json").exists()


def test_json_quiet_report_elsewhere_and_resumption(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(config, "--json", "--quiet", "--steps", "3", "--report", str(config.parent / "page")) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["steps"] == 3
    assert err == ""
    assert (config.parent / "page" / "report.html").exists()
    assert not (config.parent / "run" / "report.html").exists()
    assert train(config, "--quiet") == 2
    assert "--overwrite replaces it" in capfd.readouterr().err
    assert train(config, "--quiet", "--json", "--resume") == 0
    resumed = json.loads(capfd.readouterr().out)
    assert (resumed["steps"], resumed["resumed_at"]) == (8, 3)
    assert train(config, "--quiet", "--json", "--overwrite") == 0
    assert json.loads(capfd.readouterr().out)["digests"] == resumed["digests"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--set", "model.los=bce"], 2, "unknown key 'model.los'"),
        (["--set", "nonsense"], 2, "--set needs KEY=VALUE"),
        (["--reduction", "exakt"], 2, "one of sequential, sum, mean, exact"),
        (["--set", "input.files=absent.csv"], 2, "absent.csv: cannot read"),
        (["--set", "input.label=when"], 2, "log.tsv, record 0: column 'when': the label 1000"),
        (["--set", "features.0.column=usr"], 2, "the nearest one is 'user'"),
        (["--set", "sync.embedding_grad_wire=f16"], 2, "rounds gradients to f16"),
    ],
)
def test_what_does_not_fit_ends_with_one_line_and_no_outputs(
    config: Path, capfd: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    assert train(config, *words) == code
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (config.parent / "run").exists()


def test_a_directory_that_is_a_file(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (config.parent / "run").write_text("")
    assert train(config) == 2
    assert "is a file" in capfd.readouterr().err


def test_exports_are_refused_before_training(config: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (config.parent / "export").mkdir()
    (config.parent / "export" / "serving.json").write_text("{}")
    assert train(config, "--export", str(config.parent / "export")) == 2
    assert "holds an export already" in capfd.readouterr().err
    assert not (config.parent / "run" / "checkpoint").exists()


def test_a_terminal_has_a_bar(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert train(config) == 0
    assert "8 of 8" in screen.getvalue()
    assert "step 4: AUC" in screen.getvalue()
    assert "step 2 of 8" not in screen.getvalue()


@pytest.mark.mpi
def test_real_ranks_end_with_the_digest_of_one(tmp_path: Path) -> None:
    expected = fit(tmp_path).digests
    result = run_ranks(3, [str(RANKS), str(tmp_path)])
    assert result.code == 0, result.stderr
    for rank in range(3):
        assert f"digest {rank} {expected['state']} {expected['loss']}" in result.stdout


def movielens(folder: Path, capfd: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    if not DATA.exists():
        pytest.skip("MovieLens-100K is not here: make movielens")
    example = Path(__file__).parents[3] / "docs" / "examples" / "movielens-train.toml"
    files = f"input.files={DATA}"
    assert run(["train", str(example), "--model-dir", str(folder), "--json", "--quiet", "--set", files, *words]) == 0
    report: dict[str, Any] = json.loads(capfd.readouterr().out)
    return report


@pytest.mark.slow
def test_movielens_is_learned(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = movielens(tmp_path / "random", capfd)
    assert report["evaluations"][-1]["auc"] >= 0.77
    later = movielens(tmp_path / "time", capfd, "--set", "evaluation.split=time")
    assert later["evaluations"][-1]["auc"] >= 0.69


def test_movielens_begins_with_the_known_digest(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = movielens(tmp_path, capfd, "--steps", "50", "--set", "evaluation.every_steps=1000")
    assert report["digests"]["data"] == "feb131897d0952aeb46aff553b3b2e7f3e529a5742202e9309f6a5c4ebf7d121"
    assert report["digests"]["state"] == "2cda5d0e94373fae6609fc7ea7223bf6b809d01b446af8745c324840ce515115"
