"""The exact sum against rational arithmetic, by both of its paths, in any split and any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monolith_kernels import reduction
from monolith_kernels.cpu import _exact

from tests.kernels.checks_segment import exact_sum
from tests.kernels.support import assert_same_bits, examples, seeds


def draw_terms(rng: np.random.Generator, kind: str, count: int) -> Any:
    """Terms [count, 6] that strain different parts of the sum."""
    shape = (count, 6)
    if kind == "any bits":
        return rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    if kind == "finite bits":
        bits = rng.integers(0, 2**32, shape, dtype=np.uint32)
        return np.where((bits & 0x7F800000) == 0x7F800000, bits & 0x807FFFFF, bits).astype(np.uint32).view(np.float32)
    if kind == "subnormal":
        return (rng.integers(0, 2**10, shape, dtype=np.uint32) | rng.integers(0, 2, shape, dtype=np.uint32) << 31).view(
            np.float32
        )
    if kind == "overflow":
        return (rng.choice([-1, 1], shape) * 3e38).astype(np.float32)
    if kind == "ties":
        values = np.array([16777216.0, 1.0, -1.0, 2.0**-30, 0.5, 33554432.0, -(2.0**-60)], np.float32)
        return values[rng.integers(0, len(values), shape)]
    half = (rng.standard_normal(shape) * 10.0 ** rng.integers(-30, 30, shape)).astype(np.float32)
    return np.concatenate([half, -half[::-1], np.full((1, 6), 1e-40, np.float32)])


KINDS = ("any bits", "finite bits", "subnormal", "overflow", "ties", "cancel")


@given(seeds, st.sampled_from(KINDS), st.integers(0, 25))
@examples
def test_both_paths_round_the_real_sum_once(seed: int, kind: str, count: int) -> None:
    rng = np.random.default_rng(seed)
    terms = draw_terms(rng, kind, count)
    want = np.array([exact_sum(column) for column in terms.T], np.float32)
    got = np.empty(6, np.float32)
    reduction.finish(reduction.exact_sum(terms), got)
    assert_same_bits(got, want)

    limbs = reduction.limbs_of(6)
    _exact.sum_rows_limbs(terms, np.arange(6), limbs)
    before = limbs.copy()
    reduction.round_limbs(limbs, got)
    assert_same_bits(got, want)
    assert np.array_equal(limbs, before)


@given(seeds, st.sampled_from(KINDS), st.integers(1, 25), st.integers(1, 5))
@examples
def test_ranks_in_any_order_give_one_sum(seed: int, kind: str, count: int, ranks: int) -> None:
    rng = np.random.default_rng(seed)
    terms = draw_terms(rng, kind, count)
    want = np.array([exact_sum(column) for column in terms.T], np.float32)
    cuts = np.sort(rng.integers(0, len(terms) + 1, ranks - 1))
    parts = [reduction.exact_sum(np.ascontiguousarray(part)) for part in np.split(terms, cuts)]
    order = rng.permutation(len(parts))
    got = np.empty(6, np.float32)
    reduction.finish(reduction.combine([parts[k] for k in order]), got)
    assert_same_bits(got, want)
    # and in two steps, as partial sums of partial sums
    middle = len(parts) // 2
    if middle:
        halves = [
            reduction.combine([parts[k] for k in order[:middle]]),
            reduction.combine([parts[k] for k in order[middle:]]),
        ]
        reduction.finish(reduction.combine(halves), got)
        assert_same_bits(got, want)


def test_the_slow_path_runs_and_is_needed() -> None:
    terms = np.array([[1e30], [1.0], [-1e30], [1e-30]], np.float32)
    partial = reduction.exact_sum(terms)
    assert partial.elements.tolist() == [0]
    assert partial.values.tolist() == [0.0]
    got = np.empty(1, np.float32)
    reduction.finish(partial, got)
    assert got[0] == np.float32(1.0)
    assert np.float32(terms.astype(np.float64).sum()) != got[0]


def test_parts_that_are_exact_alone_may_need_limbs_together() -> None:
    parts = [reduction.exact_sum(np.array([value], np.float32)) for value in (1e30, 1e-30, -1e30)]
    assert all(len(part.elements) == 0 for part in parts)
    whole = reduction.combine(parts)
    assert whole.elements.tolist() == [0]
    got = np.empty(1, np.float32)
    reduction.finish(whole, got)
    assert got[0] == np.float32(1e-30)


@pytest.mark.parametrize(
    ("terms", "bits"),
    [
        ([1e8, 1, -1e8], 0x3F800000),
        ([16777216, 1, 2.0**-30], 0x4B800001),
        ([16777216, 1], 0x4B800000),
        ([16777218, 1], 0x4B800002),
        ([-16777218, -1], 0xCB800002),
        ([16777216, 1, 1e-45], 0x4B800001),
        ([3e38, 3e38, -3e38], 0x7F61B1E6),
        ([0.1] * 10, 0x3F800000),
        ([], 0),
        ([-0.0], 0),
        ([1.5, -1.5], 0),
        ([float("inf"), 1.0], 0x7F800000),
        ([float("-inf"), 3e38], 0xFF800000),
        ([float("inf"), float("-inf")], 0x7FC00000),
        ([float("nan"), 1.0], 0x7FC00000),
        ([3e38, 3e38], 0x7F800000),
        ([-1e-45], 0x80000001),
    ],
)
def test_published_sums(terms: list[float], bits: int) -> None:
    got = np.empty(1, np.float32)
    reduction.finish(reduction.exact_sum(np.array(terms, np.float32)), got)
    assert got.view(np.uint32)[0] == bits
    # and by limbs alone
    limbs = reduction.limbs_of(1)
    _exact.sum_rows_limbs(np.array(terms, np.float32).reshape(-1, 1), np.zeros(1, np.int64), limbs)
    reduction.round_limbs(limbs, got)
    assert got.view(np.uint32)[0] == bits


def test_plain_python_agrees_with_the_compiled_accumulator() -> None:
    from monolith_kernels.superaccumulator import add_term, round_limbs_in_place

    rng = np.random.default_rng(2)
    for kind in KINDS:
        terms = draw_terms(rng, kind, 12)
        limbs, plain = reduction.limbs_of(6), reduction.limbs_of(6)
        _exact.sum_rows_limbs(terms, np.arange(6), limbs)
        for row in terms:
            for e, value in enumerate(row):
                add_term(plain, e, float(value))
        assert np.array_equal(limbs, plain)
        got = np.empty(6, np.float32)
        reduction.round_limbs(limbs, got)
        assert_same_bits(np.array([round_limbs_in_place(plain, e) for e in range(6)], np.float32), got)
