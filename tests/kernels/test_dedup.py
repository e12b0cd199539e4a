"""Distinct ids, and their owners, on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monolith_kernels.cpu import _dedup, dedup, shard
from monolith_kernels.target import target

from tests.kernels import checks_dedup as checks
from tests.kernels.support import examples, seeds

SCRATCH = dedup.Scratch()


@given(seeds, st.sampled_from([0, 1, 5, 400]), st.integers(1, 5), st.sampled_from([1, 3, 50, 1000]), st.booleans())
@examples
def test_unique(seed: int, count: int, tables: int, distinct: int, reuse: bool) -> None:
    checks.check_unique(target("cpu"), seed, count, tables, distinct, SCRATCH if reuse else None)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_give_the_same_numbers(threads: int) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(-150_000, 150_000, 250_000)
    splits = np.array([0, 10, 230_000, 250_000])
    for one, several in zip(
        dedup.unique_tables(values, splits), dedup.unique_tables(values, splits, None, threads), strict=True
    ):
        assert np.array_equal(one, several)


def test_colliding_ids_fall_back_to_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from monolith_kernels.hashing import splitmix64_of

    candidates = np.arange(400_000)
    crowd = candidates[splitmix64_of(candidates) >> np.uint64(58) == np.uint64(5)][:5000]
    monkeypatch.setattr(dedup, "_THREADED_FROM", 1)
    table = np.empty(_dedup.table_size(len(crowd)), np.int32)
    firsts, mine = np.empty(len(crowd), np.int32), np.empty(len(crowd), np.int32)
    assert not _dedup.firsts_of_regions(crowd, table, firsts, 0, _dedup.REGIONS, mine)
    got = dedup.unique_tables(crowd, np.array([0, len(crowd)]), None, 2)
    assert np.array_equal(got.unique, crowd)


@given(seeds, st.sampled_from([0, 1, 60]), st.integers(1, 4), st.sampled_from([1, 2, 3, 4, 5, 8, 37]), st.booleans())
@examples
def test_split(seed: int, count: int, tables: int, ranks: int, empty_rank0: bool) -> None:
    checks.check_split(target("cpu"), seed, count, tables, ranks, empty_rank0)


def test_split_over_thousands_of_ranks() -> None:
    checks.check_split(target("cpu"), 3, 500, 3, 2500, True)


@given(seeds, st.integers(1, 5), st.integers(1, 4), st.sampled_from([0, 1, 9]))
@examples
def test_merge(seed: int, sources: int, tables: int, largest: int) -> None:
    checks.check_merge(target("cpu"), seed, sources, tables, largest)


@given(seeds, st.sampled_from([0, 1, 30]), st.integers(1, 40))
@examples
def test_move(seed: int, count: int, width: int) -> None:
    checks.check_move(target("cpu"), seed, count, width)


@pytest.mark.parametrize(
    ("ranks", "empty_rank0", "ids", "owner_counts", "cells", "offsets"),
    [
        (3, False, [9, 12, 10, 4, 7, 4, 5], [2, 4, 1], [1, 1, 3, 1, 0, 1], [3, 5, 3, 0, 7, 2, 10, 9]),
        (
            5,
            False,
            [10, 5, 7, 12, 4, 9, 4],
            [2, 0, 2, 0, 3],
            [1, 1, 0, 0, 1, 1, 0, 0, 2, 1],
            [0, 6, 0, 8, 3, 5, 2, 10],
        ),
        (
            5,
            True,
            [4, 12, 4, 9, 5, 10, 7],
            [0, 3, 2, 1, 1],
            [0, 0, 1, 2, 1, 1, 1, 0, 1, 0],
            [7, 0, 7, 4, 9, 2, 6, 3],
        ),
    ],
)
def test_published_orders(
    ranks: int, empty_rank0: bool, ids: list[int], owner_counts: list[int], cells: list[int], offsets: list[int]
) -> None:
    unique = dedup.unique_tables(np.array([10, 4, 10, 9, 7, 12, 5, 4]), np.array([0, 5, 8]))
    got = shard.split(unique.unique, unique.unique_splits, ranks, empty_rank0)
    assert got.ids.tolist() == ids
    assert got.owner_counts.tolist() == owner_counts
    assert got.owner_table_counts.reshape(-1).tolist() == cells
    places = shard.offsets(got.order, unique.unique_splits, got.owner_table_counts, [2, 1])
    assert places[unique.inverse].tolist() == offsets
