"""Which rows go where, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_ref.errors import ArgumentError
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.training.dealing import batches_of, deal, row_range
from monolith_ref.training.order import row_order


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_ranks_share_all_rows_in_order(rows: int, ranks: int) -> None:
    ranges = [row_range(rank, ranks, rows) for rank in range(ranks)]
    assert [row for low, high in ranges for row in range(low, high)] == list(range(rows))
    sizes = [high - low for low, high in ranges]
    assert max(sizes) - min(sizes) <= 1


def test_row_range_refuses_ranks_that_do_not_exist() -> None:
    assert row_range(1, 2, 455) == (227, 455)
    with pytest.raises(ArgumentError, match="rank"):
        row_range(2, 2, 10)
    with pytest.raises(ArgumentError, match="rows"):
        row_range(0, 2, -1)


def test_orders_are_those_of_the_specification() -> None:
    assert row_order(42, 0, 10).tolist() == [0, 9, 6, 3, 8, 5, 7, 1, 4, 2]
    assert row_order(42, 1, 10).tolist() == [0, 9, 5, 8, 7, 1, 6, 3, 2, 4]


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 5), st.integers(0, 60))
def test_orders_equal_the_written_rule(seed: int, epoch: int, rows: int) -> None:
    generator = np.random.Philox(key=np.array([seed, 5], np.uint64), counter=[0, epoch, 0, 0])
    words = generator.random_raw(max(rows - 1, 1)).tolist()
    p = list(range(rows))
    for i in range(rows - 1, 0, -1):
        j = words[rows - 1 - i] * (i + 1) >> 64
        p[i], p[j] = p[j], p[i]
    assert row_order(seed, epoch, rows).tolist() == p


def test_order_refuses_seeds_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="seed"):
        row_order(1 << 64, 0, 3)


class Counted:
    """Three global batches of five rows; row i of step t has id 10·t + i."""

    def global_rows(self, step: int) -> int:
        return 5 if step < 3 else 0

    def rows(self, step: int, low: int, high: int) -> Batch:
        ids = np.arange(low, high, dtype=np.int64) + 10 * step
        ragged = Ragged(ids, np.arange(len(ids) + 1, dtype=np.int64))
        return Batch({"a": ragged}, {}, len(ids), 5, low)


def test_global_batches_are_dealt() -> None:
    batch = deal(Counted(), 1, 1, 2)
    assert batch is not None
    assert (batch.ragged["a"].values.tolist(), batch.first_row, batch.global_rows) == ([12, 13, 14], 2, 5)
    assert deal(Counted(), 3, 0, 2) is None


def test_sources_are_walked_from_and_to_a_step() -> None:
    def firsts(first: int, stop: int | None) -> list[int]:
        return [int(b.ragged["a"].values[0]) for b in batches_of(Counted(), SerialCommunicator(), first, stop)]

    assert firsts(0, None) == [0, 10, 20]
    assert firsts(1, 2) == [10]
    assert firsts(2, 9) == [20]


class Ranks(SerialCommunicator):
    """Rank 1 of 2, where the other rank brings ``others`` rows, then has no more."""

    rank, size = 1, 2

    def __init__(self, others: list[int]) -> None:
        super().__init__()
        self.others = iter(others)

    def allgather(self, values: np.ndarray, what: str) -> np.ndarray:  # type: ignore[type-arg]
        return np.stack([np.array([next(self.others, -1)], np.int64), values])


def own(rows: list[int]) -> Iterator[Batch]:
    for count in rows:
        ragged = Ragged(np.arange(count, dtype=np.int64), np.arange(count + 1, dtype=np.int64))
        yield Batch({"a": ragged}, {}, count)


def test_ranks_with_their_own_data_stop_together() -> None:
    batches = list(batches_of(own([3, 2, 4, 1]), Ranks([5, 0, 7]), 0, None))
    assert [(b.rows, b.global_rows, b.first_row) for b in batches] == [(3, 8, 5), (2, 2, 0), (4, 11, 7)]
    assert [b.rows for b in batches_of(own([3, 2]), Ranks([5, 5, 5]), 1, None)] == [2]
