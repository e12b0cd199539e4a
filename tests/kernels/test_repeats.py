"""Rows that a list names more than once: where they occurred first, and the sums of their gradients."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from monolith_kernels.cpu import repeats

from tests.kernels.support import assert_same_bits, examples, floats, seeds, special_shares


@given(seeds, st.sampled_from([0, 1, 2, 40, 700]), st.sampled_from([1, 3, 50, 5000]), st.integers(1, 1000))
@examples
def test_repeats_are_listed_and_every_row_gets_the_time(seed: int, count: int, distinct: int, base: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, distinct, count).astype(np.int32)
    notes = rng.integers(-(2**31), base, (distinct, 2)).astype(np.int32)
    expected = notes.copy()
    later, firsts = np.empty((2, count), np.int32)
    listed = repeats.find_repeats(rows, notes.reshape(-1), base, -7, later, firsts)

    first: dict[int, int] = {}
    pairs = []
    for i, row in enumerate(rows.tolist()):
        if row in first:
            pairs.append((i, first[row]))
        else:
            first[row] = i
            expected[row] = -7, base + i
    assert list(zip(later[:listed].tolist(), firsts[:listed].tolist(), strict=True)) == pairs
    assert np.array_equal(notes, expected)


@given(
    seeds,
    st.sampled_from([1, 2, 40, 700]),
    st.sampled_from([1, 3, 50, 5000]),
    st.sampled_from([1, 3, 8, 15, 16, 17, 40]),
    special_shares,
)
@examples
def test_sums_begin_with_a_copy_and_leave_single_rows_alone(
    seed: int, count: int, distinct: int, dim: int, special: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, distinct, count).astype(np.int32)
    given_rows, grads = rows.copy(), floats(rng, (count, dim), special)
    later, firsts, folded = np.empty((3, count), np.int32)
    listed = repeats.find_repeats(rows, np.zeros(2 * distinct, np.int32), 1, 0, later, firsts)
    padded = -(-dim // 8) * 8
    sums = np.full((count, padded), np.float32(7.0))
    some = repeats.fold_repeats(
        rows, grads.reshape(-1), 0, dim, dim, later[:listed], firsts[:listed], folded, sums.reshape(-1), padded
    )

    expected: dict[int, np.ndarray] = {}
    order: list[int] = []  # by second occurrence
    with np.errstate(all="ignore"):
        for row, grad in zip(given_rows.tolist(), grads, strict=True):
            if row in expected and row not in order:
                order.append(row)
            expected[row] = expected[row] + grad if row in expected else grad
    assert folded[:some].tolist() == order
    for slot, row in enumerate(order):
        assert_same_bits(sums[slot, :dim], expected[row])
    single = ~np.isin(given_rows, order)
    assert np.array_equal(rows[single], given_rows[single])
    assert (rows[~single] < 0).all()
