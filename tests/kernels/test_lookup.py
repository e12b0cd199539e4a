"""The index and row access on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monolith_kernels.cpu import lookup
from monolith_kernels.target import target

from tests.kernels import checks_lookup as checks
from tests.kernels.support import examples, seeds, special_shares

NOTHING = np.empty(0, np.int32)


@given(seeds, st.integers(1, 4), st.sampled_from([0, 1, 7, 300]))
@examples
def test_index_against_dict(seed: int, rounds: int, batch: int) -> None:
    checks.check_index_against_dict(target("cpu"), seed, rounds, batch)


@given(seeds, st.sampled_from([0, 1, 50]), st.integers(1, 257), special_shares)
@examples
def test_gather(seed: int, count: int, dim: int, special: float) -> None:
    checks.check_gather(target("cpu"), seed, count, dim, special)


@given(seeds, st.sampled_from([0, 1, 50, 9000]), st.integers(1, 40))
@examples
def test_find_gather(seed: int, count: int, dim: int) -> None:
    checks.check_find_gather(target("cpu"), seed, count, dim)


@given(seeds, st.sampled_from([0, 1, 40]), st.integers(1, 70), special_shares)
@examples
def test_assign(seed: int, count: int, dim: int, special: float) -> None:
    checks.check_assign(target("cpu"), seed, count, dim, special)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_leave_the_same_bytes(threads: int) -> None:
    rng = np.random.default_rng(5)
    states: list[Any] = []
    for count in (1, threads):
        index, next_row, out = lookup.make_index(), 0, []
        draws = np.random.default_rng(7)
        for _ in range(3):
            batch = draws.integers(-(2**40), 2**40, 60_000)
            batch[draws.integers(0, 60_000, 20_000)] = batch[:20_000]
            rows, new = np.empty(60_000, np.int32), np.empty(60_000, np.int32)
            next_row += lookup.insert(index, batch, rows, new, next_row, NOTHING, count)
            out.append(rows)
        used = index.rows >= 0
        states.append((index.rows, np.where(used, index.keys, 0), index.counts, np.concatenate(out)))
        found = np.empty(60_000, np.int32)
        table = rng.standard_normal((next_row, 8)).astype(np.float32)
        gathered = np.empty(60_000 * 8, np.float32)
        assert lookup.find_gather(index, batch, found, table, 0, 8, gathered, 0, 8, count) == 60_000
        assert np.array_equal(found, rows)
        assert np.array_equal(gathered.reshape(-1, 8), table[found])
    for one, several in zip(*states, strict=True):
        assert np.array_equal(one, several)


def test_a_full_region_makes_the_index_grow() -> None:
    """Ids chosen to share their top hash bits fill one region of 64 long before the index is full."""
    index = lookup.make_index(40_000)
    assert len(index.counts) == 64
    candidates = np.arange(400_000)
    from monolith_kernels.hashing import splitmix64_of

    crowd = candidates[splitmix64_of(candidates) >> np.uint64(58) == np.uint64(5)][:3000]
    before = index.capacity
    rows, new = np.empty(len(crowd), np.int32), np.empty(len(crowd), np.int32)
    assert lookup.insert(index, crowd, rows, new, 0, NOTHING) == len(crowd)
    assert index.capacity > before
    assert rows.tolist() == list(range(len(crowd)))
    found = np.empty(len(crowd), np.int32)
    assert lookup.find(index, crowd, found) == len(crowd)
    assert np.array_equal(found, rows)


def test_free_rows_come_first_in_their_order() -> None:
    index = lookup.make_index()
    rows, new = np.empty(4, np.int32), np.empty(4, np.int32)
    assert lookup.insert(index, np.array([9, 8, 9, 7]), rows, new, 5, np.array([1, 3], np.int32)) == 3
    assert rows.tolist() == [1, 3, 1, 5]
    assert new[:3].tolist() == [0, 1, 3]


def test_erase_keeps_probe_runs_whole() -> None:
    rng = np.random.default_rng(11)
    index = lookup.make_index()
    keys = rng.permutation(30_000)
    rows, new = np.empty(30_000, np.int32), np.empty(30_000, np.int32)
    lookup.insert(index, keys, rows, new, 0, NOTHING)
    gone, erased = keys[:20_000].copy(), np.empty(20_000, np.int32)
    assert lookup.erase(index, gone, erased) == 20_000
    assert np.array_equal(erased, rows[:20_000])
    assert lookup.erase(index, gone, erased) == 0
    assert (erased == -1).all()
    found = np.empty(30_000, np.int32)
    assert lookup.find(index, keys, found) == 10_000
    assert np.array_equal(found[20_000:], rows[20_000:])


def test_ids_come_back_over_full_buckets_as_others_go() -> None:
    """Ids of two neighbouring buckets, more than they hold, erased in every order of three: the rest stay findable."""
    from monolith_kernels.hashing import splitmix64_of

    candidates = np.arange(4000)
    home = splitmix64_of(candidates) >> np.uint64(60)  # of 16 buckets
    crowd = np.concatenate([candidates[home == 15][:6], candidates[home == 0][:7], candidates[home == 1][:2]])
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(crowd)
        index = lookup.make_index()
        rows, new = np.empty(len(order), np.int32), np.empty(len(order), np.int32)
        assert lookup.insert(index, order, rows, new, 0, NOTHING) == len(order)
        assert index.buckets == 16
        for gone in range(len(order)):
            erased, found = np.empty(1, np.int32), np.empty(len(order), np.int32)
            assert lookup.erase(index, order[gone : gone + 1], erased) == 1
            assert erased[0] == gone
            assert lookup.find(index, order, found) == len(order) - 1 - gone
            assert found.tolist() == [-1] * (gone + 1) + list(range(gone + 1, len(order)))
        assert (index.rows == -1).all()
        assert not index.counts.any()


def test_crowded_buckets_keep_all_ids_as_some_come_and_others_go() -> None:
    """Ids of a few neighbouring buckets out of 16, so that whole pairs overflow, against a dictionary."""
    from monolith_kernels.hashing import splitmix64_of

    candidates = np.arange(20_000)
    home = (splitmix64_of(candidates) >> np.uint64(60)).astype(np.int64)
    rng = np.random.default_rng(5)
    displaced = 0
    for _ in range(150):
        crowd = (rng.integers(0, 16) + np.arange(rng.integers(1, 5))) % 16
        pool = rng.permutation(np.concatenate([candidates[home == h][: rng.integers(3, 14)] for h in crowd]))
        index, one = lookup.make_index(), np.empty(1, np.int32)
        expected: dict[int, int] = {}
        for turn in range(120):
            key = rng.choice(pool)
            if int(key) in expected:
                assert lookup.erase(index, np.array([key]), one) == 1
                assert one[0] == expected.pop(int(key))
            else:
                lookup.insert(index, np.array([key]), one, np.empty(1, np.int32), turn, NOTHING)
                expected[int(key)] = turn
            found = np.empty(len(pool), np.int32)
            assert lookup.find(index, pool, found) == len(expected)
            assert found.tolist() == [expected.get(int(fid), -1) for fid in pool]
        assert index.buckets == 16
        there = index.rows != -1
        displaced += int((home[index.keys[there]] != np.nonzero(there)[0]).sum())
    assert displaced > 100, "the crowds must overflow their buckets"


@pytest.mark.parametrize("threads", [1, 2])
def test_ids_that_were_looked_up_are_not_searched_again(threads: int) -> None:
    """Two batches are looked up before either is inserted, as two ranks' ids are: what the first brought is found."""
    rng = np.random.default_rng(11)
    first, second = rng.integers(0, 30_000, 20_000), rng.integers(0, 30_000, 20_000)
    index, twin = lookup.make_index(), lookup.make_index()
    new = np.empty(20_000, np.int32)
    looked_up = [np.empty(20_000, np.int32), np.empty(20_000, np.int32)]
    for batch, rows in zip((first, second), looked_up, strict=True):
        lookup.find(index, batch, rows)
    next_row = expected_next = 0
    for batch, rows in zip((first, second), looked_up, strict=True):
        expected, expected_new = np.empty(20_000, np.int32), np.empty(20_000, np.int32)
        count = lookup.insert(twin, batch, expected, expected_new, expected_next, NOTHING, threads)
        expected_next += count
        assert lookup.insert(index, batch, rows, new, next_row, NOTHING, threads, looked_up=True) == count
        next_row += count
        assert np.array_equal(rows, expected)
        assert np.array_equal(new[:count], expected_new[:count])
    (ids, numbers), (twin_ids, twin_numbers) = lookup.items(index), lookup.items(twin)
    assert np.array_equal(ids, twin_ids)
    assert np.array_equal(numbers, twin_numbers)
    assert lookup.insert(index, second, looked_up[1], new, next_row, NOTHING, looked_up=True) == 0
