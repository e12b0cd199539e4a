"""Every line of tables.md 12 and of entry.md 7 about tables: the typed error, and nothing changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig, EntryConfig, MultiEmbeddingHashTableConfig

from monolith_ref.entry import (
    BatchSoftmaxOptimizer,
    DynamicWdAdagradOptimizer,
    FTRLWithGroupSparsityOptimizer,
    HashTableConfigInstance,
)
from monolith_ref.errors import ArgumentError, ConfigError, DtypeError, ShapeError, StateError
from monolith_ref.quirks import Quirks
from monolith_ref.table.config import check_table_config, parse_multi_config, parse_table_config
from monolith_ref.table.core import Table
from monolith_ref.table.multi_type import fused_apply_gradient
from monolith_ref.table.thresholds import slot_thresholds, threshold_array

from .support import adagrad, content, instance, message, multi, part, single

DEFAULT = Quirks()


def changed(edit: Any, *segments: EntryConfig.Segment, **options: Any) -> EmbeddingHashTableConfig:
    """A sound message, edited."""
    config = message(*segments, **options)
    edit(config)
    return config


def _set(name: str, value: Any) -> Any:
    return lambda config: setattr(config, name, value)


def _drop(field: str, number: int = 0) -> Any:
    return lambda config: config.entry_config.segments[number].ClearField(field)


def _empty(field: str) -> Any:
    def edit(config: Any) -> None:
        config.entry_config.segments[0].ClearField(field)
        getattr(config.entry_config.segments[0], field).SetInParent()

    return edit


def _dc(config: Any) -> None:
    config.entry_config.segments[0].opt_config.dc.lambda_ = 0.1


def _dim(value: int | None) -> Any:
    def edit(config: Any) -> None:
        if value is None:
            config.entry_config.segments[0].ClearField("dim_size")
        else:
            config.entry_config.segments[0].dim_size = value

    return edit


def _evict(hours: int) -> Any:
    def edit(config: Any) -> None:
        config.enable_feature_eviction = True
        config.feature_evict_every_n_hours = hours

    return edit


CONFIGS: list[tuple[str, EmbeddingHashTableConfig, str]] = [
    ("no table type", changed(lambda c: c.ClearField("cuckoo")), "type of hash table"),
    ("no segments", EmbeddingHashTableConfig.FromString(bytes.fromhex("10012a00")), "at least one segment"),
    ("no init", changed(_drop("init_config")), "segment 0 has no init_config"),
    ("no opt", changed(_drop("opt_config")), "segment 0 has no opt_config"),
    ("no comp when serving", changed(_drop("comp_config"), serving=True), "segment 0 has no comp_config"),
    ("no init in one segment", changed(_drop("init_config", 1), part(), part(3)), "segment 1 has no init_config"),
    ("no opt in one segment", changed(_drop("opt_config", 1), part(), part(3)), "segment 1 has no opt_config"),
    ("no comp in one segment", changed(_drop("comp_config", 1), part(), part(3), serving=True), "segment 1"),
    ("empty init", changed(_empty("init_config")), "segment 0: init_config"),
    ("empty opt", changed(_empty("opt_config")), "segment 0: opt_config"),
    ("empty comp", changed(_empty("comp_config")), "segment 0: comp_config"),
    ("dc", changed(_dc), "dc"),
    ("group_ftrl", message(part(2, FTRLWithGroupSparsityOptimizer())), "unbuilt_rules"),
    ("dynamic_wd_adagrad", message(part(2, DynamicWdAdagradOptimizer())), "unbuilt_rules"),
    ("dim 0", changed(_dim(0)), "dim_size"),
    ("dim negative", changed(_dim(-3)), "dim_size"),
    ("dim unset", changed(_dim(None)), "dim_size"),
    (
        "entry type unknown",
        changed(lambda c: setattr(c.entry_config, "entry_type", EntryConfig.UNKNOWN)),
        "entry type",
    ),
    ("skip_zero in training", changed(_set("skip_zero_embedding", True)), "skip_zero_embedding"),
    ("eviction without hours", changed(_evict(0)), "feature_evict_every_n_hours"),
    ("eviction with negative hours", changed(_evict(-1)), "feature_evict_every_n_hours"),
]


@pytest.mark.parametrize(("line", "config", "text"), CONFIGS, ids=[line for line, _, _ in CONFIGS])
def test_configurations_that_cannot_be_built(line: str, config: EmbeddingHashTableConfig, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_table_config(config, DEFAULT)
    with pytest.raises(ConfigError, match=text):
        Table("t", config)


def test_unbuilt_rules_never_dc() -> None:
    quirks = Quirks().plus("unbuilt_rules")
    for optimizer in (FTRLWithGroupSparsityOptimizer(), DynamicWdAdagradOptimizer()):
        table = single(message(part(2, optimizer)), quirks=quirks)
        table.apply_gradients([1], [[1, 1]], 0)
        assert table.size() == 1
    with pytest.raises(ConfigError, match="dc"):
        check_table_config(changed(_dc), quirks)


def test_batch_softmax_dims_and_steps() -> None:
    wide = message(part(2, BatchSoftmaxOptimizer()))
    check_table_config(wide, DEFAULT)
    with pytest.raises(ConfigError, match="dim_size 1"):
        check_table_config(wide, Quirks.parse("clean"))
    table = single(message(part(1, BatchSoftmaxOptimizer())))
    table.assign([1], [[1]])
    before = content(table)
    with pytest.raises(ArgumentError, match="global_step"):
        table.apply_gradients([1], [[1]], -1)
    assert content(table) == before
    both = multi({"a": instance(), "b": instance(message(part(1, BatchSoftmaxOptimizer())))})
    before = content(both)
    with pytest.raises(ArgumentError):
        both.apply_gradients({"a": ([1], [[1, 1]]), "b": ([1], [[1]])}, -1)
    assert content(both) == before


def test_bytes_that_do_not_parse() -> None:
    with pytest.raises(ConfigError):
        parse_table_config(b"\xff\xff")
    with pytest.raises(ConfigError):
        parse_multi_config(b"\xff\xff")
    sound = MultiEmbeddingHashTableConfig(names=["a", "b"], configs=[message(), message()])
    assert list(parse_multi_config(sound.SerializeToString())) == ["a", "b"]
    with pytest.raises(ConfigError, match="2 names and 1 configs"):
        parse_multi_config(MultiEmbeddingHashTableConfig(names=["a", "b"], configs=[message()]).SerializeToString())
    twice = MultiEmbeddingHashTableConfig(names=["a", "a"], configs=[message(), message()]).SerializeToString()
    with pytest.raises(ConfigError, match="twice"):
        parse_multi_config(twice)
    with pytest.raises(ConfigError):
        check_table_config(b"", DEFAULT)  # type: ignore[arg-type]


def test_slots_out_of_range() -> None:
    with pytest.raises(ConfigError, match="32768"):
        threshold_array(slot_thresholds({32768: 1}), limited=True, quirks=DEFAULT)
    with pytest.raises(ConfigError):
        slot_thresholds({-1: 1})
    with pytest.raises(ConfigError):
        threshold_array(b"\xff\xff", limited=True, quirks=DEFAULT)
    with pytest.warns(UserWarning, match="slot 40000"):
        table = single(message(part(1), days={40000: 0}))
    table.assign([40000 << 48 & (2**63 - 1)], [[1]], req_time=5)
    assert table.evict() == 0


def filled() -> Any:
    table = single(message(adagrad(2)), [0.1])
    table.apply_gradients([1, 2], [[1, 1], [2, 2]], 3, req_time=7)
    return table


CALLS: list[tuple[str, Any, type[Exception], str]] = [
    ("assign_add row width", lambda t: t.assign_add([1], [[1, 2, 3]]), ShapeError, "3 floats, the table has 2"),
    ("assign row width", lambda t: t.assign([1], [[1, 2, 3]]), ShapeError, "3 floats"),
    ("right count, wrong width", lambda t: t.assign([1, 2, 3], [[1, 2, 3], [4, 5, 6]]), ShapeError, "3 floats"),
    ("assign too few values", lambda t: t.assign([1, 2, 3], [[1, 2]]), ShapeError, "2 floats for 3 ids"),
    ("assign too many values", lambda t: t.assign([1], [1, 2, 3, 4]), ShapeError, "4 floats for 1 ids"),
    ("optimize too few values", lambda t: t.apply_gradients([1, 2], [1, 2], 0), ShapeError, "2 floats for 2 ids"),
    ("optimize wrong width", lambda t: t.apply_gradients([1], [[1, 2, 3]], 0), ShapeError, "3 floats"),
    ("assign ids of rank 2", lambda t: t.assign([[1]], [[1, 2]]), ShapeError, "rank 1"),
    ("assign_add ids of rank 0", lambda t: t.assign_add(1, [1, 2]), ShapeError, "rank 1"),
    ("float ids", lambda t: t.lookup(np.array([1.0])), DtypeError, "integers"),
    ("bool ids", lambda t: t.lookup(np.array([True])), DtypeError, "integers"),
    ("ids beyond 64 bits", lambda t: t.lookup([1 << 64]), DtypeError, "64 bits"),
    ("inexact float64", lambda t: t.assign([1], np.array([[0.1, 0.2]])), DtypeError, "exactly"),
    ("inexact int64", lambda t: t.assign([1], np.array([[2**24 + 1, 0]])), DtypeError, "exactly"),
    ("strings", lambda t: t.assign([1], np.array([["a", "b"]])), DtypeError, "float32"),
    ("negative time", lambda t: t.assign([1], [[1, 2]], req_time=-1), ArgumentError, "req_time"),
    ("time of 2^32", lambda t: t.apply_gradients([1], [[1, 2]], 0, req_time=1 << 32), ArgumentError, "req_time"),
    ("time of 2^32 in assign_add", lambda t: t.assign_add([1], [[1, 2]], req_time=1 << 32), ArgumentError, "req_time"),
    ("time of 2^32 in reinitialize", lambda t: t.reinitialize([1], req_time=1 << 32), ArgumentError, "req_time"),
    ("time of two numbers", lambda t: t.assign([1], [[1, 2]], req_time=[1, 2]), DtypeError, "one integer"),
    ("float step", lambda t: t.apply_gradients([1], [[1, 2]], 0.5), DtypeError, "global_step"),
    ("step beyond int64", lambda t: t.apply_gradients([1], [[1, 2]], 1 << 63), ArgumentError, "int64"),
    ("shard that is not there", lambda t: t.save_as_tensor(2, 2, 10, 0), ArgumentError, "shard 2 of 2"),
    ("limit 0", lambda t: t.save_as_tensor(0, 1, 0, 0), ArgumentError, "limit"),
    ("negative offset", lambda t: t.save_as_tensor(0, 1, 1, -1), ArgumentError, "offset"),
]


@pytest.mark.parametrize(("line", "call", "error", "text"), CALLS, ids=[case[0] for case in CALLS])
def test_calls_of_a_single_table(line: str, call: Any, error: type[Exception], text: str) -> None:
    table = filled()
    before = content(table)
    with pytest.raises(error, match=text):
        call(table)
    assert content(table) == before


def test_numbers_of_learning_rates() -> None:
    config = message(part(1), part(2))
    for rates in ([0.1], [0.1, 0.2, 0.3]):
        with pytest.raises(ConfigError, match="one rate for each of the 2 segments"):
            HashTableConfigInstance(config, rates)
    table = Table("t", config)
    before = content(table)
    ids, grads = np.array([1]), np.ones(3, np.float32)
    for count in (0, 1, 3):
        with pytest.raises(ShapeError, match="2 segments"):
            table.optimize(ids, grads, np.ones(count, np.float32), 0, 0)
    assert content(table) == before
    surplus = Table("t", config, quirks="default +extra_learning_rates")
    surplus.optimize(ids, grads, np.array([1, 2, 9], np.float32), 0, 0)
    assert surplus.lookup(ids)[0].tolist() == [[-1, -2, -2]]
    with pytest.raises(ShapeError):
        surplus.optimize(ids, grads, np.ones(1, np.float32), 0, 0)
    tables = [single(message(part(1)), name_suffix=name) for name in "ab"]
    for flat in ([1.0], [1.0, 1.0, 1.0]):
        with pytest.raises(ShapeError, match="2 segments"):
            fused_apply_gradient(tables, [1], None, [1, 0], [1], None, None, flat, 0, 0, 1)
    assert [one.size() for one in tables] == [0, 0]


def several() -> Any:
    tables = multi({"a": instance(message(adagrad(1))), "b": instance(message(adagrad(2)))})
    return tables.assign({"a": ([1], [[1]]), "b": ([2], [[2, 2]])})


FUSED = ([1, 2], [1, 1], 1)
MULTI_CALLS: list[tuple[str, Any, type[Exception], str]] = [
    ("splits too few", lambda t: t.raw_assign(([1], [0, 1]), [1]), ShapeError, r"shape \[3\]"),
    ("splits too many", lambda t: t.raw_apply_gradients(([1], [0, 1, 1, 1]), [1], 0), ShapeError, r"shape \[3\]"),
    ("splits of length 1", lambda t: t.raw_lookup(([], [0])), ShapeError, "row_splits"),
    ("splits of half a request", lambda t: t.raw_lookup(([1], [0, 1, 1, 1])), ShapeError, "row_splits"),
    ("splits fall", lambda t: t.raw_lookup(([1, 2], [0, 2, 1])), ShapeError, "rise from 0 to 2"),
    ("splits beyond ids", lambda t: t.raw_lookup(([1], [0, 1, 2])), ShapeError, "rise from 0 to 1"),
    ("splits do not begin at 0", lambda t: t.raw_lookup(([1], [1, 1, 1])), ShapeError, "rise from 0"),
    ("no ragged id", lambda t: t.raw_lookup(3), ShapeError, "row_splits"),
    ("values too few", lambda t: t.raw_assign(([1, 2], [0, 1, 2]), [1, 2]), ShapeError, "'b'"),
    ("values too many", lambda t: t.raw_assign(([1, 2], [0, 1, 2]), [1, 2, 3, 4]), ShapeError, "need 3 floats"),
    (
        "gradients too few",
        lambda t: t.raw_apply_gradients(([1, 2], [0, 1, 2]), [1, 2], 0),
        ShapeError,
        "table 'b'",
    ),
    (
        "widths wrong but enough in total",
        lambda t: t.assign({"a": ([1], [[5, 5]]), "b": ([2], [[5]])}),
        ShapeError,
        "table 'a'",
    ),
    ("a later table is wrong", lambda t: t.assign({"a": ([1], [[5]]), "b": ([2], [[5]])}), ShapeError, "table 'b'"),
    (
        "a later table's gradients are wrong",
        lambda t: t.apply_gradients({"a": ([1], [[5]]), "b": ([2], [[5]])}, 0),
        ShapeError,
        "table 'b'",
    ),
    ("no pair", lambda t: t.assign({"a": 5}), ShapeError, "pair"),
    ("ids of rank 2", lambda t: t.assign_add({"a": ([[1]], [[5]])}), ShapeError, "rank 1"),
    ("time out of range", lambda t: t.assign({"a": ([1], [[5]])}, req_time=-5), ArgumentError, "req_time"),
    ("time out of range", lambda t: t.apply_gradients({"a": ([1], [[5]])}, 0, 1 << 32), ArgumentError, "req_time"),
    ("flat values of rank 2", lambda t: t.raw_assign(([1], [0, 1, 1]), [[1]]), ShapeError, "rank 1"),
    ("fused sizes too few", lambda t: t.fused_lookup([1, 2], [1], 1), ShapeError, r"shape \[2\]"),
    ("fused sizes too many", lambda t: t.fused_lookup([1, 2], [1, 1, 0, 0], 1), ShapeError, r"shape \[2\]"),
    ("fused sizes do not add up", lambda t: t.fused_lookup([1, 2], [1, 0], 1), ShapeError, "add up to 2"),
    ("fused size negative", lambda t: t.fused_lookup([1, 2], [3, -1], 1), ShapeError, "non-negative"),
    ("no shards", lambda t: t.fused_lookup([], [], 0), ShapeError, "num_of_shards"),
    ("fused ids of rank 2", lambda t: t.fused_lookup([[1, 2]], [1, 1], 1), ShapeError, "rank 1"),
    (
        "fused gradients too few",
        lambda t: t.fused_apply_gradient([1, 2], None, [1, 1], [1, 2], None, None, 0, 0, 1),
        ShapeError,
        "id_grads has 2 floats",
    ),
    (
        "fused offsets of another call",
        lambda t: t.fused_apply_gradient([1, 2], None, [1, 1], [1, 2, 3], [0, 2, 2], None, 0, 0, 1),
        ShapeError,
        "id_offsets",
    ),
    (
        "fused float offsets of another call",
        lambda t: t.fused_apply_gradient([1, 2], None, [1, 1], [1, 2, 3], None, [0, 1], 0, 0, 1),
        ShapeError,
        "grad_offsets",
    ),
]


@pytest.mark.parametrize(("line", "call", "error", "text"), MULTI_CALLS, ids=[case[0] for case in MULTI_CALLS])
def test_calls_of_several_tables(line: str, call: Any, error: type[Exception], text: str) -> None:
    tables = several()
    before = content(tables)
    with pytest.raises(error, match=text):
        call(tables)
    assert content(tables) == before


def test_serving_tables_cannot_be_trained_or_saved() -> None:
    table = single(message(part(2), serving=True))
    table.assign([1], [[1, 2]])
    before = content(table)
    for call, text in (
        (lambda: table.apply_gradients([1], [[1, 1]], 0), "Optimize"),
        (lambda: table.apply_gradients([9], [[1, 1]], 0), "Optimize"),
        (lambda: table.lookup_entry([1]), "ServingEntryAccessor doesn't support"),
        (lambda: table.save_as_tensor(0, 1, 10, 0), "ServingEntryAccessor doesn't support"),
        (lambda: table.table.export(), "Save"),
        (lambda: table.reinitialize([1]), "ServingEntryAccessor doesn't support"),
    ):
        with pytest.raises(StateError, match=text):
            call()
    assert content(table) == before


def test_not_finite_values_are_stored_unless_checked() -> None:
    table = single(message(part(1)))
    table.apply_gradients([1], [[float("nan")]], 0)
    table.assign([2], [[float("inf")]])
    assert np.isnan(table.lookup([1])[0, 0])
    checked = single(message(part(1)), check_numerics=True)
    checked.assign([1], [[1]])
    before = content(checked)
    for call in (
        lambda: checked.apply_gradients([1, 77], [[1], [float("nan")]], 0),
        lambda: checked.assign([1, 77], [[1], [float("inf")]]),
        lambda: checked.assign_add([1, 77], [[1], [float("-inf")]]),
    ):
        with pytest.raises(ArgumentError, match=r"\[77\]"):
            call()
    assert content(checked) == before
    tables = multi({"a": instance(message(part(1))), "b": instance(message(part(1)))}, check_numerics=True)
    before = content(tables)
    with pytest.raises(ArgumentError, match=r"'b'.*\[5\]"):
        tables.apply_gradients({"a": ([1], [[1]]), "b": ([5], [[float("nan")]])}, 0)
    with pytest.raises(ArgumentError, match=r"'b'.*\[5\]"):
        tables.fused_apply_gradient([1, 5], None, [1, 1], [1, float("nan")], None, None, 0, 0, 1)
    assert content(tables) == before


def test_row_numbers_end_at_2_31() -> None:
    table = single(message(part(1)))
    table.assign([1], [[1]])
    store: Any = table.table.store
    before = content(table)
    store.next_row = 2**31 - 2
    with pytest.raises(StateError, match="2147483647 rows"):
        store.find_or_insert(np.array([2, 3], np.int64))
    assert store.find_or_insert(np.array([1, 1], np.int64)).tolist() == [0, 0]
    assert store.size == 1
    store.next_row = 1
    assert content(table) == before


def test_flushing_needs_the_cpu() -> None:
    from monolith_kernels import target

    with pytest.raises(ConfigError, match="flush_denormals"):
        Table("t", message(), target=target("cuda"), quirks="original")
