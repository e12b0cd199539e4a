"""Expectations against brute force, owners and memory against real tables, times against a sum done by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from monolith_kernels.target import target

from monolith_ref.errors import ConfigError
from monolith_ref.planning.distinct import distinct, hottest, repeated
from monolith_ref.planning.measure import Likeness, batch_of, measure
from monolith_ref.planning.memory import predict_memory
from monolith_ref.planning.owners import owner_skew
from monolith_ref.planning.prediction import predict, remarks
from monolith_ref.planning.timing import PHASES, Cost, Link, Measurement
from monolith_ref.planning.traffic import predict_traffic
from monolith_ref.planning.workload import Feature, Ids, plain_workload
from monolith_ref.training.engine import Engine


@pytest.mark.parametrize(("skew", "space"), [(0.0, 300), (1.0, 300), (1.3, 5000)])
def test_distinct_and_repeated_ids_against_drawing_them(skew: float, space: int) -> None:
    feature, rows, draws = Feature(Ids(space, skew), 1, 6), 40, 400
    weights = np.arange(1, space + 1, dtype=np.float64) ** -skew
    random = np.random.default_rng(1)
    once, twice = [], []
    for _ in range(draws):
        ids = random.choice(space, int(random.integers(1, 7, rows).sum()), p=weights / weights.sum())
        _, counts = np.unique(ids, return_counts=True)
        once.append(len(counts))
        twice.append(int((counts > 1).sum()))
    assert distinct(feature, rows) == pytest.approx(np.mean(once), rel=0.01)
    assert repeated(feature, rows) == pytest.approx(np.mean(twice), rel=0.03)


def test_groups_of_rare_ids_change_nothing() -> None:
    """A Zipf distribution of more ids than are looked at one by one, against all of them."""
    for skew in (0.8, 1.0, 1.2):
        ids = Ids(300_000, skew)
        probability, sizes = ids.groups
        assert probability @ sizes == pytest.approx(1, abs=1e-12)
        assert sizes.sum() == 300_000
        weights = np.arange(1, 300_001, dtype=np.float64) ** -skew
        weights /= weights.sum()
        every = float((1 - (1 - weights) ** 5000).sum())
        assert distinct(Feature(ids, 1, 1), 5000) == pytest.approx(every, rel=1e-3)
        assert hottest(ids, 100) == pytest.approx(weights[:100].sum(), rel=1e-3)


def test_fixed_numbers_of_ids_have_a_closed_form() -> None:
    assert distinct(Feature(Ids(1000), 3, 3), 50) == pytest.approx(1000 * (1 - 0.999**150), rel=1e-12)
    assert distinct(Feature(Ids(1), 1, 2), 5) == 1
    assert distinct(Feature(Ids(10), 0, 1), 0) == 0


def test_rows_of_ranks_are_those_that_are_dealt() -> None:
    workload = plain_workload(rows=455)
    assert workload.rows_of(2) == [(228, 1), (227, 1)]
    assert workload.rows_of(7) == [(65, 7)]
    assert workload.rows_of(500) == [(1, 455), (0, 45)]


def test_memory_is_that_of_real_tables() -> None:
    workload = plain_workload(rows=200, features=3)
    engine = Engine(Likeness(workload), target=target("cpu"))
    for step in range(20):
        engine.step(batch_of(workload, 200, step))
    predicted = predict_memory(workload, 1, 20)
    rows = sum(store.size for store in engine.embeddings.tables.values())
    usage = [store.memory_usage() for store in engine.embeddings.tables.values()]
    assert predicted.table_rows == pytest.approx(rows, rel=0.01)
    assert predicted.rows == pytest.approx(sum(one["rows"] + one["times"] for one in usage), rel=0.01)
    assert predicted.index == sum(one["index"] for one in usage)


def test_owners_share_evenly_or_the_reason_is_said() -> None:
    even = owner_skew(plain_workload(), 16)
    assert even.requests < 1.1
    assert even.cause == ""
    strided = owner_skew(plain_workload(ids=Ids(100_000, stride=8)), 16)
    assert strided.by_ids == pytest.approx(8, rel=0.01)
    assert strided.idle == 14
    assert "multiples of 8" in strided.cause
    assert "hash" in strided.remedy
    assert owner_skew(plain_workload(ids=Ids(100_000, stride=8)), 15).cause == ""
    hot = owner_skew(plain_workload(features=1, ids_per_row=(2, 2), ids=Ids(10_000, 2.0), rows=20_000), 64)
    assert hot.by_ids > 1.5
    assert "hot" in hot.cause
    scarce = owner_skew(plain_workload(rows=100), 4096)
    assert "chance" in scarce.cause
    assert owner_skew(plain_workload(empty_rank0=True), 8).idle == 1


def test_requests_fall_on_owners_as_drawn() -> None:
    workload = plain_workload(features=2, ids_per_row=(3, 3), ids=Ids(2000, 1.1, 2), rows=120)
    ranks, draws = 6, 60
    load = np.zeros(ranks)
    for draw in range(draws):
        for rank in range(ranks):
            for ragged in batch_of(workload, 20, 1000 * draw + rank).ragged.values():
                load += np.bincount(np.unique(ragged.values) % ranks, minlength=ranks)
    expected = owner_skew(workload, ranks)
    assert expected.by_ids == pytest.approx(load.max() / load.mean(), rel=0.03)
    assert expected.idle == int((load == 0).sum())
    assert predict_traffic(workload, ranks).requests == pytest.approx(load.sum() / draws, rel=0.02)


def test_time_is_constants_times_units_and_the_link() -> None:
    workload = plain_workload(rows=100)
    costs = {phase: Cost(1e-3, 1e-6) for phase in PHASES}
    measurement = Measurement("here", {}, costs)
    (one,) = predict(workload, [1], 10, measurement, Link(1.0, 1.0))
    assert one.time is not None
    assert one.time.exchanges == 0
    requests, occurrences = one.traffic.requests, workload.occurrences
    expected = len(PHASES) * 1e-3 + 1e-6 * (3 * occurrences + 4 * requests + 2 * 100)
    assert one.time.total == pytest.approx(expected, rel=1e-9)
    (two,) = predict(workload, [2], 10, measurement, Link(2.0, 1e6))
    assert two.time is not None
    assert two.time.exchanges == pytest.approx(8 * 2.0 + two.traffic.total / 2 / 1e6, rel=0.05)
    assert two.time.phases["lookup"] > 2e-3


def test_measured_constants_predict_what_was_measured(tmp_path: Path) -> None:
    workload = plain_workload(rows=64, features=3)
    found = measure(workload, steps=6)
    (one,) = predict(workload, [1], 6, found)
    assert one.time is not None
    assert 1e-5 < one.time.total < 1
    found.save(tmp_path / "m.json")
    assert Measurement.load(tmp_path / "m.json") == found
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a measurement"):
        Measurement.load(tmp_path / "bad.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        Measurement.load(tmp_path / "none.json")


def test_remarks_name_what_grows_and_what_helps() -> None:
    workload = plain_workload()
    said = remarks(workload, predict(workload, [1, 2, 1024], 5))
    assert any("table.layout=merged" in text for text in said)
    assert any("no row of a batch" in text for text in said)
    assert remarks(workload, predict(workload, [1, 2, 4], 5)) == []
    merged = plain_workload(layout="merged")
    assert predict_traffic(merged, 1024).total < predict_traffic(workload, 1024).total / 1.5


def test_what_cannot_be_planned() -> None:
    with pytest.raises(ConfigError, match="ranks must be"):
        predict(plain_workload(), [0], 1)
    with pytest.raises(ConfigError, match="unrounded"):
        replace(plain_workload(reduction="exact"), grad_wire="f16")
    with pytest.raises(ConfigError, match="a space"):
        Ids(0)
    with pytest.raises(ConfigError, match="some number"):
        Feature(Ids(5), 3, 2)
    with pytest.raises(ConfigError, match="a feature"):
        plain_workload(features=0)
