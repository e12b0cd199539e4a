"""The replay of golden dump files: everything passes, and what is wrong is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from monolith_conformance.dumps.recorder_cases import expected
from monolith_conformance.dumps.replay import run_dumps
from monolith_conformance.dumps.scenarios import Scenario

from monolith_ref.cli.app import run
from monolith_ref.errors import DumpError
from tests.monolith_ref.model_dump.support import GOLDEN
from tests.support.shared import shared_path


def test_the_golden_files_pass() -> None:
    table = run_dumps(GOLDEN)
    assert table.failures == []
    assert table.passed["slices, port level"] == 80
    assert table.passed["recorder, clean"] == table.passed["recorder, original newest"] == 32
    assert table.passed["corrupted"] == 47
    assert table.passed["flips"] == 60


def test_the_shared_files_are_the_same() -> None:
    folder = shared_path("golden/model_dump")
    for path in folder.iterdir():
        if path.suffix in (".pb", ".json"):
            assert (GOLDEN / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_two_columns_are_told_apart() -> None:
    """A clean recorder does not pass for the original, nor the other way round."""
    document = json.loads((GOLDEN / "recorder.json").read_text())
    differing = 0
    for scenario in document["scenarios"]:
        want = expected(scenario, "original_newest")
        got = Scenario(scenario, document["wrapped_functions"], document["model_attributes"], "clean").run()
        differing += any(got[key] != want[key] for key in ("recorded", "configs", "sub_models", "modes") if key in want)
    assert differing > 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("odd_encoding.pb", "odd_encoding.json", "recorder.json"):
        shutil.copyfile(GOLDEN / name, tmp_path / name)
    return tmp_path


def edit(path: Path, change: object) -> None:
    document = json.loads(path.read_text())
    change(document)  # type: ignore[operator]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("message", lambda d: d["message"]["model_dump"]["train"]["features"][0].update(expire_time=31)),
        ("canonical form", lambda d: d.update(canonical_sha256="0" * 64)),
        ("file as described", lambda d: d.update(size=465)),
        ("payloads", lambda d: d["payloads"].clear()),
        ("graphs", lambda d: d["graphs"]["model_dump{train}"]["nodes"].pop()),
        ("verify", lambda d: d["verify"]["findings"].pop()),
        ("slices, port level", lambda d: d["slices"][0]["port_level"]["nodes"].append("x")),
        ("slices, original fork", lambda d: d["slices"][0].update(original_fork={"error": "KeyError"})),
        ("original import", lambda d: d["original_import"]["has_collected"].update(newest=False)),
    ],
)
def test_a_wrong_expectation_fails_in_its_kind(folder: Path, kind: str, change: object) -> None:
    edit(folder / "odd_encoding.json", change)
    table = run_dumps(folder)
    assert not table.ok
    assert table.failed[kind] == 1
    assert {failure.kind for failure in table.failures} == {kind}


def test_a_wrong_outcome_of_a_scenario_fails(folder: Path) -> None:
    edit(folder / "recorder.json", lambda d: d["scenarios"][0]["clean"]["outcomes"][5].update(error="other"))
    failures = run_dumps(folder).failures
    assert [(failure.kind, failure.case) for failure in failures] == [("recorder, clean", "features")]
    assert "call 5" in failures[0].problem


def test_an_unknown_call_fails_its_scenario_alone(folder: Path) -> None:
    edit(folder / "recorder.json", lambda d: d["scenarios"][0]["calls"][0].update(call="no_such"))
    table = run_dumps(folder)
    assert {failure.case for failure in table.failures} == {"features"}


def test_files_without_expectations_are_read_and_written(tmp_path: Path) -> None:
    shutil.copyfile(GOLDEN / "two_heads.pb", tmp_path / "mine.pb")
    (tmp_path / "cut.pb").write_bytes((GOLDEN / "two_heads.pb").read_bytes()[:1000])
    table = run_dumps(tmp_path)
    assert table.passed["files without expectations"] == 1
    assert [failure.case for failure in table.failures] == ["cut.pb"]


def test_a_directory_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DumpError):
        run_dumps(tmp_path)


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "recorder.json").unlink()
    assert run(["conform", "dumps", str(folder)]) == 0
    assert "json and back" in capsys.readouterr().out
    edit(folder / "odd_encoding.json", lambda d: d.update(size=1))
    assert run(["conform", "dumps", str(folder)]) == 1
    assert "failed: file as described: odd_encoding" in capsys.readouterr().out
    assert run(["conform", "dumps", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failed"]["file as described"] == 1
