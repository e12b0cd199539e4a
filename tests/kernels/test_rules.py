"""Every rule against the naive oracle, bit for bit, on the CPU."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_conformance.oracle.rules.floats import fma as oracle_fma
from monolith_kernels import random, rules
from monolith_kernels.cpu import optimize
from monolith_kernels.layout import RowLayout, Segment
from monolith_kernels.prim import fma

from tests.kernels.checks_rules import DIMS, SPECIALS, check_codec, check_entry, check_rule, numbers

PRESETS = ("default", "clean", "original")
EXAMPLES = settings(max_examples=6, derandomize=True, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@pytest.mark.parametrize("rule", sorted(rules.ALL))
@EXAMPLES
@given(seed=seeds, dim=st.sampled_from(DIMS), count=st.integers(0, 3), preset=st.sampled_from(PRESETS))
def test_rule(rule: str, profile: str, seed: int, dim: int, count: int, preset: str) -> None:
    check_rule("cpu", profile, rule, seed, dim, count, preset)


@pytest.mark.parametrize("profile", ["ieee", "avx"])
@settings(max_examples=10, derandomize=True, deadline=None)
@given(seed=seeds, count=st.integers(0, 4), preset=st.sampled_from(PRESETS))
def test_entry(profile: str, seed: int, count: int, preset: str) -> None:
    check_entry("cpu", profile, seed, count, preset)


@EXAMPLES
@given(seed=seeds, count=st.integers(1, 3), preset=st.sampled_from(PRESETS))
def test_codec(seed: int, count: int, preset: str) -> None:
    check_codec("cpu", seed, count, preset)


@numba.njit(error_model="numpy")
def _hardware_fma(a, b, c, out):  # type: ignore[no-untyped-def]
    for i in range(len(a)):
        out[i] = fma(a[i], b[i], c[i])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fma_is_the_same_everywhere(dtype: type) -> None:
    rng = np.random.default_rng(3)
    pool = np.concatenate([SPECIALS, numbers(rng, (30,), 0.0)]).astype(dtype)
    a, b, c = (rng.choice(pool, 2000) for _ in range(3))
    with np.errstate(all="ignore"):
        c[:700] = -(a * b)[:700]
        compiled = np.empty_like(a)
        _hardware_fma(a, b, c, compiled)
        plain = np.array([fma(x, y, z) for x, y, z in zip(a, b, c, strict=True)])
        exact = oracle_fma(a, b, c)
    bits = f"u{a.itemsize}"
    for other in (plain, exact):
        assert other.dtype == a.dtype
        unequal = (other.view(bits) != compiled.view(bits)) & ~(np.isnan(other) & np.isnan(compiled))
        assert not unequal.any(), (a[unequal][0], b[unequal][0], c[unequal][0])


def test_threads_and_padding_never_change_a_bit() -> None:
    rng = np.random.default_rng(5)
    layout = RowLayout.of([Segment(15, rules.make("adam"))])
    start = numbers(rng, (20_000, layout.width), 0.0)
    order = rng.permutation(20_000).astype(np.int32)
    gradients = numbers(rng, (20_000, 16), 0.01)
    results = []
    for threads, flat, stride in ((1, gradients, 16), (2, gradients, 16), (1, gradients[:, :15].copy(), 15)):
        rows = start.copy()
        optimize.update("ieee", layout, rows, order, flat, stride, np.array([0.1], np.float32), threads=threads)
        results.append(layout.weights_of(rows).view(np.uint32))
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_skipped_rows_stay_and_draw_nothing() -> None:
    layout = RowLayout.of([Segment(3, rules.make("sgd"), stochastic_rounding=True)])
    rows = np.full((4, layout.width), 0.1, np.float32)
    generator, alone = random.rounding_generator(False), random.rounding_generator(False)
    rates = np.array([0.1], np.float32)
    optimize.update("ieee", layout, rows, np.array([-1, 2, -1]), np.ones(9, np.float32), 3, rates, generator=generator)
    random.rounding_draws(alone, 3)
    assert np.array_equal(generator, alone)
    assert (rows[[0, 1, 3]] == np.float32(0.1)).all()


def test_the_largest_draw_is_below_one() -> None:
    stream = random.mt19937()
    assert np.float32(0xFFFFFFFF) * np.float32(2.0**-32) == 1
    stream[:624] = 0
    stream[0], stream[624] = 0x7FFFFFFF, 0
    assert random.uniforms(random.mt19937(), 700).max() < 1
