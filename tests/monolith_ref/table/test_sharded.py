"""Tables over shards: tables.md 10."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_ref.errors import ConfigError, ShapeError, UnknownNameError
from monolith_ref.table.sharded import (
    DistributedHashTable,
    DistributedMultiTypeHashTable,
    PartitionedHashTable,
    ragged_split_by_indices,
    unique_key_with_value_and_offset,
)

from .support import adagrad, entry_of, hexes, instance, message, multi, part, single


def test_distinct_keys_and_offsets() -> None:
    found = unique_key_with_value_and_offset([5, 6, 5, 7, 5], [0, 3, 5], [2, 1])
    assert found.unique.tolist() == [5, 6, 7, 5]
    assert found.row_splits.tolist() == [0, 2, 4]
    assert found.value_offset.tolist() == [0, 4, 2, 6, 7]
    assert found.value_offset_splits.tolist() == [0, 2, 3, 4, 5]


def test_ragged_split() -> None:
    parts, positions = ragged_split_by_indices([1, 0, 1, 1], [5, 6, 7, 5], [0, 2, 4], 2)
    assert [(values.tolist(), splits.tolist()) for values, splits in parts] == [
        ([6], [0, 1, 1]),
        ([5, 7, 5], [0, 1, 3]),
    ]
    assert [part.tolist() for part in positions] == [[1], [0, 2, 3]]
    with pytest.raises(ShapeError):
        ragged_split_by_indices([1, 0], [5, 6, 7], [0, 3], 2)


def test_an_id_gets_one_step_on_its_sum_from_plus_zero() -> None:
    table = DistributedHashTable(2, lambda shard: single(message(adagrad(1)), [0.1], name_suffix=str(shard)))
    table.apply_gradients([5, 6, 5, -1, 5], [[1], [2], [0.3], [-0.0], [1e-8]], 0, req_time=9)
    assert hexes(table.lookup([5])) == ["-0x1.8dfe88p-4"]
    assert hexes(table.lookup([-1])) == ["0x0p+0"]
    assert [shard.size() for shard in table.shards] == [1, 2]
    assert entry_of(table.shards[1], -1)[2] == 9
    plain = single(message(adagrad(1)), [0.1])
    plain.apply_gradients([5, 6, 5, -1, 5], [[1], [2], [0.3], [-0.0], [1e-8]], 0)
    assert hexes(plain.lookup([5])) == ["-0x1.f72ea6p-4"]


def test_both_kinds_agree_with_one_table() -> None:
    one = DistributedHashTable(3, lambda shard: single(message(adagrad(2)), [0.1], name_suffix=str(shard)))
    several = DistributedMultiTypeHashTable(
        3, lambda shard: multi({"t": instance(message(adagrad(2)), [0.1])}, name_suffix=str(shard))
    )
    rng = np.random.default_rng(3)
    for step in range(4):
        ids = rng.integers(-9, 9, 30)
        grads = rng.standard_normal((30, 2)).astype(np.float32)
        one.apply_gradients(ids, grads, step)
        several.apply_gradients({"t": (ids, grads)}, step)
    everything = np.arange(-10, 10)
    got = several.lookup({"t": everything})["t"]
    assert one.lookup(everything).view(np.uint32).tolist() == got.view(np.uint32).tolist()
    assert several.get_table_dim_sizes() == [2]


def test_assigns_keep_order_and_time_zero() -> None:
    tables = DistributedMultiTypeHashTable(2, lambda shard: multi({"t": instance()}, name_suffix=str(shard)))
    tables.assign({"t": ([1, 2, 1], [[1, 1], [2, 2], [3, 3]])})
    tables.assign_add({"t": ([1, 1], [[1, 1], [1, 1]])})
    assert tables.lookup({"t": [1, 2, 3]})["t"].tolist() == [[5, 5], [2, 2], [0, 0]]
    assert entry_of(tables.shards[1].tables["t"], 1)[2] == 0
    one = DistributedHashTable(2, lambda shard: single(name_suffix=str(shard)))
    one.assign([1, 1], [[1, 1], [2, 2]], req_time=8)
    one.assign_add([1], [[1, 1]], req_time=9)
    assert one.lookup([1]).tolist() == [[3, 3]]
    assert one.size() == 1


def test_statuses_by_id_or_by_shard() -> None:
    for quirks, expected in (("default", [0, 1, 1, 0]), ("default +reinit_status_shard_order", [1, 0, 0, 1])):
        tables = DistributedMultiTypeHashTable(
            2, lambda shard, q=quirks: multi({"t": instance()}, name_suffix=str(shard), quirks=q)
        )
        tables.assign({"t": ([2, 3], np.zeros((2, 2), np.float32))})
        assert tables.reinitialize("t", [1, 2, 3, 4], req_time=0)[1].tolist() == expected


def test_transfer_in_halves() -> None:
    table = DistributedHashTable(
        2, lambda shard: single(message(part(1)), name_suffix=str(shard)), transfer_float16=True
    )
    table.assign([1], [[0.1]])
    assert table.lookup([1])[0, 0] == np.float32(np.float16(0.1))
    table.assign([2], [[0.0]])
    table.apply_gradients([2, 2], [[0.1], [0.2]], 0)
    sent = np.float32(np.float16(np.float32(0.1) + np.float32(0.2)))
    assert entry_of(table.shards[0], 2)[0][0] == -sent
    tables = DistributedMultiTypeHashTable(
        1, lambda shard: multi({"t": instance(message(part(1)))}), transfer_float16=True
    )
    tables.assign({"t": ([1], [[0.1]])})
    assert tables.lookup({"t": [1]})["t"][0, 0] == np.float32(np.float16(0.1))


def test_partitioned_tables_take_the_greatest_time() -> None:
    tables = PartitionedHashTable(2, lambda shard: multi({"t": instance()}, name_suffix=str(shard)))
    tables.apply_gradients({"t": ([1], [[1, 1]])}, 0, req_time=np.array([3, 11, 7]))
    assert entry_of(tables.shards[1].tables["t"], 1)[2] == 11


def test_bad_input() -> None:
    with pytest.raises(ConfigError):
        DistributedHashTable(0, lambda shard: single())
    tables = DistributedMultiTypeHashTable(2, lambda shard: multi({"t": instance()}, name_suffix=str(shard)))
    for call in (
        lambda: tables.apply_gradients({"t": ([1], [[1, 2, 3]])}, 0),
        lambda: tables.assign({"t": ([[1]], [[1, 2]])}),
    ):
        with pytest.raises(ShapeError):
            call()
    with pytest.raises(UnknownNameError):
        tables.lookup({"x": [1]})
    assert all(shard.size() == {"t": 0} for shard in tables.shards)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-4, 4)), max_size=30), st.integers(1, 4))
def test_results_do_not_depend_on_the_number_of_shards(pairs: list[tuple[int, int]], shards: int) -> None:
    ids = [fid for fid, _ in pairs]
    grads = np.array([[value / 3] for _, value in pairs], np.float32).reshape(-1, 1)
    tables = [
        DistributedHashTable(n, lambda shard: single(message(adagrad(1)), [0.1], name_suffix=str(shard)))
        for n in (1, shards)
    ]
    for table in tables:
        table.apply_gradients(ids, grads, 0)
    everything = list(range(-20, 21))
    first, second = (table.lookup(everything).view(np.uint32).tolist() for table in tables)
    assert first == second
