"""What is exported is what the index says, has the form of its schema, and can be played by who knows nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monolith_conformance.backends import make_backend
from monolith_conformance.cases import all_cases
from monolith_conformance.compare.golden import cases as comparison_cases
from monolith_conformance.export import ids
from monolith_conformance.export.bundle import Bundle
from monolith_conformance.export.rejects import RECORD_DAMAGES, Damage, damaged_bytes
from monolith_conformance.export.whole import export_all
from monolith_conformance.oracle.combine import combine
from monolith_conformance.replaying import judge_step
from monolith_conformance.transcript import Transcript

from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.errors import ArgumentError, CheckpointError, StateError
from monolith_ref.quirks import Quirks
from tests.support.json_schema import problems

STEPS = 2


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "data"
    export_all(folder, comparison_steps=STEPS, whole_steps=1)
    return folder


@pytest.fixture(scope="module")
def index(exported: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((exported / "index.json").read_text())
    return document


def test_the_index_names_every_file_with_its_sum(exported: Path, index: dict[str, Any]) -> None:
    there = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    assert there == {entry["path"] for entry in index["files"]} | {"index.json"}
    for entry in index["files"]:
        data = (exported / entry["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"]), entry["path"]


def test_every_file_has_the_form_of_its_schema(exported: Path, index: dict[str, Any]) -> None:
    schemas = {path.name: json.loads(path.read_text()) for path in (exported / "schemas").iterdir()}
    assert problems(index, schemas["index.schema.json"]) == []
    checked = set()
    for entry in index["files"]:
        if "schema" not in entry:
            continue
        schema, text = schemas[Path(entry["schema"]).name], (exported / entry["path"]).read_text()
        documents = text.splitlines() if entry["path"].endswith(".jsonl") else [text]
        for number, document in enumerate(documents):
            assert problems(json.loads(document), schema) == [], f"{entry['path']}:{number + 1}"
        checked.add(entry["schema"])
    assert checked == {f"schemas/{name}" for name in schemas} - {"schemas/index.schema.json"}


def test_a_schema_refuses_what_is_wrong(exported: Path) -> None:
    schema = json.loads((exported / "schemas" / "trace.schema.json").read_text())
    first = json.loads(next((exported / "traces" / "ieee").glob("*sgd*")).read_text().splitlines()[0])
    assert problems(first, schema) == []
    assert problems({**first, "profile": "sse"}, schema)
    assert problems({key: value for key, value in first.items() if key != "steps"}, schema)
    first["steps"][0]["request"]["op"] = {"table": "t1", "op": "lookup", "ids": [1]}
    assert problems(first, schema)


@pytest.mark.parametrize("profile", ["ieee", "avx"])
def test_recorded_cases_hold_for_the_engine(exported: Path, profile: str) -> None:
    """The engine, asked by a reader that knows the lines only."""
    played, least = 0, {"ieee": 60, "avx": 30}[profile]
    for path in sorted((exported / "traces" / profile).glob("core.optimizer.a*.jsonl")):
        for line in path.read_text().splitlines():
            case = json.loads(line)
            backend = make_backend("engine-cpu")
            hello = backend.open(profile, Quirks(frozenset(case["quirks"])))
            if not set(case["needs"]) <= set(hello.capabilities):
                continue
            transcript = Transcript.from_lines(map(json.dumps, case["steps"]))
            for number, step in enumerate(transcript):
                step.reply = backend.answer(step.request)
                assert judge_step(number, step) is None, case["id"]
            played += 1
    assert played > least


def test_every_case_is_recorded_or_said_not_to_be(exported: Path) -> None:
    document = json.loads((exported / "cases.json").read_text())
    recorded = {
        json.loads(line)["id"]
        for path in (exported / "traces").rglob("*.jsonl")
        for line in path.read_text().splitlines()
    }
    assert recorded.isdisjoint(document["not_recorded"])
    assert recorded | set(document["not_recorded"]) == set(all_cases())
    assert len(recorded) > 500
    assert [case["id"] for case in document["cases"]] == list(all_cases())


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_comparison_is_the_known_one(exported: Path, ranks: int) -> None:
    lines = (exported / "comparison" / f"ranks-{ranks}.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines[1:]]
    assert len(steps) == STEPS
    known = {c["steps"]: c for c in comparison_cases() if (c["reduction"], c["ranks"]) == ("sequential", ranks)}
    for step in steps:
        wanted = known[step["step"] + 1]
        for name in ("rows_digest", "head_digest", "loss", "rows"):
            assert step[name] == wanted[name]


def test_inputs_and_arrays_lie_where_the_trace_says(exported: Path) -> None:
    """The sums of the first step's embeddings, from the raw bytes alone: all rows are zero then; ids are checked."""
    folder = exported / "comparison"
    inputs, arrays = (folder / "inputs.bin").read_bytes(), (folder / "ranks-2.bin").read_bytes()
    steps = [json.loads(line) for line in (folder / "ranks-2.jsonl").read_text().splitlines()[1:]]
    place = steps[1]["inputs"]
    assert place["offset"] + place["bytes"] == len(inputs)
    at, splits = place["offset"], []
    for count in place["ids"]:
        lengths = np.frombuffer(inputs, "<i4", 455, at)
        ids = np.frombuffer(inputs, "<i8", count, at + 4 * 455)
        assert lengths.sum() == count
        assert len(set((ids >> 48).tolist())) == 1
        splits.append(lengths)
        at += 4 * 455 + 8 * count
    labels = np.frombuffer(inputs, "<f4", 455, at)
    assert set(labels.tolist()) == {0.0, 1.0}
    assert at + 4 * 455 == len(inputs)
    first = steps[0]["ranks"]
    assert [part["rows"] for part in first] == [227, 228]
    for part in first:
        for name in ("x", "p", "dx"):
            shape = part[name]["shape"]
            raw = arrays[part[name]["offset"] :][: 4 * int(np.prod(shape))]
            assert hashlib.sha256(raw).hexdigest() == part[name]["sha256"]
            assert np.any(np.frombuffer(raw, "<f4")) == (name != "x")
    assert "offset" not in steps[1]["ranks"][0]["x"]
    assert combine("reduce_sum", np.zeros((2, 1), np.float32), [0, 2]).tolist() == [[0.0]]


