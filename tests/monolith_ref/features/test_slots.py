"""Slots, slices, columns, lookups and the tables that follow from them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from monolith_ref.dense import Graph
from monolith_ref.entry import AdagradOptimizer, Fp32Compressor, SgdOptimizer, ZerosInitializer
from monolith_ref.errors import ArgumentError, ConfigError, DtypeError, ShapeError, StateError
from monolith_ref.features.collection import FeatureCollection
from monolith_ref.features.combiners import FirstN, ReduceMean, ReduceSum, combiner_of
from monolith_ref.features.names import NO_SLOT, FeatureNames
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.features.slots import FeatureFactory, FeatureSlotConfig
from monolith_ref.features.tables import assign_columns, plan_tables

PARTS: dict[str, Any] = {
    "initializer": ZerosInitializer(),
    "optimizer": AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1),
    "compressor": Fp32Compressor(),
}


def collection(quirks: str | None = None) -> FeatureCollection:
    names = FeatureNames(quirks)
    names.register({"user": 1, "item": 2})
    return FeatureCollection(Graph(), names, quirks=quirks)


def test_equal_neighbours_become_one_segment() -> None:
    """The requests of the published run: bias, three equal or different vectors, explicit rates, a warm-up."""
    slot = FeatureFactory().create_feature_slot(
        FeatureSlotConfig(name="5", slot_id=5, has_bias=True, occurrence_threshold=3)
    )

    def add(dim: int, rate: float, warmup: int = 0, explicit: float | None = None) -> None:
        optimizer = AdagradOptimizer(learning_rate=rate, initial_accumulator_value=0.1, warmup_steps=warmup)
        slot.add_feature_slice(dim, ZerosInitializer(), optimizer, learning_rate_fn=explicit)

    add(2, 0.05)
    add(3, 0.05)
    add(4, 0.01)
    add(1, 0.01, explicit=0.01)
    add(1, 0.01, explicit=0.02)
    add(2, 0.05)
    add(2, 0.1, warmup=10)
    slot.add_feature_slice(3)
    assert [(s.start, s.end) for s in slot.slices] == [
        (0, 1), (1, 3), (3, 6), (6, 10), (10, 11), (11, 12), (12, 14), (14, 16), (16, 19),
    ]  # fmt: skip
    segments, rates = slot.segments()
    assert [(s.dim_size, s.opt_config.WhichOneof("type"), str(rate)) for s, rate in zip(segments, rates, strict=True)][
        :6
    ] == [
        (1, "ftrl", "0.009999999776482582"),
        (5, "adagrad", "0.05000000074505806"),
        (4, "adagrad", "0.009999999776482582"),
        (1, "adagrad", "0.01"),
        (1, "adagrad", "0.02"),
        (2, "adagrad", "0.05000000074505806"),
    ]
    assert callable(rates[6])
    assert (segments[7].dim_size, str(rates[7])) == (3, "0.0010000000474974513")
    assert slot.slot == 5
    assert slot.get_bias().dim == 1


def test_slots_refuse_what_means_nothing() -> None:
    factory = FeatureFactory()
    slot = factory.create_feature_slot(FeatureSlotConfig(name="user"))
    with pytest.raises(ConfigError, match="already"):
        factory.create_feature_slot(FeatureSlotConfig(name="user"))
    with pytest.raises(StateError, match="has_bias"):
        slot.get_bias()
    with pytest.raises(StateError, match="no slice"):
        slot.segments()
    with pytest.raises(ConfigError, match="not named by a number"):
        _ = slot.slot
    assert FeatureSlotConfig(slot_id=7).name == "7"


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("user", ("user", 1)),
        (2, ("item", 2)),
        (9, ("fc_slot_9", 9)),
        ("slot_12", ("slot_12", 12)),
        ("fc_slot_3", ("fc_slot_3", 3)),
        ("fc_slot_1_2", ("fc_slot_1_2", 2)),
        ("slot_-1", ("slot_-1", NO_SLOT)),
        ("other", ("other", NO_SLOT)),
    ],
)
def test_names_have_slots(feature: Any, expected: tuple[str, int]) -> None:
    assert collection().names.resolve(feature) == expected


def test_automatic_numbers_are_a_quirk() -> None:
    names = FeatureNames("original")
    assert [names.resolve(n)[1] for n in ("b", "a", "b")] == [1, 2, 1]


def test_names_refuse_contradictions() -> None:
    names = FeatureNames()
    names.register({"a": 1})
    with pytest.raises(ConfigError, match="has slot 1"):
        names.register({"a": 2})
    with pytest.raises(ConfigError, match=r"0\.\.32767"):
        names.register({"b": 40000})
    with pytest.raises(ArgumentError, match="name"):
        names.resolve(1.5)


def test_lookup_forms() -> None:
    c = collection()
    assert [t.width for t in c.lookup({"user": 3, "item": 4}, "v", **PARTS)] == [3, 4]
    assert [t.width for t in c.lookup(["user", 2], "w", 5, **PARTS)] == [5, 5]
    assert [t.width for t in c.lookup([("user", 2), ("item", 1)], "b", **PARTS)] == [2, 1]
    assert [t.width for t in c.lookup([(1, 2), [2]], "g", 4, **PARTS)] == [4, 4]
    assert [t.width for t in c.lookup([(1, 2), [2]], "g", 4, group_out_type="concat", **PARTS)] == [8, 4]
    assert c.lookup(["user", "item"], "w", 5, out_type="concat", **PARTS).shape == (None, 10)
    assert c.lookup(["user", "item"], "w", 5, out_type="stack", **PARTS).shape == (None, 2, 5)
    assert c.lookup(["user", "item"], "w", 5, out_type="add_n", **PARTS).shape == (None, 5)
    digest = hashlib.md5(b"item,user", usedforsecurity=False).hexdigest()
    assert c.lookups[-1].layout_name == f"w_{digest}"
    assert c.lookups[-1].features == ("user", "item")


@pytest.mark.parametrize(
    ("features", "dim"),
    [("user", 3), (["user"], None), ([("user", 2)], 3), ([(1, 2), 3], 4), ({}, None), ([], 3), (["user"], 0)],
)
def test_lookup_refuses_other_forms(features: Any, dim: Any) -> None:
    with pytest.raises(ArgumentError):
        collection().lookup(features, "v", dim, **PARTS)


def test_a_slice_asked_for_again_must_be_the_same() -> None:
    c = collection()
    first = c.lookup(["user"], "v", 3, **PARTS)[0]
    again = c.lookup(["user"], "v", 3, **PARTS)[0]
    assert first.width == again.width
    assert len(c.factory.slots["user"].slices) == 1
    with pytest.raises(ConfigError, match="asked for again"):
        c.lookup(["user"], "v", 4, **PARTS)
    with pytest.raises(ConfigError, match="asked for again"):
        c.lookup(["user"], "v", 3, **{**PARTS, "optimizer": SgdOptimizer(learning_rate=0.05)})
    ignoring = collection("default +slice_redefinition_ignored")
    ignoring.lookup(["user"], "v", 3, **PARTS)
    assert ignoring.lookup(["user"], "v", 4, **PARTS)[0].width == 3


def test_shared_columns_read_one_table() -> None:
    c = collection()
    c.create_column("user")
    c.create_column("friend", shared_name="user")
    c.lookup(["user", "friend"], "v", 3, **PARTS)
    (table,) = plan_tables(c, "multi")
    assert (table.name, table.features, table.slots) == ("user", ("friend", "user"), (NO_SLOT, 1))
    assert assign_columns(c) == {"user": (0, 3), "friend": (3, 3)}


def test_tables_of_both_layouts() -> None:
    c = collection()
    for name in ("feature10", "feature2", "feature1"):
        c.create_column(name)
    c.lookup(["feature10", "feature2", "feature1"], "v", 3, **PARTS)
    multi = plan_tables(c, "multi")
    assert [t.name for t in multi] == ["feature1", "feature10", "feature2"]
    (merged,) = plan_tables(c, "merged")
    assert merged.features == ("feature1", "feature10", "feature2")
    joined = ",".join(merged.features).encode()
    assert merged.name == hashlib.md5(joined, usedforsecurity=False).hexdigest()
    assert merged.dim == 3
    with pytest.raises(ConfigError, match="multi"):
        plan_tables(c, "flat")  # type: ignore[arg-type]


def test_different_rates_are_not_merged() -> None:
    c = collection()
    c.lookup(["user"], "v", 3, **PARTS)
    c.lookup(["item"], "v", 3, learning_rate_fn=0.5, **PARTS)
    assert len(plan_tables(c, "merged")) == 2


def test_expiry_of_all_slots_is_in_every_table() -> None:
    c = collection()
    c.create_column("user", expire_time=7)
    c.create_column("item", expire_time=9)
    c.lookup(["user", "item"], "v", 3, **PARTS)
    for table in plan_tables(c, "multi"):
        entries = table.config.table_config.slot_expire_time_config.slot_expire_times
        assert {entry.slot: entry.expire_time for entry in entries} == {1: 7, 2: 9}


def test_a_column_without_lookup_is_an_error() -> None:
    c = collection()
    c.create_column("user")
    with pytest.raises(StateError, match="user has no slice"):
        plan_tables(c, "multi")
    with pytest.raises(ConfigError, match="no embedding"):
        plan_tables(collection(), "multi")


def test_combiners() -> None:
    assert combiner_of() == ReduceSum()
    assert combiner_of(None, 3) == FirstN(3)
    assert combiner_of("reduce_mean", 3) == ReduceMean()
    assert combiner_of("first_n", 2).tail(4) == (2, 4)
    assert combiner_of(ReduceSum(), 5) == ReduceSum()
    with pytest.raises(ConfigError, match="length"):
        combiner_of("first_n")
    with pytest.raises(ArgumentError, match="combiner"):
        combiner_of("max")


def test_ragged_batches_are_checked_and_cut() -> None:
    ragged = Ragged.from_rows([[1, 2], [], [3]])
    assert ragged.row_splits.tolist() == [0, 2, 2, 3]
    tail = ragged.slice_rows(1, 3)
    assert (tail.values.tolist(), tail.row_splits.tolist()) == ([3], [0, 0, 1])
    assert tail.values.base is ragged.values or tail.values.base is ragged.values.base
    batch = Batch({"a": ragged}, {"label": np.zeros(3, np.float32)}, 3).checked()
    cut = batch.slice_rows(1, 3)
    assert (cut.rows, cut.global_rows, cut.first_row) == (2, 3, 1)
    with pytest.raises(ShapeError, match="row_splits"):
        Ragged(np.arange(3), np.array([0, 2])).checked()
    with pytest.raises(DtypeError, match="int64"):
        Ragged(np.arange(3, dtype=np.int32), np.array([0, 3])).checked()  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="feature a"):
        Batch({"a": ragged}, {}, 2).checked()
    with pytest.raises(DtypeError, match="float32"):
        Batch({}, {"label": np.zeros(3)}, 3).checked()  # type: ignore[dict-item]
