"""Combiners, their gradients and gradient sums on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monolith_kernels.target import target

from tests.kernels import checks_segment as checks
from tests.kernels.support import examples, seeds, special_shares

rows = st.sampled_from([0, 1, 2, 9])
longest = st.sampled_from([0, 1, 6, 30])
dims = st.sampled_from([1, 2, 7, 8, 15, 16, 17, 33, 257])


@given(seeds, rows, longest, st.sampled_from([1, 3, 8, 15, 20]), special_shares)
@examples
def test_combiners(seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    checks.check_combiners(target("cpu"), seed, rows, longest, dim, special)


@given(seeds, rows, longest, dims, special_shares)
@examples
def test_sum_rows(seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    checks.check_sum_rows(target("cpu"), seed, rows, longest, dim, special)


@given(seeds, rows, longest, dims, st.integers(1, 4), special_shares)
@examples
def test_first_n(seed: int, rows: int, longest: int, dim: int, n: int, special: float) -> None:
    checks.check_first_n(target("cpu"), seed, rows, longest, dim, n, special)


@given(seeds, rows, longest, dims, special_shares)
@examples
def test_gradients(seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    checks.check_gradients(target("cpu"), seed, rows, longest, dim, special)


@given(seeds, rows, longest, st.sampled_from([1, 3, 8, 15, 20]), special_shares, st.booleans())
@examples
def test_gradient_sums(seed: int, rows: int, longest: int, dim: int, special: float, scaled: bool) -> None:
    checks.check_gradient_sums(target("cpu"), seed, rows, longest, dim, special, scaled)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_give_the_same_bits(threads: int) -> None:
    for check in (checks.check_combiners, checks.check_sum_rows):
        check(target("cpu", threads=threads), 5, 900, 3, 5, 0.05)


def test_minus_zero_becomes_plus_zero_when_pooled_and_stays_when_copied() -> None:
    segment = target("cpu").segment
    minus = np.full(2, -0.0, np.float32)
    nothing, zero, one = np.empty(0, np.float32), np.zeros(1, np.int32), np.array([0, 1])
    out = np.empty((1, 2), np.float32)
    segment.sum(minus, np.zeros(1, np.int64), zero, one, 2, out, 0)
    assert not np.signbit(out).any()
    total = np.empty(2, np.float32)
    segment.gradient_sums(minus.reshape(1, 2), 0, 2, one, zero, nothing, np.zeros(1, np.int64), total, 0)
    assert not np.signbit(total).any()
    for dim in (8, 15, 16):  # several slots side by side: vectors may be stored whole
        grad, places = np.full((5, dim), -0.0, np.float32), np.arange(5) * dim
        total = np.empty(5 * dim + 8, np.float32)
        segment.gradient_sums(grad, 0, dim, np.arange(6), np.arange(5, dtype=np.int32), nothing, places, total, 0)
        assert not np.signbit(total[: 5 * dim]).any()
    copied = np.empty(2, np.float32)
    segment.sum_gradient(minus.reshape(1, 2), 0, 2, one, copied, 2)
    assert np.signbit(copied).all()
