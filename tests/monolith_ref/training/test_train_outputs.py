"""What a run leaves: event files, reports, dumps and exports; and threads that make batches ahead."""

from __future__ import annotations

import json
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monolith_protos.event_pb2 import Event
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.checkpoint.dense import read_dense
from monolith_ref.entry import HashTableConfigInstance
from monolith_ref.errors import ConfigError
from monolith_ref.model_dump.file import read_dump
from monolith_ref.model_dump.verify import verify
from monolith_ref.table.hash_table import hash_table_from_config
from monolith_ref.training.event_files import EventFile, EventFiles
from monolith_ref.training.export import TABLE_PREFIX, export_serving, write_model_dump
from monolith_ref.training.prefetch import prefetched
from monolith_ref.training.report import render, write_report
from monolith_ref.training.summary import report_of, summary_text
from monolith_ref.training.trainer import Trainer
from tests.monolith_ref.training.small_log import small_config
from tests.monolith_ref.training.threads import ThreadRanks


def events_of(path: Path) -> list[Event]:
    return [Event.FromString(batch.payload(k)) for batch in RecordFile(path).batches() for k in range(len(batch))]


def test_event_files_are_records_of_events(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "events")
    file.scalars(3, {"train/loss": 0.5, "evaluation/auc": 0.75})
    file.close()
    first, second = events_of(file.path)
    assert first.file_version == "brain.Event:2"
    assert (second.step, [(v.tag, v.simple_value) for v in second.summary.value]) == (
        3,
        [("train/loss", 0.5), ("evaluation/auc", 0.75)],
    )
    # Field numbers are what readers of the format know: wall_time 1, step 2, summary 5.
    assert Event(step=1, wall_time=1.0).SerializeToString() == b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01"
    assert second.SerializeToString()[9:12] == b"\x10\x03\x2a"


def test_a_run_writes_events_of_windows_and_evaluations(tmp_path: Path) -> None:
    trainer = Trainer(small_config(tmp_path), callbacks=[EventFiles(tmp_path / "events")])
    trainer.fit()
    found: dict[str, list[int]] = {}
    for event in events_of(next((tmp_path / "events").iterdir())):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(event.step)
    assert found["train/loss"] == [3, 4, 6, 8]
    assert found["evaluation/auc"] == [4, 8]
    assert {"speed/ids_per_second", "phase_seconds/lookup", "rows/owned", "memory/peak_bytes"} <= set(found)


class Page(HTMLParser):
    """Tags that are open, and addresses that a page would fetch."""

    void = frozenset(["meta", "br"])

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]
        self.charts += tag == "svg"
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing stays open."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_reports_are_whole_and_need_nothing_from_outside(tmp_path: Path) -> None:
    def work(communicator: Any) -> dict[str, Any] | None:
        trainer = Trainer(small_config(tmp_path), communicator=communicator)
        result = trainer.fit()
        return report_of(trainer, result) if communicator.rank == 0 else None

    report = ThreadRanks(2).run(work)[0]
    write_report(tmp_path / "out", report)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == json.loads(json.dumps(report))
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert (page.open, page.fetched) == ([], [])
    assert page.charts >= 8
    assert report["digests"]["state"] in text
    assert "<script" not in text
    summary = summary_text(report)
    assert report["digests"]["state"] in summary
    assert f"{report['evaluations'][-1]['auc']:.6f}" in summary
    empty = {**report, "windows": [], "evaluations": [], "model": "<b>"}
    assert "&lt;b&gt;" in render(empty)
    skewed = {**report["windows"][-1], "owned": [90, 10]}
    assert "without that factor" in render({**report, "windows": [skewed]})


def export(folder: Path, config_folder: Path, ranks: int, **changes: Any) -> Trainer:
    config = small_config(config_folder, **changes)

    def work(communicator: Any) -> Trainer:
        trainer = Trainer(config, communicator=communicator)
        trainer.fit()
        export_serving(trainer.engine, folder)
        return trainer

    first: Trainer = ThreadRanks(ranks).run(work)[0]
    return first


@pytest.mark.parametrize("layout", ["multi", "merged"])
def test_exports_serve_what_was_trained(tmp_path: Path, layout: str) -> None:
    trainer = export(tmp_path / "out", tmp_path, 1, **{"table.layout": layout})
    engine = trainer.engine
    described = json.loads((tmp_path / "out" / "serving.json").read_text())
    assert described["global_step"] == engine.global_step
    for spec in engine.tables:
        message = EmbeddingHashTableConfig.FromString(bytes.fromhex(described["tables"][spec.name]["config"]))
        rates = [0.0] * len(message.entry_config.segments)
        table = hash_table_from_config(HashTableConfigInstance(message, rates), name_suffix=spec.name, exporting=True)
        table.restore(str(tmp_path / "out" / "assets" / f"{TABLE_PREFIX}{spec.name}"))
        rows = engine.embeddings.tables[spec.name].export()
        served = np.asarray(table.lookup(rows.ids)).reshape(len(rows), spec.dim)
        # Rows of the slice come back rounded to halves: that is its compressor.
        np.testing.assert_array_equal(served[:, :4], rows.weights[:, :4].astype(np.float16).astype(np.float32))
    dense = read_dense(tmp_path / "out" / "dense")
    assert dense.pop("global_step") == engine.global_step
    assert set(dense) == set(engine.variables)
    with pytest.raises(ConfigError, match="holds an export already"):
        export_serving(engine, tmp_path / "out")


def test_exports_are_the_same_bytes_for_any_number_of_ranks(tmp_path: Path) -> None:
    for ranks in (1, 3):
        export(tmp_path / str(ranks), tmp_path, ranks)
    names = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path / "3") for path in (tmp_path / "3").rglob("*") if path.is_file())
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes(), name


def test_dumps_describe_the_model(tmp_path: Path) -> None:
    trainer = Trainer(small_config(tmp_path))
    write_model_dump(tmp_path / "model_dump", trainer.engine)
    report = verify(tmp_path / "model_dump")
    assert [str(finding) for finding in report.findings if finding.severity == "error"] == []
    message = read_dump(tmp_path / "model_dump").message
    text = str(message)
    for name in ("user", "item", "tags", "seen", "vec", "bias", "price"):
        assert name in text
    assert message.model_dump["train"] != message.model_dump["infer"]


# Batches made ahead.


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_batches_come_in_order_and_end(depth: int) -> None:
    assert list(prefetched(lambda n: n if n < 7 else None, 2, None, depth)) == [2, 3, 4, 5, 6]
    assert list(prefetched(lambda n: n, 2, 5, depth)) == [2, 3, 4]
    assert list(prefetched(lambda n: n, 5, 5, depth)) == []


@pytest.mark.parametrize("depth", [0, 2])
def test_errors_come_where_their_batch_would(depth: int) -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    batches = prefetched(make, 0, None, depth)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(batches)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    batches = prefetched(lambda n: n, 0, None, 2)
    assert next(batches) == 0
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
