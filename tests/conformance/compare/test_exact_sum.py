"""Exact sums against rational numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_conformance.oracle.sync_exact import ExactSum, exact_sum, exact_sum_groups

TABLE = [
    ([1e8, 1, -1e8], "3f800000"),
    ([16777216, 1, 2.0**-30], "4b800001"),
    ([16777216, 1], "4b800000"),
    ([3e38, 3e38, -3e38], "7f61b1e6"),
    ([0.1] * 10, "3f800000"),
    ([3e38, 3e38], "7f800000"),
    ([-3e38, -3e38], "ff800000"),
    ([-0.0, -0.0], "00000000"),
    ([1.5, -1.5], "00000000"),
    ([2.0**-149, 2.0**-149], "00000002"),
    ([math.inf, 1.0], "7f800000"),
    ([-math.inf, 1.0], "ff800000"),
    ([math.inf, -math.inf], "7fc00000"),
    ([math.nan, math.inf], "7fc00000"),
]


def bits(value: np.float32) -> str:
    return f"{int(np.float32(value).view(np.uint32)):08x}"


def by_all_ways(terms: np.ndarray) -> set[str]:
    """The sum as integers, as a running sum of arrays, and as a group."""
    running = ExactSum((1,))
    with np.errstate(all="ignore"):
        for term in terms:
            running.add(np.array([term], np.float32))
        one = running.result(np.array([term], np.float32) for term in terms)[0]
        group = exact_sum_groups(terms[:, None], np.zeros(1, np.int64), np.array([len(terms)]))[0, 0]
    return {bits(exact_sum(terms.tolist())), bits(one), bits(group)}


@pytest.mark.parametrize(("terms", "expected"), TABLE)
def test_table(terms: list[float], expected: str) -> None:
    assert by_all_ways(np.array(terms, np.float32)) == {expected}


def rounded(total: Fraction) -> str:
    """Nearest float32 of a rational number, ties to even, by comparing neighbours."""
    if total == 0:
        return "00000000"
    limit = Fraction(2**128 - 2**103)
    if abs(total) >= limit:
        return "7f800000" if total > 0 else "ff800000"
    guess = np.float32(float(total))
    with np.errstate(over="ignore"):
        near = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    near = [value for value in near if np.isfinite(value)]
    best = min(near, key=lambda v: (abs(Fraction(float(v)) - total), int(np.float32(v).view(np.uint32)) & 1))
    return bits(best)


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(floats, min_size=1, max_size=12))
def test_finite_sums_are_the_nearest_float(terms: list[float]) -> None:
    expected = rounded(sum((Fraction(term) for term in terms), Fraction(0)))
    array = np.array(terms, np.float32)
    if expected == "80000000":
        expected = "00000000"
    assert by_all_ways(array) == {expected}
    assert by_all_ways(array[::-1].copy()) == {expected}


def test_groups_and_running_sums_of_many_elements() -> None:
    random = np.random.default_rng(5)
    scale = np.float32(2.0) ** random.integers(-60, 60, (200, 3)).astype(np.float32)
    vectors = (random.standard_normal((200, 3)).astype(np.float32) * scale).astype(np.float32)
    counts = np.array([1, 7, 2, 90, 1, 99])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    found = exact_sum_groups(vectors, starts, counts)
    for i, (start, count) in enumerate(zip(starts, counts, strict=True)):
        for element in range(3):
            expected = exact_sum(vectors[start : start + count, element].tolist())
            assert bits(found[i, element]) == bits(expected)
