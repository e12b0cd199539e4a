"""Stores taken together: what each of them alone would do, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_kernels import tables, target
from monolith_kernels.hashing import splitmix64_of

from monolith_ref.entry import AdagradOptimizer, AdamOptimizer, FtrlOptimizer, MomentumOptimizer
from monolith_ref.errors import StateError
from monolith_ref.quirks import Quirks
from monolith_ref.table import store as stores_of
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import check_table_config
from monolith_ref.table.several import SeveralStores, Wanted
from monolith_ref.table.store import RowStore

from .support import message, part

F = np.float32
RULES = (
    lambda: AdagradOptimizer(initial_accumulator_value=0.1),
    lambda: AdagradOptimizer(initial_accumulator_value=0.25),
    AdamOptimizer,
    FtrlOptimizer,
    MomentumOptimizer,
)


@pytest.fixture(autouse=True)
def _small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_GRAIN", 4)


def make(dim: int, rule: int = 0, threads: int = 1) -> RowStore:
    plan = check_table_config(message(part(dim, RULES[rule]())), Quirks())
    return RowStore(row_layout(plan, Quirks()), target("cpu", threads=threads))


def together(stores: list[RowStore], threads: int = 1) -> SeveralStores:
    return SeveralStores(stores, target("cpu", threads=threads))


def wanted(
    rng: np.random.Generator, stores: list[RowStore], order: list[int], most: int = 80
) -> tuple[list[Wanted], int]:
    """Blocks of distinct ids for stores in this order, vectors one after the other; and the floats of all."""
    blocks, start = [], 0
    for number in order:
        ids = rng.permutation(2 * most)[: int(rng.integers(1, most))].astype(np.int64) - most
        blocks.append(Wanted(number, ids, np.empty(len(ids), np.int32), start))
        start += len(ids) * stores[number].dim
    return blocks, start


def assert_equal(one: RowStore, other: RowStore) -> None:
    a, b = one.export(), other.export()
    assert np.array_equal(a.ids, b.ids)
    assert np.array_equal(a.weights.view(np.uint32), b.weights.view(np.uint32))
    for mine, theirs in zip(a.state, b.state, strict=True):
        assert all(np.array_equal(mine[name].view(np.uint32), theirs[name].view(np.uint32)) for name in mine)
    assert np.array_equal(a.update_time, b.update_time)
    assert one.size == other.size == len(a.ids)
    assert one.next_row == other.next_row


@given(
    st.integers(0, 10_000),
    st.lists(st.tuples(st.sampled_from([1, 3, 8, 15]), st.integers(0, len(RULES) - 1)), min_size=1, max_size=5),
    st.sampled_from([1, 2, 3]),
)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_lookups_and_updates_are_those_of_each_store(seed: int, kinds: list[tuple[int, int]], threads: int) -> None:
    rng = np.random.default_rng(seed)
    mine = [make(dim, rule, threads) for dim, rule in kinds]
    theirs = [make(dim, rule) for dim, rule in kinds]
    several = together(mine, threads)
    assert all(several.can_look_up())
    assert all(several.can_update())
    for step in range(4):
        # Two sources: a store may be asked twice, and make rows in the first block that the second one lacked.
        order = [*range(len(mine)), *rng.permutation(len(mine))[: int(rng.integers(0, len(mine) + 1))].tolist()]
        blocks, total = wanted(rng, mine, order)
        out, expected = np.full((2, total), np.nan, F)
        several.look_up(blocks, out)
        for number, ids, rows, start in blocks:
            found = theirs[number].find(ids).copy()
            assert np.array_equal(rows, found)
            theirs[number].gather(found, expected, start)
        assert np.array_equal(out.view(np.uint32), expected.view(np.uint32))
        gradients = rng.standard_normal(total).astype(F)
        rates, when = [np.array([0.05 * (n + 1)], F) for n in range(len(mine))], step if step > 1 else 0
        several.update(blocks, gradients, rates, step, when)
        for number, ids, _, start in blocks:
            there = theirs[number]
            there.optimize(there.find_or_insert(ids), gradients, rates[number], step, when, start, distinct=True)
    for one, other in zip(mine, theirs, strict=True):
        assert_equal(one, other)


def test_a_crowded_region_of_an_index_is_given_room() -> None:
    candidates = np.arange(400_000, dtype=np.int64)
    crowd = candidates[splitmix64_of(candidates) >> np.uint64(58) == np.uint64(5)][:2000]
    mine, theirs = make(3), make(3)
    for rows in (mine, theirs):
        rows.find_or_insert(np.arange(1_000_000, 1_060_000, dtype=np.int64))
    buckets = mine.index.buckets
    gradients, rates = np.ones(3 * len(crowd), F), [np.array([0.5], F)]
    block = Wanted(0, crowd, np.full(len(crowd), -1, np.int32), 0)
    together([mine]).update([block], gradients, rates, 0, 0)
    theirs.optimize(theirs.find_or_insert(crowd), gradients, rates[0], 0, 0, distinct=True)
    assert mine.index.buckets == theirs.index.buckets
    assert mine.index.buckets > buckets, "the region must have been full"
    assert_equal(mine, theirs)


def test_where_row_numbers_run_out_other_tables_keep_what_they_have_made(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make(2), make(2)
    ids = np.arange(2000, dtype=np.int64)
    second.find_or_insert(ids[:1500])
    blocks = [Wanted(n, ids, np.full(len(ids), -1, np.int32), 4000 * n) for n in range(2)]
    together([first, second]).look_up(blocks, np.empty(8000, F))
    monkeypatch.setattr(stores_of, "MAX_ROWS", 1999)
    # The first one has the room it needs by then, the second one does not.
    first._ensure(4000)
    first.index = target("cpu").lookup.make_index(4000)
    with pytest.raises(StateError, match="1500 are numbered, 500 more asked"):
        together([first, second]).update(blocks, np.ones(8000, F), [np.array([0.5], F)] * 2, 0, 0)
    assert first.size == first.next_row == 2000
    assert second.size == second.next_row == 1500
    assert first.find_or_insert(ids).tolist() == list(range(2000))


def test_what_needs_more_than_its_rows_is_left_to_itself() -> None:
    replaced, marked, reused, plain = make(2), make(2), make(2), make(2)
    optimize = replaced.optimize
    replaced.optimize = lambda *given, **named: optimize(*given, **named)  # type: ignore[method-assign]
    marked.track_changes()
    reused.find_or_insert(np.arange(4, dtype=np.int64))
    reused.erase(np.array([2], np.int64))

    class Other(RowStore):
        def find(self, ids: Any, out: Any = None) -> Any:
            return super().find(ids, out)

    other = Other(plain.layout, plain.target)
    several = together([replaced, marked, reused, plain, other])
    assert several.can_update() == [False, False, False, True, True]
    assert several.can_look_up() == [True, True, True, True, False]
