"""Plans for a training configuration, against a run of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monolith_ref.cli.app import run
from monolith_ref.planning.observed import Observed
from monolith_ref.planning.owners import owner_skew
from monolith_ref.planning.traffic import predict_traffic
from monolith_ref.planning.workload import Feature, SeenIds, Table, Workload
from monolith_ref.training.recipe import load_train_config
from tests.monolith_ref.training.small_log import write_config
from tests.support.mpi import run_ranks


def test_the_workload_is_that_of_model_and_data(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    observed = Observed(load_train_config(path, environment={}))
    workload = observed.workload
    assert workload.rows == 16
    assert workload.reduction == "exact"
    data = observed.source.data
    by_name = {table.name: table for table in workload.tables}
    assert len(by_name) == 3
    (user,) = by_name["user"].features
    assert (user.mean, len(user.ids.groups[0])) == (1.0, len(np.unique(data.ragged["user"].values)))
    # 'seen' reads the table of 'item': their ids count as one feature's.
    (both,) = by_name["item"].features
    lengths = data.ragged["item"].lengths() + data.ragged["seen"].lengths()
    assert both.mean == pytest.approx(lengths.mean())
    (tags,) = by_name["tags"].features
    assert sum(share for _, share in tags.lengths) == pytest.approx(1)


@pytest.mark.mpi
def test_bytes_of_a_trained_configuration(tmp_path: Path) -> None:
    path = write_config(tmp_path, rows=1500)
    words = ["--set", "training.batch_size=200", "--model-dir", str(tmp_path / "run")]
    result = run_ranks(2, ["-m", "monolith_ref", "train", str(path), "--json", "--quiet", *words])
    assert result.code == 0, result.stderr
    window = json.loads((tmp_path / "run" / "report.json").read_text())["windows"][0]
    assert window["steps"] == 3
    config = load_train_config(path, {"training.batch_size": "200"}, environment={})
    predicted = predict_traffic(Observed(config).workload, 2)
    for name in ("ids", "rows", "gradients", "dense", "dense sums"):
        assert predicted.sent[name] == pytest.approx(window["sent"][name], rel=0.05), name
    assert predicted.total == pytest.approx(sum(window["sent"].values()), rel=0.05)


def test_owners_of_seen_ids_are_those_of_their_numbers() -> None:
    fids = (np.int64(3) << 48) + 6 * np.arange(40, dtype=np.int64)
    feature = Feature(SeenIds(fids, np.full(40, 1 / 40)), 1, 1)
    workload = Workload((Table("one", 4, 64, (feature,)),), 500, (4,))
    skew = owner_skew(workload, 3)
    assert (skew.by_ids, skew.idle) == (pytest.approx(3.0), 2)
    assert "multiples of 6" in skew.cause
    assert owner_skew(workload, 5).idle == 0


def test_the_command_takes_a_configuration(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path)
    assert run(["plan", str(path), "--ranks", "1,3", "--measure", "--json", "--batch-size", "8"]) == 0
    found = json.loads(capfd.readouterr().out)["predictions"]
    assert [one["ranks"] for one in found] == [1, 3]
    assert found[1]["step_seconds"]["total"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.tsv", "train.toml"]
    assert run(["plan", str(path), "--dim", "3"]) == 2
    assert "--dim describes features that are all alike" in capfd.readouterr().err
    assert run(["plan", str(tmp_path / "none.toml")]) == 2
