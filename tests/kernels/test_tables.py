"""Calls over several tables: the same bits as the calls table by table, for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monolith_kernels import tables
from monolith_kernels.cpu import dedup, segment, shard
from numpy.typing import NDArray

from tests.kernels.support import examples, seeds

F = np.float32
threads_of = st.sampled_from([1, 2, 3])


@pytest.fixture(autouse=True)
def _small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few ids already are shares for several threads."""
    monkeypatch.setattr(tables, "_GRAIN", 4)
    monkeypatch.setattr(tables, "_ROWS_GRAIN", 1)
    monkeypatch.setattr(dedup, "_GRAIN", 4)


def _batch(rng: np.random.Generator, counts: list[int], rows: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(ids of all features, where each feature begins, row splits by feature)."""
    ends = np.cumsum([0, *counts])
    splits = np.zeros((len(counts), rows + 1), np.int64)
    for f, count in enumerate(counts):
        splits[f, 1:-1] = np.sort(rng.integers(0, count + 1, rows - 1))
        splits[f, -1] = count
    return rng.integers(0, 25, int(ends[-1])), ends, splits + ends[:-1, None]


@given(seeds, st.lists(st.sampled_from([0, 1, 30, 90]), min_size=1, max_size=6), st.integers(2, 9))
@examples
def test_distinct_ids_of_tables_that_threads_share_out(seed: int, counts: list[int], threads: int) -> None:
    values, ends, _ = _batch(np.random.default_rng(seed), counts, 2)
    for one, several in zip(
        dedup.unique_tables(values, ends), dedup.unique_tables(values, ends, None, threads), strict=True
    ):
        assert np.array_equal(one, several)


@given(
    seeds,
    st.lists(st.tuples(st.sampled_from([1, 2, 5, 8, 15]), st.integers(1, 3)), min_size=1, max_size=4),
    st.sampled_from([1, 2, 3]),
    threads_of,
)
@examples
def test_sums_and_their_gradients(seed: int, shapes: list[tuple[int, int]], ranks: int, threads: int) -> None:
    rng = np.random.default_rng(seed)
    rows, of_table = 7, [k for k, (_, features) in enumerate(shapes) for _ in range(features)]
    values, ends, splits = _batch(rng, rng.integers(0, 60, len(of_table)).tolist(), rows)
    table_splits = np.array([0, *(int(ends[of_table.index(k) + of_table.count(k)]) for k in range(len(shapes)))])
    dims = np.array([dim for dim, _ in shapes], np.int64)
    unique = dedup.unique_tables(values, table_splits)
    split = shard.split(unique.unique, unique.unique_splits, ranks)
    offsets = shard.offsets(split.order, unique.unique_splits, split.owner_table_counts, dims)
    total = int(split.owner_table_counts.sum(axis=0) @ dims)
    columns = np.cumsum([0, *dims[of_table]])
    features = [tables.Feature(f, int(dims[k]), int(columns[f])) for f, k in enumerate(of_table)]

    flat, expected, got = rng.standard_normal(total).astype(F), *np.zeros((2, rows, int(columns[-1])), F)
    for number, dim, column in features:
        segment.sum(flat, offsets, unique.inverse, splits[number], dim, expected, column)
    tables.sums(flat, offsets, unique.inverse, splits, features, got, threads)
    assert np.array_equal(expected.view(np.uint32), got.view(np.uint32))

    gradient = rng.standard_normal(expected.shape).astype(F)
    sums, together = np.full((2, total), np.nan, F)
    first_new, nothing = 0, np.empty(0, F)
    for number, dim, column in features:
        first_new = segment.gradient_sums(
            gradient, column, dim, splits[number], unique.inverse, nothing, offsets, sums, first_new
        )
    by_table = [[feature for feature, k in zip(features, of_table, strict=True) if k == n] for n in range(len(shapes))]
    tables.gradient_sums(gradient, splits, by_table, unique.inverse, unique.unique_splits, offsets, together, threads)
    assert np.array_equal(sums.view(np.uint32), together.view(np.uint32))
