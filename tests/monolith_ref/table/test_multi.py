"""Several tables: layouts, rates, fused calls, merging: tables.md 8 and 9, entry.md 6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_protos.hash_table_pb2 import EntryDump

from monolith_ref.entry import AdagradOptimizer, ConstantsInitializer, SgdOptimizer
from monolith_ref.errors import ConfigError, StateError, UnknownNameError, UnsupportedError
from monolith_ref.table.admission import SlidingHashFilter
from monolith_ref.table.hash_table import HashTable
from monolith_ref.table.multi import MultiHashTable
from monolith_ref.table.multi_type import (
    MergedMultiTypeHashTable,
    MultiTypeHashTable,
    fused_apply_gradient,
    fused_lookup,
)
from monolith_ref.table.names import NameScope
from monolith_ref.table.naming import merge_segments, merge_tables, table_name
from monolith_ref.table.thresholds import slot_thresholds
from monolith_ref.table.touched import TouchedKeySet

from .support import DAY, adagrad, content, entry_of, hexes, instance, message, multi, part, single


def two(quirks: Any = None, **options: Any) -> MultiHashTable:
    """a of dim 1 and b of dim 2, filled as in the fused example."""
    tables = multi(
        {"b": instance(message(part(2)), [0.5]), "a": instance(message(part(1)), [1.0])}, quirks=quirks, **options
    )
    return tables.assign({"a": ([1, 2], [[1], [2]]), "b": ([3, 4], [[3, 3.5], [4, 4.5]])}, req_time=5)


IDS, SIZES = [1, 2, 4, 9, 3], [2, 1, 0, 2]
FUSED_GRADS = [0.1, 0.2, 1, 2, 3, 4, 5, 6]


def test_fused_example() -> None:
    tables = two()
    found = tables.fused_lookup(IDS, SIZES, 2)
    assert found.embeddings.tolist() == [1, 2, 4, 4.5, 0, 0, 3, 3.5]
    assert found.embedding_splits.tolist() == [4, 4]
    assert found.id_offsets.tolist() == [0, 2, 3, 3, 5]
    assert found.embedding_offsets.tolist() == [0, 2, 4, 4, 8]
    assert found.indices.tolist() == IDS
    assert {array.dtype for array in found[1:4]} == {np.dtype(np.int32)}
    tables.fused_apply_gradient(
        IDS, found.indices, SIZES, FUSED_GRADS, found.id_offsets, found.embedding_offsets, 0, 7, 2
    )
    got = tables.lookup({"a": [1, 2], "b": [4, 9, 3]})
    assert got["a"].tolist() == [[np.float32(0.9)], [np.float32(1.8)]]
    assert got["b"].tolist() == [[3.5, 3.5], [-1.5, -2], [0.5, 0.5]]
    assert entry_of(tables.tables["b"], 9)[2] == 7


def test_fused_free_functions() -> None:
    a, b = single(message(part(1)), [1.0], name_suffix="a"), single(message(part(2)), [0.5], name_suffix="b")
    a.assign([1, 2], [[1], [2]])
    b.assign([3, 4], [[3, 3.5], [4, 4.5]])
    found = fused_lookup([a, b], IDS, SIZES, 2)
    assert found.embeddings.tolist() == [1, 2, 4, 4.5, 0, 0, 3, 3.5]
    fused_apply_gradient(
        [a, b], IDS, None, SIZES, FUSED_GRADS, found.id_offsets, found.embedding_offsets, [1.0, 0.5], 7, 0, 2
    )
    assert b.lookup([4, 9, 3]).tolist() == [[3.5, 3.5], [-1.5, -2], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("accumulate", "weight", "norm"),
    [(False, "-0x1.5add4ap+1", "0x1.51999ap+4"), (True, "-0x1.cafb2cp+0", "0x1.91999ap+4")],
)
def test_an_id_in_two_shards_gets_two_steps(accumulate: bool, weight: str, norm: str) -> None:
    tables = multi({"t": instance(message(adagrad(1)), [1.0])})
    tables.fused_apply_gradient([1, 1, 1], None, [2, 1], [1, 2, 4], None, None, 0, 0, 2, accumulate)
    num, state, _ = entry_of(tables.tables["t"], 1)
    assert hexes(num) == [weight]
    assert hexes(state[0]["norm"]) == [norm]


def test_tables_are_sorted_and_rates_go_by_name() -> None:
    configs = {"z": instance(message(part(1)), [1.0]), "a": instance(message(part(1)), [0.25])}
    for quirks, a, z in (("default", -0.25, -1.0), ("default +multi_lr_insertion_order", -1.0, -0.25)):
        tables = multi(configs, quirks=quirks)
        assert tables.table_names == ["a", "z"]
        tables.apply_gradients({"z": ([1], [[1]]), "a": ([1], [[1]])}, 0)
        got = tables.lookup({"a": [1], "z": [1]})
        assert (got["a"][0, 0], got["z"][0, 0]) == (a, z)


def test_merged_tables_over_a_multi_table_hit_the_insertion_order() -> None:
    rates = {"p": 1.0, "q": 0.5, "r": 0.25, "s": 0.125}
    configs = {name: instance(message(part(1)), [rate]) for name, rate in rates.items()}
    grads = {name: ([1], [[1]]) for name in rates}
    sound = MergedMultiTypeHashTable(configs, lambda merged: multi(merged))
    sound.apply_gradients(grads, 0)
    assert {n: float(r[0, 0]) for n, r in sound.lookup({name: [1] for name in rates}).items()} == {
        name: -rate for name, rate in rates.items()
    }
    quirk = MergedMultiTypeHashTable(configs, lambda merged: multi(merged, quirks="default +multi_lr_insertion_order"))
    quirk.apply_gradients(grads, 0)
    got = quirk.lookup({name: [1] for name in rates})
    assert [float(got[n][0, 0]) for n in "pqrs"] == [-0.125, -0.25, -0.5, -1.0]


def test_layouts() -> None:
    tables = two()
    ragged = tables.get_ragged_id({"b": [3, 9]})
    assert ragged.values.tolist() == [3, 9]
    assert ragged.row_splits.tolist() == [0, 0, 2]
    flat = tables.get_flat_value({"b": [[1, 2], [3, 4]]})
    assert flat.tolist() == [1, 2, 3, 4]
    split = tables.get_embeddings(ragged, flat)
    assert split["a"].shape == (0, 1)
    assert split["b"].tolist() == [[1, 2], [3, 4]]
    assert tables.raw_lookup(ragged).tolist() == [3, 3.5, 0, 0]
    tables.raw_assign(ragged, flat, req_time=77)
    assert tables.lookup({"b": [9]})["b"].tolist() == [[3, 4]]
    tables.raw_apply_gradients(ragged, flat, 0, req_time=78)
    assert entry_of(tables.tables["b"], 9)[2] == 78
    assert tables.lookup({"b": [9]})["b"].tolist() == [[1.5, 2.0]]


def test_batched_raw_lookup() -> None:
    for quirks, expected in (
        ("default", [1.0, 3, 3.5, 2, 4, 4.5]),
        ("default +multi_lookup_batched_first_request", [1.0, 3, 3.5, 1, 3, 3.5]),
    ):
        assert two(quirks).raw_lookup(([1, 3, 2, 4], [0, 1, 2, 3, 4])).tolist() == expected


def test_unknown_names() -> None:
    tables = two()
    before = content(tables)
    for call in (
        lambda: tables.lookup({"a": [1], "c": [1]}),
        lambda: tables.assign({"a": ([1], [[9]]), "c": ([1], [[9]])}),
        lambda: tables.get_ragged_id({"c": [1]}),
        lambda: tables.get_flat_value({"c": [[1]]}),
        lambda: tables.reinitialize("c", [1]),
    ):
        with pytest.raises(UnknownNameError, match="'c'") as caught:
            call()
        assert isinstance(caught.value, KeyError)
    assert content(tables) == before
    lenient = two("default +multi_ignore_unknown_slots")
    assert set(lenient.lookup({"a": [1], "c": [1]})) == {"a"}
    assert lenient.reinitialize("c", [1, 2])[1].tolist() == [-1, -1]


def test_req_time_of_assign() -> None:
    for quirks, time in (("default", 5), ("default +multi_assign_ignores_req_time", 0)):
        assert entry_of(two(quirks).tables["a"], 1)[2] == time


def test_lookup_entry_reinitialize_and_sizes() -> None:
    tables = two()
    entries = tables.lookup_entry({"b": [3, 8]})["b"]
    assert list(EntryDump.FromString(entries[0]).num) == [3, 3.5]
    assert entries[1] == b""
    _, status = tables.reinitialize("a", [1, 7], req_time=3)
    assert status.tolist() == [1, 0]
    assert tables.size() == {"a": 3, "b": 2}
    assert tables.get_table_dim_sizes() == [1, 2]
    assert set(tables.memory_usage()["a"]) == {"index", "rows", "times"}
    assert tables.save_as_tensor("b", 0, 1, 10, 0)[0] == 2


def test_expiry_by_table_and_by_the_first() -> None:
    configs = {
        "a": instance(message(part(1), default_days=1)),
        "b": instance(message(part(1), default_days=10)),
    }
    for quirks, days in (("default", 10), ("default +multi_expiry_first_table", 1)):
        tables = multi(configs, quirks=quirks)
        assert int(tables.saving_expiry("b").days[0]) == days
    tables = multi(configs)
    for name in configs:
        tables.assign({name: ([1], [[1]])}, req_time=0)
        tables.assign({name: ([2], [[1]])}, req_time=5 * DAY)
    assert tables.evict() == {"a": 1, "b": 0}


def test_assign_add_and_the_filter() -> None:
    def tables(quirks: str) -> MultiHashTable:
        admission = SlidingHashFilter(300, 7, slot_thresholds({}, 2), quirks=quirks)
        made = multi({"t": instance(message(part(1)))}, hash_filter=admission, quirks=quirks)
        for _ in range(3):
            made.apply_gradients({"t": ([1], [[0]])}, 0)
        assert made.size() == {"t": 1}
        return made.assign_add({"t": ([1], [[1]])})

    assert tables("default").lookup({"t": [1]})["t"][0, 0] == 1
    admission = SlidingHashFilter(300, 7, slot_thresholds({}, 3), quirks="original")
    quirk = multi({"t": instance(message(part(1)))}, hash_filter=admission, quirks="original")
    quirk.reinitialize("t", [1], req_time=0)
    seen = []
    for _ in range(5):
        quirk.assign_add({"t": ([1], [[1]])})
        seen.append(float(quirk.lookup({"t": [1]})["t"][0, 0]))
    assert seen == [0, 0, 0, 1, 2]


def test_tables_share_filter_and_touched_keys() -> None:
    admission = SlidingHashFilter(300, 7, slot_thresholds({}, 1))
    touched = TouchedKeySet()
    tables = multi({name: instance(message(part(1))) for name in "ab"}, hash_filter=admission, sync_client=touched)
    tables.apply_gradients({"a": ([1], [[1]])}, 0)
    tables.apply_gradients({"b": ([1], [[1]])}, 0)
    assert tables.size() == {"a": 0, "b": 1}
    assert {name: ids.tolist() for name, ids in touched.steal_by_table().items()} == {"b": [1]}


def test_names_and_protos() -> None:
    scope = NameScope()
    configs = {"a": instance(message(part(1), default_days=3))}
    tables = MultiHashTable.from_configs(configs, name_suffix="0", scope=scope)
    with pytest.raises(StateError, match="MonolithMultiHashTable_0"):
        MultiHashTable.from_configs(configs, name_suffix="0", scope=scope)
    proto = tables.to_proto()
    assert (list(proto.dims), list(proto.table_names), proto.shared_name) == ([1], ["a"], "MonolithMultiHashTable_0")
    assert proto.slot_expire_time_config == bytes.fromhex("1003")
    assert MultiHashTable.from_proto(proto, scope).tables["a"] is tables.tables["a"]
    with pytest.raises(ConfigError):
        MultiHashTable.from_configs({}, scope=scope)


# ---- multi type and merged tables


def by_slot(slots: dict[str, Any]) -> MultiTypeHashTable:
    order: list[str] = []

    def factory(suffix: str, config: Any) -> HashTable:
        order.append(suffix)
        return single(config.table_config, config.learning_rate_fns, name_suffix=suffix)

    tables = MultiTypeHashTable(slots, factory)
    assert order == sorted(slots)
    return tables


def test_multi_type_tables_forward() -> None:
    tables = by_slot({"b": instance(message(part(2)), [0.5]), "a": instance(message(part(1)), [1.0])})
    tables.assign({"b": ([3], [[3, 3.5]])}, req_time=4)
    assert entry_of(tables.tables["b"], 3)[2] == 4
    tables.assign_add({"b": ([3], [[1, 1]])}, req_time=9)
    tables.apply_gradients({"a": ([1, 1], [[1], [1]])}, 0, enable_dedup=True)
    got = tables.lookup({"a": [1], "b": [3]})
    assert (got["a"].tolist(), got["b"].tolist()) == ([[-2]], [[4, 4.5]])
    assert tables.get_table_dim_sizes() == [1, 2]
    found = tables.fused_lookup([1, 3], [1, 1], 1)
    assert found.embeddings.tolist() == [-2, 4, 4.5]
    tables.fused_apply_gradient([1, 3], None, [1, 1], [1, 2, 2], None, None, 0, 0, 1)
    assert tables.lookup({"b": [3]})["b"].tolist() == [[3, 3.5]]
    with pytest.raises(KeyError):
        tables.lookup({"c": [1]})
    with pytest.raises(ConfigError):
        MultiTypeHashTable({}, lambda suffix, config: single())
    with pytest.raises(UnsupportedError):
        tables.reinitialize("a", [1])


def test_table_names() -> None:
    assert table_name(["user", "fc_slot_10", "fc_slot_3"]) == (
        "4b3287679a78f6b316f07bddd6c172d2",
        ["1f7cf759982c32b926d125f33b05e74a"],
    )
    assert table_name(["w", "u", "fc_slot_2", "fc_slot_1"]) == (
        "d6a794247b6d46f0e0eeec30e759b8dd",
        ["05d8291a4299511a2e3b2bd8b69b9c48"],
    )


def test_merging_by_identity() -> None:
    same = message(part(1))
    configs = {
        "u": instance(same, [1.0], ["first"]),
        "fc_slot_1": instance(same, [1.0], ["second", "first"]),
        "w": instance(same, [1]),
        "x": instance(message(part(2)), [1.0]),
        "l": instance(same, [lambda: 1.0]),
        "m": instance(same, [lambda: 1.0]),
    }
    merged = merge_tables(configs)
    assert [table.features for table in merged] == [("fc_slot_1", "u"), ("l",), ("m",), ("w",), ("x",)]
    other = table_name(["fc_slot_1", "u"])[1]
    assert merged[0].config.extra_restore_names == ["second", "first", *other]
    first = merge_tables(configs, quirks="default +merged_restore_names_first_only")
    assert first[0].config.extra_restore_names == ["second", "first", *other]
    del configs["fc_slot_1"]
    configs["v"] = instance(same, [1.0], ["third"])
    assert merge_tables(configs)[2].config.extra_restore_names == ["first", "third"]
    quirk = merge_tables(configs, quirks="default +merged_restore_names_first_only")
    assert quirk[2].config.extra_restore_names == ["first"]
    assert merge_tables(configs)[2].config.extra_restore_names == ["first", "third"], "merging changes nothing"


def test_merged_slots_share_rows() -> None:
    slots = ["u", "fc_slot_1"]
    tables = MergedMultiTypeHashTable(
        {slot: instance(message(part(1))) for slot in slots}, lambda merged: multi(merged)
    )
    tables.assign({"u": ([1, 2], [[2], [3]]), "fc_slot_1": ([1], [[1]])})
    got = tables.lookup({"u": [1, 2], "fc_slot_1": [1]})
    assert (got["u"].tolist(), got["fc_slot_1"].tolist()) == ([[2], [3]], [[2]])
    assert tables.get_table_dim_sizes() == [1]
    assert len(tables.merged) == 1
    with pytest.raises(UnknownNameError):
        tables.assign({"v": ([1], [[1]])})
    with pytest.raises(UnsupportedError):
        tables.reinitialize("u", [1])


def test_merged_tables_over_single_tables_and_bundles() -> None:
    class Inner:
        def __init__(self) -> None:
            self.seen: Any = None

        def lookup(self, ids: Any) -> Any:
            return {name: np.arange(len(part), dtype=np.float32)[:, None] for name, part in ids.items()}, "bundle"

        def apply_gradients(self, grads: Any, *args: Any, **kwargs: Any) -> Any:
            self.seen = (grads, args, kwargs)
            return self

    inner = Inner()
    tables = MergedMultiTypeHashTable({s: instance(message(part(1))) for s in "ab"}, lambda merged: inner)
    rows, bundle = tables.lookup({"b": [5, 6], "a": [7]})
    assert bundle == "bundle"
    assert (rows["a"].tolist(), rows["b"].tolist()) == ([[0]], [[1], [2]])
    tables.apply_gradients({"b": [[1]], "a": [[2]]}, 3, skip_merge_id=True)
    ((name, grads),) = inner.seen[0].items()
    assert name == table_name(["a", "b"])[0]
    assert grads.tolist() == [[2], [1]]
    assert inner.seen[1:] == ((3,), {"skip_merge_id": True})
    over = MergedMultiTypeHashTable({s: instance(message(part(1))) for s in "ab"}, by_slot)
    over.apply_gradients({"a": ([1], [[1]]), "b": ([1], [[1]])}, 0)
    assert over.lookup({"a": [1]})["a"].tolist() == [[-2]]


def test_adjacent_equal_segments_merge() -> None:
    same, other = part(2, AdagradOptimizer()), part(3, AdagradOptimizer(), ConstantsInitializer(1.0))
    last = part(4, SgdOptimizer())
    merged, rates, owner = merge_segments([same, same, other, same, last, last], [0.1, 0.1, 0.1, 0.1, 1, 1.0])
    assert [segment.dim_size for segment in merged] == [4, 3, 2, 4, 4]
    assert rates == [0.1, 0.1, 0.1, 1, 1.0]
    assert owner == [0, 0, 1, 2, 3, 4]
    assert same.dim_size == 2
