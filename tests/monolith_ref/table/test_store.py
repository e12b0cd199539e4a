"""Row stores: growth in place, reuse, poisoned padding, change tracking, export and import."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_ref.entry import (
    AdagradOptimizer,
    AdamOptimizer,
    FtrlOptimizer,
    MomentumOptimizer,
    RandomUniformInitializer,
)
from monolith_ref.errors import StateError
from monolith_ref.quirks import Quirks
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import check_table_config
from monolith_ref.table.store import RowDump, RowStore, distinct_runs

from .support import adagrad, message, part


def store(*segments: Any, quirks: str = "default", threads: int = 1) -> RowStore:
    from monolith_kernels import target

    switches = Quirks.parse(quirks)
    plan = check_table_config(message(*segments), switches)
    return RowStore(row_layout(plan, switches), target("cpu", threads=threads), quirks=switches)


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


RATES = np.array([0.1, 0.1], np.float32)


def test_growing_moves_no_row_and_rebuilds_only_the_index() -> None:
    rows = store(adagrad(3))
    first = rows.find_or_insert(np.arange(10, dtype=np.int64)).copy()
    before, capacity = address(rows._storage.rows), rows.index.capacity
    numbers = rows.find_or_insert(np.arange(50_000, dtype=np.int64))
    assert rows.index.capacity > capacity, "the index must have grown"
    assert rows._storage.capacity >= 50_000
    assert address(rows._storage.rows) == before
    assert numbers[:10].tolist() == first.tolist()
    assert numbers.tolist() == list(range(50_000))


def test_where_address_space_is_refused_rows_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    from monolith_kernels.memory import RowStorage

    monkeypatch.setattr(RowStorage, "_reserve", lambda self: None)
    rows = store(adagrad(2))
    ids = np.arange(5, dtype=np.int64)
    rows.assign(rows.find_or_insert(ids), np.arange(10, dtype=np.float32), 3)
    rows.find_or_insert(np.arange(9000, dtype=np.int64))
    assert rows._storage.moves
    assert rows.export().weights[:5].reshape(-1).tolist() == list(range(10))


def test_reused_rows_are_as_new_whatever_lay_there() -> None:
    kinds = [part(3, AdamOptimizer()), part(2, FtrlOptimizer())]
    rows, fresh = store(*kinds), store(*kinds)
    ids = np.arange(6, dtype=np.int64)
    numbers = rows.find_or_insert(ids)
    rows.optimize(numbers, np.ones(30, np.float32), RATES, 1, 9)
    assert rows.erase(ids[[1, 4, 2]]) == 3
    rows._storage.rows[:] = np.float32(np.nan)
    assert rows.free.tolist() == [1, 2, 4]
    new = np.array([70, 60, 50, 40], np.int64)
    assert rows.find_or_insert(new).tolist() == [1, 2, 4, 6]
    fresh.find_or_insert(new)
    one, other = rows.export(np.array([1, 2, 4, 6], np.int32), new), fresh.export()
    assert one.weights.tolist() == other.weights.tolist()
    for got, wanted in zip(one.state, other.state, strict=True):
        assert {k: v.tolist() for k, v in got.items()} == {k: v.tolist() for k, v in wanted.items()}


def test_poisoned_padding_never_gets_out() -> None:
    rows, clean = (
        store(part(3, MomentumOptimizer()), part(9, AdagradOptimizer())),
        store(part(3, MomentumOptimizer()), part(9, AdagradOptimizer())),
    )
    ids = np.arange(20, dtype=np.int64)
    grads = np.linspace(-1, 1, 240, dtype=np.float32)
    for kept, poison in ((rows, True), (clean, False)):
        numbers = kept.find_or_insert(ids)
        if poison:
            used = np.zeros(kept.layout.width, np.bool_)
            used[: kept.dim] = True
            for place, segment in zip(kept.layout.places, kept.layout.segments, strict=True):
                for k in range(1):
                    used[place.state + k * place.pad : place.state + k * place.pad + place.dim] = True
                assert segment.dim == place.dim
            kept._storage.rows[:20, ~used] = np.nan
        for step in range(3):
            kept.optimize(numbers, grads, RATES, step, 1)
    assert rows.export().weights.view(np.uint32).tolist() == clean.export().weights.view(np.uint32).tolist()
    out = np.empty(20 * 12, np.float32)
    rows.lookup(ids, out)
    assert np.isfinite(out).all()


def test_a_batch_that_finds_no_room_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = store(adagrad(2))
    ids = np.arange(6, dtype=np.int64)
    rows.assign(rows.find_or_insert(ids), np.arange(12, dtype=np.float32), 3)
    rows.erase(ids[2:3])
    before = rows.export()

    def full(count: int) -> None:
        raise MemoryError(f"{count} rows")

    with monkeypatch.context() as patch:
        patch.setattr(rows._storage, "ensure", full)
        with pytest.raises(MemoryError, match="7 rows"):
            rows.find_or_insert(np.array([1, 70, 71, 70], np.int64))
    after = rows.export()
    assert after.ids.tolist() == before.ids.tolist()
    assert after.weights.tobytes() == before.weights.tobytes()
    assert rows.free.tolist() == [2]
    assert rows.find_or_insert(np.array([1, 70, 71, 70], np.int64)).tolist() == [1, 2, 6, 2]


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads: int) -> None:
    alone, together = (store(part(4, AdagradOptimizer(), RandomUniformInitializer()), threads=n) for n in (1, threads))
    rng = np.random.default_rng(1)
    for step in range(2):
        ids = rng.integers(-(2**40), 2**40, 60_000)
        grads = rng.standard_normal(240_000).astype(np.float32)
        for rows in (alone, together):
            distinct = np.unique(ids)
            rows.optimize(
                rows.find_or_insert(distinct), grads[: len(distinct) * 4], RATES[:1], step, step, distinct=True
            )
    first, second = alone.export(), together.export()
    assert first.ids.tolist() == second.ids.tolist()
    assert first.weights.tobytes() == second.weights.tobytes()
    assert alone.index.rows.tobytes() == together.index.rows.tobytes()


def test_changes_are_every_operations() -> None:
    rows = store(adagrad(1))
    with pytest.raises(StateError):
        rows.changes()
    ids = np.arange(8, dtype=np.int64)
    rows.find_or_insert(ids)
    rows.track_changes()
    one = np.ones(1, np.float32)

    def numbers(fid: int) -> np.ndarray:
        return rows.find_or_insert(np.array([fid], np.int64)).copy()

    rows.assign(numbers(0), one, 1)
    rows.assign_add(numbers(1), one, 1)
    rows.optimize(numbers(2), one, RATES[:1], 0, 1)
    rows.reinitialize(np.array([3], np.int64), 1)
    rows.import_(RowDump(np.array([4]), one[None], [{"norm": one[None]}], np.ones(1, np.uint32)))
    rows.erase(np.array([5, 6], np.int64))
    rows.assign(numbers(6), one, 1)
    rows.assign(numbers(100), one, 1)
    changed, changed_rows, removed = rows.changes()
    assert sorted(changed.tolist()) == [0, 1, 2, 3, 4, 6, 100]
    assert changed_rows.tolist() == sorted(changed_rows.tolist())
    assert removed.tolist() == [5]
    rows.forget_changes()
    assert [len(part) for part in rows.changes()] == [0, 0, 0]
    rows.clear()
    assert rows.changes()[2].tolist() == sorted([0, 1, 2, 3, 4, 6, 7, 100])


def test_export_in_row_order_and_import_elsewhere() -> None:
    rows = store(part(2, AdagradOptimizer(), RandomUniformInitializer()), part(1, AdamOptimizer()))
    ids = np.array([9, -4, 7, 2**62], np.int64)
    rows.optimize(rows.find_or_insert(ids), np.ones(12, np.float32), RATES, 0, 77)
    dump = rows.export()
    assert dump.ids.tolist() == ids.tolist()
    assert dump.update_time.tolist() == [77] * 4
    other = store(part(2, AdagradOptimizer(), RandomUniformInitializer()), part(1, AdamOptimizer()))
    other.import_(dump)
    again = other.export()
    assert again.weights.tobytes() == dump.weights.tobytes()
    assert {k: v.tolist() for k, v in again.state[1].items()} == {k: v.tolist() for k, v in dump.state[1].items()}
    assert other.streams.draws == rows.streams.draws, "rows that are about to be restored draw too"
    quirk = store(part(2, AdagradOptimizer()), part(1, AdamOptimizer()), quirks="default +adam_restore_powers")
    quirk.import_(dump)
    powers = quirk.export().state[1]
    assert powers["beta1_power"].tolist() == dump.state[1]["beta2_power"].tolist()
    assert powers["beta2_power"].tolist() == [np.float32(0.99)] * 4


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(-1, 6), max_size=25))
def test_runs_hold_no_row_twice(rows: list[int]) -> None:
    runs = distinct_runs(np.array(rows, np.int32))
    assert [position for lo, hi in runs for position in range(lo, hi)] == list(range(len(rows)))
    for number, (lo, hi) in enumerate(runs):
        inside = [row for row in rows[lo:hi] if row >= 0]
        assert len(set(inside)) == len(inside)
        if number:
            assert rows[lo] in rows[runs[number - 1][0] : lo], "a run ends only where it must"


def test_memory_is_counted_by_part() -> None:
    rows = store(adagrad(16))
    rows.find_or_insert(np.arange(1000, dtype=np.int64))
    usage = rows.memory_usage()
    assert usage["rows"] == 1000 * 32 * 4
    assert usage["times"] == 4000
    assert usage["index"] == rows.index.buckets * 64
    rows.track_changes()
    assert rows.memory_usage()["marks"] == 1000


def by_dedup(rows: RowStore, ids: np.ndarray, grads: np.ndarray, time: int) -> None:
    """The same as :meth:`RowStore.optimize_sums`, the plain way."""
    distinct: dict[int, np.ndarray] = {}
    for fid, grad in zip(ids.tolist(), grads, strict=True):
        distinct[fid] = distinct[fid] + grad if fid in distinct else grad
    numbers = rows.find_or_insert(np.array(list(distinct), np.int64))
    sums = np.array(list(distinct.values()), np.float32).reshape(-1)
    rows.optimize(numbers, sums, RATES[:1], 0, time, distinct=True)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dim", [1, 5, 16, 24])
def test_sums_of_repeats_are_those_of_distinct_ids(dim: int, threads: int) -> None:
    fused, plain = store(adagrad(dim), threads=threads), store(adagrad(dim))
    rng = np.random.default_rng(dim)
    fused.track_changes()
    for step, (count, pool) in enumerate([(1, 1), (7, 2), (30_000, 40_000), (30_000, 300), (500, 10**6)]):
        ids = rng.integers(-pool, pool, count)
        grads = rng.standard_normal((count, dim)).astype(np.float32)
        grads[::5] = -0.0
        fused.optimize_sums(ids, grads.reshape(-1), RATES[:1], 0, 100 + step)
        by_dedup(plain, ids, grads, 100 + step)
        assert_equal_dumps(fused.export(), plain.export())
        if step == 2:
            fused.erase(ids[::3].copy())
            plain.erase(ids[::3].copy())
            fused.forget_changes()
    changed = fused.changes()[0]
    assert set(ids.tolist()) <= set(changed.tolist())


def test_what_was_noted_of_older_lists_is_dropped_before_positions_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from monolith_ref.table import index

    monkeypatch.setattr(index, "MAX_ROWS", 60)
    fused, plain = store(adagrad(4)), store(adagrad(4))
    rng = np.random.default_rng(3)
    for step in range(12):
        ids, grads = rng.integers(0, 10, 17), rng.standard_normal((17, 4)).astype(np.float32)
        fused.optimize_sums(ids, grads.reshape(-1), RATES[:1], 0, step)
        by_dedup(plain, ids, grads, step)
        assert_equal_dumps(fused.export(), plain.export())


def test_times_written_before_are_kept_beside_the_notes() -> None:
    rows = store(adagrad(2))
    ids = np.arange(6, dtype=np.int64)
    rows.optimize(rows.find_or_insert(ids), np.ones(12, np.float32), RATES[:1], 0, 2**32 - 1)
    rows.optimize_sums(ids[2:4], np.ones(4, np.float32), RATES[:1], 0, 2**31 + 5)
    assert rows.times(rows.find(ids)).tolist() == [2**32 - 1] * 2 + [2**31 + 5] * 2 + [2**32 - 1] * 2


def assert_equal_dumps(a: RowDump, b: RowDump) -> None:
    assert np.array_equal(a.ids, b.ids)
    assert a.weights.tobytes() == b.weights.tobytes()
    assert np.array_equal(a.update_time, b.update_time)
    for one, other in zip(a.state, b.state, strict=True):
        assert {name: array.tobytes() for name, array in one.items()} == {
            name: array.tobytes() for name, array in other.items()
        }
