"""Fixed-order dense layers and losses on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monolith_kernels.target import target

from tests.kernels import checks_dense as checks
from tests.kernels.support import examples, seeds, special_shares

batches = st.sampled_from([0, 1, 2, 3, 4, 7, 40])
widths = st.sampled_from([1, 2, 3, 4, 5, 15, 16, 17, 33, 64])


@given(seeds, batches, widths, widths, special_shares)
@examples
def test_layers(seed: int, batch: int, inner: int, outer: int, special: float) -> None:
    checks.check_layers(target("cpu"), seed, batch, inner, outer, special)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_give_the_same_bits(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from monolith_kernels.cpu import dense

    monkeypatch.setattr(dense, "_THREADED_FROM", 1)
    checks.check_layers(target("cpu", threads=threads), 3, 37, 29, 18, 0.05)
    checks.check_exact_gradients(target("cpu", threads=threads), 3, 9, 7, 5, 0.0)


@given(seeds, st.sampled_from([0, 1, 2, 12]), st.integers(1, 5), st.integers(1, 5), special_shares)
@examples
def test_exact_gradients(seed: int, batch: int, inner: int, outer: int, special: float) -> None:
    checks.check_exact_gradients(target("cpu"), seed, batch, inner, outer, special)


def test_exact_gradients_take_the_slow_path_where_float64_does_not_hold_the_sum() -> None:
    assert checks.check_exact_gradients(target("cpu"), 1, 12, 5, 5, 0.3) > 10


@given(seeds, st.sampled_from([0, 1, 3, 100]), special_shares)
@examples
def test_elementwise(seed: int, count: int, special: float) -> None:
    checks.check_elementwise(target("cpu"), seed, count, special)


@given(seeds, st.integers(1, 5), st.sampled_from([0, 1, 40]), special_shares)
@examples
def test_rank_sum(seed: int, ranks: int, count: int, special: float) -> None:
    checks.check_rank_sum(target("cpu"), seed, ranks, count, special)


@given(seeds, st.sampled_from([0, 1, 2, 20]), special_shares)
@examples
def test_losses(seed: int, count: int, special: float) -> None:
    checks.check_losses(target("cpu"), seed, count, special)


def test_transpose_fills_what_the_source_lacks() -> None:
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = np.full((2, 4), 7, np.float32)
    target("cpu").dense.transpose(w, out)
    assert out.tolist() == [[0, 3, 0, 0], [1, 4, 0, 0]]


@given(seeds, st.sampled_from([0, 1, 2, 40]))
@examples
def test_logistic(seed: int, count: int) -> None:
    checks.check_logistic(target("cpu"), seed, count)


def test_logistic_extremes() -> None:
    checks.check_logistic_extremes(target("cpu"))
