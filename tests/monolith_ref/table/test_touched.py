"""Touched keys and their overflow: tables.md 11."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_ref.errors import ArgumentError
from monolith_ref.table.touched import TouchedKeySet


def test_worked_example() -> None:
    keys = TouchedKeySet(100)
    assert keys.steal().tolist() == []
    assert keys.insert(np.arange(101)).tolist() == [0]
    assert len(keys) == 101
    assert keys.insert([500, 501]).tolist() == [101]
    assert keys.steal().tolist() == [500, 501]
    assert keys.insert([-1]).dtype == np.int64
    assert keys.steal().tolist() == [-1]


def test_tables_count_together() -> None:
    keys = TouchedKeySet(3)
    keys.insert([1, 2], "a")
    keys.insert([1, 2], "b")
    assert len(keys) == 4
    assert keys.insert([1], "a").tolist() == [4]
    assert {name: ids.tolist() for name, ids in keys.steal_by_table().items()} == {"a": [1]}
    with pytest.raises(ArgumentError):
        TouchedKeySet(-1)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 12), max_size=12), max_size=8), st.integers(0, 6))
def test_against_a_set(batches: list[list[int]], capacity: int) -> None:
    keys, model = TouchedKeySet(capacity), set[int]()
    overflowed = 0
    for batch in batches:
        dropped = 0
        for fid in batch:
            if len(model) > capacity:
                dropped += len(model)
                model.clear()
            model.add(fid)
        assert keys.insert(batch).tolist() == [dropped]
        overflowed += dropped
        assert len(keys) == len(model)
    assert keys.steal().tolist() == sorted(model)
