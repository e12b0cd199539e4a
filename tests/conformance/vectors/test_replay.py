"""The replay of golden vectors: everything passes, a wrong bit is found and named, unknown files are refused."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from monolith_conformance.vectors.registry import Setting
from monolith_conformance.vectors.run import replay_directory

from monolith_ref.cli.app import EXIT_DIFFERENCES, EXIT_OK, run

GOLDEN = Path(str(files("monolith_conformance") / "golden" / "vectors"))
SMALL = ("rows_sgd.json", "rows_initializers.json", "learning_rates.json", "filters.json")


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@pytest.mark.parametrize("target", ["cpu", "oracle"])
def test_every_vector_passes(target: str, profile: str) -> None:
    results = replay_directory(GOLDEN.glob("*.json"), Setting(target, profile))
    outcomes = [outcome for result in results for outcome in result.outcomes]
    assert [result.problem for result in results if result.problem] == []
    assert [(o.case, o.note) for o in outcomes if o.status == "failed"] == []
    # The oracle leaves TensorFlow's bookkeeping operations to the engine; the engine leaves out nothing.
    assert sum(o.status == "unsupported" for o in outcomes) <= (40 if target == "oracle" else 0)
    assert sum(o.status == "passed" for o in outcomes) >= 600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in SMALL:
        shutil.copy(GOLDEN / name, tmp_path / name)
    return tmp_path


def test_the_command_passes_on_a_copy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["conform", "vectors", str(folder), "--target", "cpu", "--profile", "ieee"]) == EXIT_OK
    assert "rows_sgd.json" in capsys.readouterr().out


def test_one_wrong_bit_is_found_and_explained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "rows_sgd.json"
    document = json.loads(path.read_text())
    step = document["cases"][3]["steps"][1]
    words = step["ieee"]["w"].split()
    words[-1] = f"{int(words[-1], 16) ^ 1:08x}"
    step["ieee"]["w"] = " ".join(words)
    path.write_text(json.dumps(document))
    assert run(["conform", "vectors", str(folder)]) == EXIT_DIFFERENCES
    shown = capsys.readouterr().out
    assert document["cases"][3]["id"] in shown
    assert "1 ulp" in shown


def test_an_unknown_file_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "something.json").write_text('{"cases": [{"what": 1}]}')
    assert run(["conform", "vectors", str(folder)]) == EXIT_DIFFERENCES
    assert "something.json" in capsys.readouterr().out
