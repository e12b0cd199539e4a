"""One table: every worked example of tables.md 1 to 5 and 7."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monolith_protos.hash_table_pb2 import EntryDump

from monolith_ref.entry import (
    AdagradOptimizer,
    ConstantsInitializer,
    FixedR8Compressor,
    Fp16Compressor,
    FtrlOptimizer,
    OneBitCompressor,
    RandomUniformInitializer,
    SgdOptimizer,
)
from monolith_ref.errors import StateError
from monolith_ref.learning_rate import PolynomialDecay
from monolith_ref.table.entries import extract_slot_from_entry, iterate_table_and_apply
from monolith_ref.table.eviction import EvictionPolicy
from monolith_ref.table.hash_table import HashTable
from monolith_ref.table.names import NameScope
from monolith_ref.table.small import make_test_hash_table, vocab_hash_table
from monolith_ref.table.streams import RandomStreams
from monolith_ref.table.touched import TouchedKeySet

from .support import DAY, adagrad, content, entry_of, hexes, message, part, single

IDS = [5, 6, 5, 5]
GRADS = [[1, 0.1], [2, 0.2], [0.3, -0.7], [1e-8, 3]]


@pytest.mark.parametrize("fid", [0, -1, 2**63 - 1, -(2**63)])
def test_any_int64_is_an_id(fid: int) -> None:
    table = single().assign([fid], [[1, 2]])
    assert table.lookup([fid]).tolist() == [[1, 2]]
    assert table.size() == 1


def test_lookup_of_absent_ids_changes_nothing() -> None:
    table = single(message(part(2, initializer=RandomUniformInitializer())))
    before = content(table)
    rows = table.lookup([[1, 2], [3, 1]])
    assert rows.shape == (4, 2)
    assert rows.view(np.uint32).tolist() == [[0, 0]] * 4
    assert content(table) == before


def test_lookup_preserves_bits() -> None:
    bits = np.array([[0x7FC00123, 0x00000001], [0xFFFFFFFF, 0x80000000]], np.uint32)
    table = single().assign([1, 2], bits.view(np.float32))
    assert table.lookup([1, 2]).view(np.uint32).tolist() == bits.tolist()


def test_assign_in_order_keeps_state_and_draws() -> None:
    table = single(message(part(2, AdagradOptimizer(), RandomUniformInitializer())))
    table.apply_gradients([1], [[1, 1]], 0, req_time=9)
    state = entry_of(table, 1)[1]
    table.assign([1, 1], [[7, 7], [8, 8]], req_time=3)
    num, after, time = entry_of(table, 1)
    assert num.tolist() == [8, 8]
    assert time == 3
    assert after[0]["norm"].tolist() == state[0]["norm"].tolist()
    assert table.table.streams.draws == 2
    table.assign([2], [[0, 0]])
    assert table.table.streams.draws == 4


def test_assign_add_initialises_then_adds() -> None:
    table = single(message(part(2, initializer=ConstantsInitializer(0.5))))
    table.assign_add([1, 1], [[1, 2], [1, 2]], req_time=4)
    assert table.lookup([1]).tolist() == [[2.5, 4.5]]


@pytest.mark.parametrize(
    ("dedup", "row5", "norm5"),
    [
        (False, ["-0x1.f72ea6p-4", "-0x1.2be09p-5"], ["0x1.30a3d8p+0", "0x1.333334p+3"]),
        (True, ["-0x1.8dfe88p-4", "-0x1.961712p-4"], ["0x1.ca3d6ep+0", "0x1.770a3ep+2"]),
    ],
)
def test_duplicates_plain_and_dedup(dedup: bool, row5: list[str], norm5: list[str]) -> None:
    table = single(message(adagrad()), [0.1])
    table.apply_gradients(IDS, GRADS, 0, enable_dedup=dedup)
    num, state, _ = entry_of(table, 5)
    assert hexes(num) == row5
    assert hexes(state[0]["norm"]) == norm5
    num, state, _ = entry_of(table, 6)
    assert hexes(num) == ["-0x1.9492f6p-4", "-0x1.b5e17ep-5"]
    assert hexes(state[0]["norm"]) == ["0x1.066666p+2", "0x1.1eb852p-3"]


def test_duplicates_differ_for_sgd_too_and_order_matters() -> None:
    for dedup, expected in ((False, "0x1.fffffap-1"), (True, "0x1.fffffcp-1")):
        table = single(message(part(1, initializer=ConstantsInitializer(1.0))))
        table.apply_gradients([1, 1, 1], [[3e-8]] * 3, 0, enable_dedup=dedup)
        assert hexes(table.lookup([1])) == [expected]
    for grads, wanted in (([1, 1e8, -1e8], 0.0), ([1e8, -1e8, 1], -1.0)):
        table = single(message(part(1)))
        table.apply_gradients([1] * 3, grads, 0, enable_dedup=True)
        assert table.lookup([1])[0, 0] == wanted


def test_dedup_copies_the_first_gradient() -> None:
    table = single(message(part(1, initializer=ConstantsInitializer(-0.0))))
    table.apply_gradients([1], [[0.0]], 0, enable_dedup=True)
    plain = single(message(part(1, initializer=ConstantsInitializer(-0.0))))
    plain.apply_gradients([1], [[0.0]], 0)
    assert hexes(table.lookup([1])) == hexes(plain.lookup([1])) == ["-0x0p+0"]
    table.apply_gradients([1], [[-0.0]], 0, enable_dedup=True)
    assert hexes(table.lookup([1])) == ["0x0p+0"]


def test_two_segments_worked() -> None:
    config = message(
        part(1, FtrlOptimizer(initial_accumulator_value=0.1, beta=1.0)),
        part(2, AdagradOptimizer(initial_accumulator_value=0.1), ConstantsInitializer(1.0)),
    )
    table = single(config, [0.01, 0.05])
    table.apply_gradients([42], [[0.5, 0.25, -0.25]], 0, req_time=1700000000)
    num, state, time = entry_of(table, 42)
    assert hexes(num) == ["-0x1.9bc278p-9", "0x1.f01fa2p-1", "0x1.07f03p+0"]
    assert hexes([state[0]["zero"][0], state[0]["norm"][0]]) == ["0x1p-1", "0x1.666666p-2"]
    assert hexes(state[1]["norm"]) == ["0x1.4cccccp-3"] * 2
    assert time == 1700000000
    table.assign([42], [[9, 9, 9]], req_time=5)
    num, after, time = entry_of(table, 42)
    assert (num.tolist(), time) == ([9, 9, 9], 5)
    assert hexes(after[0]["zero"]) == ["0x1p-1"]


def test_raw_weights_and_quantised_reads() -> None:
    table = single(message(part(1, compressor=FixedR8Compressor())))
    table.assign([1], [[0.3]])
    assert hexes(table.lookup([1])) == ["0x1.3p-2"]
    assert hexes(entry_of(table, 1)[0]) == ["0x1.333334p-2"]


def test_gradients_of_callers_are_never_changed() -> None:
    table = single(message(part(2, compressor=OneBitCompressor())))
    grads = np.full((1, 2), 0.5, np.float32)
    before = grads.copy()
    table.assign([1], [[0.3, -0.2]])
    table.apply_gradients([1], grads, 0)
    assert grads.tolist() == before.tolist()
    assert entry_of(table, 1)[0].tolist() != [0.3 - 0.5, -0.2 - 0.5]


def test_times_and_wrapping() -> None:
    table = single(quirks="default +wrap_timestamps")
    table.assign([1], [[0, 0]], req_time=2**32 + 5)
    table.assign([2], [[0, 0]], req_time=-1)
    assert [entry_of(table, fid)[2] for fid in (1, 2)] == [5, 4294967295]
    assert table.table.max_ts == 2**32 + 5


def test_max_ts_rises_even_without_rows() -> None:
    table = single()
    table.apply_gradients([], np.empty((0, 2), np.float32), 0, req_time=7)
    assert table.table.max_ts == 7
    table.assign([], np.empty((0, 2), np.float32), req_time=9)
    assert table.table.max_ts == 9
    table.assign_add([], np.empty((0, 2), np.float32), req_time=11)
    assert table.table.max_ts == 9
    table.reinitialize([1], req_time=20)
    assert table.table.max_ts == 9


def test_max_ts_in_int32() -> None:
    table = single(quirks="default +table_max_ts_int32")
    table.apply_gradients([1], [[0, 0]], 0, req_time=2**31)
    assert table.table.max_ts == -(2**31)
    assert table.evict() == 0
    sound = single()
    sound.apply_gradients([1], [[0, 0]], 0, req_time=2**31)
    assert sound.table.max_ts == 2**31


def test_reinitialize_draws_once_or_twice() -> None:
    def fresh(draw: int) -> Any:
        other = single(message(part(2, initializer=RandomUniformInitializer())))
        other.assign(list(range(draw + 1)), np.zeros((draw + 1, 2), np.float32))
        return other

    table = single(message(part(2, initializer=RandomUniformInitializer())))
    table.apply_gradients([1], [[0, 0]], 0)
    first = table.lookup([1]).tolist()
    _, status = table.reinitialize([1, 2, 2], req_time=50)
    assert status.tolist() == [1, 0, 1]
    assert status.dtype == np.int32
    # 1: one draw, 2: two draws, then 2 again: one.
    assert table.table.streams.draws == 2 * 5
    assert table.lookup([1]).tolist() != first
    sequence = single(message(part(2, initializer=RandomUniformInitializer())))
    sequence.apply_gradients([10, 11, 12, 13, 14], np.zeros((5, 2), np.float32), 0)
    rows = sequence.lookup([10, 11, 12, 13, 14]).tolist()
    assert table.lookup([1, 2]).tolist() == [rows[1], rows[4]]
    assert entry_of(table, 2)[2] == 50


def test_touched_keys_of_updates_and_reinitialize_only() -> None:
    touched = TouchedKeySet()
    table = single(sync_client=touched)
    table.assign([1], [[1, 1]])
    table.assign_add([2], [[1, 1]])
    assert touched.steal().tolist() == []
    table.apply_gradients([4, 3, 4], np.zeros((3, 2), np.float32), 0)
    table.reinitialize([9], req_time=0)
    assert touched.steal().tolist() == [3, 4, 9]
    assert touched.steal().tolist() == []


def test_eviction_example() -> None:
    reference = 100 * DAY

    def fid(slot: int, number: int) -> int:
        return slot << 48 | number

    config = message(part(1), days={1: 0, 2: 1}, default_days=2)
    config.slot_expire_time_config.slot_expire_times.add(slot=2, expire_time=3)
    times = {
        fid(0, 1): reference - 2 * DAY + 1,
        fid(0, 2): reference,
        fid(0, 3): reference + 50 * DAY,
        fid(1, 1): reference + 1,
        fid(2, 1): reference - 2 * DAY,
        fid(0, 4): reference - 2 * DAY,
        fid(1, 2): reference,
        fid(2, 2): reference - 3 * DAY,
        fid(0, 4) - 2**63: reference - 2 * DAY,
    }
    table = single(config)
    for key, time in times.items():
        table.assign([key], [[1]], req_time=time)
    assert table.evict(reference) == 4
    kept = table.table.store.items()[0].tolist()
    assert sorted(kept) == sorted(list(times)[:5])


def test_evict_uses_the_tables_own_time_and_rows_are_reused_lowest_first() -> None:
    table = single(message(part(1), default_days=1))
    table.assign([1, 2, 3, 4], np.ones((4, 1), np.float32), req_time=10)
    table.assign([2], [[2]], req_time=10 + DAY)
    assert table.evict() == 3
    assert table.table.store.free.tolist() == [0, 2, 3]
    assert table.lookup([1, 2, 3, 4]).tolist() == [[0], [2], [0], [0]]
    table.apply_gradients([9, 8], [[1], [1]], 0, req_time=10 + DAY)
    assert table.table.store.items()[0].tolist() == [9, 2, 8]
    assert table.table.store.items()[1].tolist() == [0, 1, 2]
    assert table.lookup([9, 8]).tolist() == [[-1], [-1]]


def test_the_eviction_policy_notes_first() -> None:
    config = message(part(1), default_days=1)
    config.enable_feature_eviction = True
    config.feature_evict_every_n_hours = 2
    table, still = single(config, name_suffix="a"), single(message(part(1), default_days=1), name_suffix="b")
    for one in (table, still):
        one.assign([1], [[1]], req_time=0)
        one.assign([2], [[1]], req_time=2 * DAY)
    policy = EvictionPolicy([table, still])
    assert policy.poll(100.0) == {}
    assert policy.poll(100.0 + 7199) == {}
    assert policy.poll(100.0 + 7200) == {"MonolithHashTable_a": 1}
    assert policy.poll(100.0 + 7201) == {}
    assert (table.size(), still.size()) == (1, 2)


def test_lookup_entry_is_the_message_without_id() -> None:
    table = single(message(adagrad()), [0.1])
    table.apply_gradients([5], [[1, 0.1]], 0, req_time=77)
    entries = table.lookup_entry([5, 9, 5])
    assert entries[1] == b""
    assert entries[0] == entries[2]
    dump = EntryDump.FromString(entries[0])
    assert not dump.HasField("id")
    assert dump.last_update_ts_sec == 77
    assert list(dump.num) == table.lookup([5])[0].tolist()
    assert len(dump.opt.dump[0].adagrad.norm) == 2


def test_save_as_tensor_and_iteration() -> None:
    table = single(message(part(1)))
    ids = [(fid << 48) | fid for fid in range(1, 11)]
    table.assign(ids, np.arange(10, dtype=np.float32)[:, None])
    batches: list[list[bytes]] = []
    iterate_table_and_apply(table, batches.append, limit=3, nshards=2)
    assert [len(batch) for batch in batches] == [3, 2, 3, 2]
    everything = [EntryDump.FromString(data) for batch in batches for data in batch]
    assert [dump.id for dump in everything] == ids
    assert extract_slot_from_entry(batches[0]).tolist() == [1, 2, 3]
    assert extract_slot_from_entry(batches[0], fid_v2=False).tolist() == [0, 0, 0]
    # A size that the limit divides gives one empty batch more; the end is repeated.
    batches.clear()
    iterate_table_and_apply(table, batches.append, limit=5, nshards=1)
    assert [len(batch) for batch in batches] == [5, 5, 0]
    assert table.save_as_tensor(0, 1, 5, 10) == (10, [])
    batches.clear()
    iterate_table_and_apply(single(), batches.append, nshards=3)
    assert batches == [[], [], []]


def test_iteration_is_a_snapshot() -> None:
    table = single(message(part(1)))
    table.assign([1, 2, 3], [[1], [2], [3]])
    offset, first = table.save_as_tensor(0, 1, 2, 0)
    table.assign([3, 4], [[30], [40]])
    _, rest = table.save_as_tensor(0, 1, 2, offset)
    assert [EntryDump.FromString(d).num[0] for d in first + rest] == [1, 2, 3]


def test_handles_share_the_table() -> None:
    old = single()
    new = old.assign([1], [[1, 1]])
    assert new is not old
    assert isinstance(new, HashTable)
    assert old.lookup([1]).tolist() == [[1, 1]]
    old.clear()
    assert new.size() == 0
    assert new.table_update().table is old.as_op()


def test_names_and_protos() -> None:
    scope = NameScope()
    table = make_test_hash_table(3, name_suffix="x", extra_restore_names=["old"], scope=scope)
    assert (table.name, table.dim_size) == ("MonolithHashTable_x", 3)
    with pytest.raises(StateError, match="shared_name MonolithHashTable_x has already been used"):
        make_test_hash_table(3, name_suffix="x", scope=scope)
    proto = table.to_proto()
    assert (proto.dim_size, proto.shared_name, proto.export_share_embedding) == (3, "MonolithHashTable_x", -1)
    again = HashTable.from_proto(proto, scope)
    assert again.table is table.table
    del table, again
    assert make_test_hash_table(2, name_suffix="x", scope=scope).dim_size == 2


def test_learning_rates_follow_the_step_and_the_profile() -> None:
    table = single(message(part(1)), [PolynomialDecay(0.0, 100, 0.05)], lr_profile="rewritten")
    table.apply_gradients([1], [[1]], 33)
    assert hexes(-table.lookup([1])) == ["0x1.0e5604p-6"]
    plain = single(message(part(1)), [PolynomialDecay(0.0, 100, 0.05)])
    plain.apply_gradients([1], [[1]], 33)
    assert hexes(-plain.lookup([1])) == ["0x1.0e5608p-6"]


def test_small_tables() -> None:
    table = make_test_hash_table(2, use_adagrad=True, learning_rate=0.1)
    table.apply_gradients(IDS, GRADS, 0)
    assert hexes(table.lookup([5])[0, :1]) == ["-0x1.f72ea6p-4"]
    assert vocab_hash_table(100, 4).dim_size == 4
    filtered = make_test_hash_table(1, enable_hash_filter=True, occurrence_threshold=2)
    for expected in (0, 0, -1):
        filtered.apply_gradients([7], [[1]], 0)
        assert filtered.lookup([7])[0, 0] == expected


def test_flush_denormals() -> None:
    tiny = np.float32(float.fromhex("0x1.5c73p-130"))
    for quirks, expected in (("default", tiny), ("default +flush_denormals", np.float32(0))):
        table = single(message(part(1, SgdOptimizer())), quirks=quirks)
        table.assign([1], [[tiny]])
        assert table.lookup([1])[0, 0] == tiny
        table.apply_gradients([1], [[0]], 0)
        assert table.lookup([1])[0, 0] == expected
    edge = np.float32(2.0**-126)
    for quirks, expected in (("default", np.float32(2.0**-127)), ("default +flush_denormals", edge)):
        table = single(message(part(1)), quirks=quirks)
        table.assign([1], [[edge]])
        table.assign_add([1], [[np.float32(-(2.0**-127))]])
        assert table.lookup([1])[0, 0] == expected
    assert np.float32(2.0**-127) * np.float32(0.5) != 0, "the switch must not outlive the call"


def test_streams_are_shared_where_they_are_passed() -> None:
    streams = RandomStreams()
    config = message(part(2, initializer=RandomUniformInitializer()))
    first, second = (single(config, streams=streams) for _ in range(2))
    first.apply_gradients([1], [[0, 0]], 0)
    second.apply_gradients([1], [[0, 0]], 0)
    own = single(config)
    own.apply_gradients([1, 2], np.zeros((2, 2), np.float32), 0)
    assert first.lookup([1]).tolist() == own.lookup([1]).tolist()
    assert second.lookup([1]).tolist() == own.lookup([2]).tolist()
    draws, rounding = streams.export_state()
    assert draws == 4
    resumed = RandomStreams()
    resumed.import_state(draws, rounding)
    third = single(config, streams=resumed)
    third.apply_gradients([1], [[0, 0]], 0)
    own.apply_gradients([3], [[0, 0]], 0)
    assert third.lookup([1]).tolist() == own.lookup([3]).tolist()


def test_fp16_in_training_changes_nothing() -> None:
    table = single(message(part(1, compressor=Fp16Compressor())))
    table.assign([1], [[0.1]])
    assert table.lookup([1])[0, 0] == np.float32(0.1)