def _records(path: Path, compressed: bool) -> int:
    return sum(len(batch) for batch in RecordFile(path, compressed).batches())


@pytest.mark.parametrize("damage", RECORD_DAMAGES, ids=lambda damage: damage.name)
def test_every_damaged_record_file_is_refused(damage: Damage, tmp_path: Path) -> None:
    good = Path(str(files("monolith_conformance") / "golden" / "records" / damage.source))
    compressed = "Multi" in damage.source
    assert _records(good, compressed) > 0
    assert damaged_bytes(damage) != good.read_bytes()
    (tmp_path / damage.source).write_bytes(damaged_bytes(damage))
    with pytest.raises(CheckpointError):
        _records(tmp_path / damage.source, compressed)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, exported: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(StateError, match="neither empty nor an export"):
        Bundle(tmp_path)
    (tmp_path / "index.json").write_text('{"format": "other"}')
    with pytest.raises(StateError, match="neither empty nor an export"):
        Bundle(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    (copy / "mine.txt").write_text("keep me")
    Bundle(copy)
    assert [path.name for path in copy.rglob("*") if path.is_file()] == ["mine.txt"]


def test_steps_beyond_the_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="0 to 50"):
        export_all(tmp_path / "data", comparison_steps=51)


def test_no_id_is_lost_or_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    current = list(all_cases())
    ids.check_ids(current)
    assert set(ids.published_ids()) <= set(current) | set(ids.retired_ids())
    with pytest.raises(StateError, match="list them in retired"):
        ids.check_ids(set(current) - {ids.published_ids()[0]})
    monkeypatch.setattr(ids, "retired_ids", lambda: [current[0]])
    with pytest.raises(StateError, match="used again"):
        ids.check_ids(current)
