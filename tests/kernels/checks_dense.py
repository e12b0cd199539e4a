"""What fixed-order dense layers and losses must do, on any target."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_conformance.oracle import losses
from monolith_kernels import reduction
from monolith_kernels.target import Target

from tests.kernels.checks_segment import exact_sum
from tests.kernels.support import assert_same_bits, floats

ZERO = np.float32(0)


def ordered_product(x: Any, w: Any) -> Any:
    """x @ w, every sum from +0.0 over the inner index ascending."""
    out = np.zeros((len(x), w.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        for k in range(len(w)):
            out = out + x[:, k : k + 1] * w[k]
    return out


def check_layers(t: Target, seed: int, batch: int, inner: int, outer: int, special: float) -> None:
    rng = np.random.default_rng(seed)
    to, host = t.asarray, t.to_host
    x = floats(rng, (batch, inner + 2), special)
    w, b = floats(rng, (inner, outer), special), floats(rng, outer, special)
    g = floats(rng, (batch, outer), special)
    z = ordered_product(x, w)
    out = t.empty((batch, outer), np.float32)
    t.dense.matmul(to(x), to(w), out, t.threads)
    assert_same_bits(host(out), z)
    with np.errstate(all="ignore"):
        biased = z + b
    t.dense.affine(to(x), to(w), to(b), out, False, t.threads)
    assert_same_bits(host(out), biased)
    t.dense.affine(to(x), to(w), to(b), out, True, t.threads)
    assert_same_bits(host(out), np.where(biased < 0, ZERO, biased))

    dx = t.empty((batch, inner + 1), np.float32)
    scratch = t.empty((outer, inner + 1), np.float32)
    t.dense.input_gradient(to(g), to(w), dx, scratch, t.threads)
    assert_same_bits(np.ascontiguousarray(host(dx)[:, :inner]), ordered_product(g, np.ascontiguousarray(w.T)))
    if np.isfinite(g).all():
        assert (host(dx)[:, inner:] == 0).all()

    dw, db = t.empty((inner, outer), np.float32), t.empty(outer, np.float32)
    t.dense.weight_gradient(to(x), to(g), dw, t.threads)
    t.dense.bias_gradient(to(g), db)
    assert_same_bits(host(dw), ordered_product(np.ascontiguousarray(x.T[:inner]), g))
    total = np.zeros(outer, np.float32)
    with np.errstate(all="ignore"):
        for row in g:
            total = total + row
    assert_same_bits(host(db), total)


def check_exact_gradients(t: Target, seed: int, batch: int, inner: int, outer: int, special: float) -> int:
    """Returns how many elements needed the slow path."""
    rng = np.random.default_rng(seed)
    to, host = t.asarray, t.to_host
    x, g = floats(rng, (batch, inner), special), floats(rng, (batch, outer), special)
    out, error = t.empty((inner, outer), np.float64), t.empty((inner, outer), np.float64)
    t.dense.weight_gradient_exact(to(x), to(g), out, error, t.threads)
    elements = reduction.inexact(host(error))
    limbs = to(reduction.limbs_of(len(elements)))
    t.dense.weight_gradient_limbs(to(x), to(g), to(elements), limbs)
    got = np.empty(inner * outer, np.float32)
    reduction.finish(reduction.settle(host(out).copy(), elements, host(limbs)), got)
    with np.errstate(all="ignore"):
        terms = x[:, :, None] * g[:, None, :]
    want = np.array([exact_sum(column) for column in terms.reshape(batch, inner * outer).T], np.float32)
    assert_same_bits(got, want)
    slow = len(elements)

    out, error = t.empty(outer, np.float64), t.empty(outer, np.float64)
    t.dense.bias_gradient_exact(to(g), out, error)
    elements = reduction.inexact(host(error))
    limbs = to(reduction.limbs_of(len(elements)))
    t.dense.bias_gradient_limbs(to(g), to(elements), limbs)
    got = np.empty(outer, np.float32)
    reduction.finish(reduction.settle(host(out).copy(), elements, host(limbs)), got)
    assert_same_bits(got, np.array([exact_sum(column) for column in g.T], np.float32))
    return slow + len(elements)


def check_elementwise(t: Target, seed: int, count: int, special: float) -> None:
    rng = np.random.default_rng(seed)
    to, host = t.asarray, t.to_host
    a, b = floats(rng, count, special), floats(rng, count, special)
    factor, limit = np.float32(0.3), np.float32(1.5)

    def of(driver: Any, *arguments: Any) -> Any:
        out = t.empty(count, np.float32)
        driver(*arguments, out)
        return host(out)

    with np.errstate(all="ignore"):
        assert_same_bits(of(t.dense.relu, to(a)), np.where(a < 0, ZERO, a))
        assert_same_bits(of(t.dense.relu_gradient, to(a), to(b)), np.where(b > 0, a, ZERO))
        assert_same_bits(of(t.dense.scale, to(a), 0.3), a * factor)
        assert_same_bits(of(t.dense.clip_value, to(a), 1.5), np.clip(a, -limit, limit))
        assert_same_bits(of(t.dense.add, to(a), to(b)), a + b)
        assert_same_bits(of(t.dense.add_scaled, to(a), 0.3, to(b)), a + factor * b)
        squares = np.float64(0)
        for value in a.astype(np.float64):
            squares += value * value
        assert_same_bits(np.float64(t.dense.sum_squares(to(a))), squares)
    in_place = to(a.copy())
    t.dense.relu(in_place, in_place)
    assert_same_bits(host(in_place), np.where(a < 0, ZERO, a))


def check_rank_sum(t: Target, seed: int, ranks: int, count: int, special: float) -> None:
    rng = np.random.default_rng(seed)
    parts = floats(rng, (ranks, count), special)
    want = np.zeros(count, np.float32)
    with np.errstate(all="ignore"):
        for part in parts:
            want = want + part
        for divisor in (0, ranks):
            out = t.empty(count, np.float32)
            t.dense.rank_sum(t.asarray(parts), float(divisor), out)
            assert_same_bits(t.to_host(out), want / np.float32(divisor) if divisor else want)


def check_losses(t: Target, seed: int, count: int, special: float) -> None:
    rng = np.random.default_rng(seed)
    to, host = t.asarray, t.to_host
    p, y = floats(rng, count, special), floats(rng, count, special)
    divisor = np.float32(max(count, 1))
    d, terms = t.empty(count, np.float32), t.empty(count, np.float32)
    with np.errstate(all="ignore"):
        difference = p - y
        want_d, want_terms = (difference * np.float32(2)) / divisor, difference * difference
        total = ZERO
        for term in want_terms:
            total = total + term
        loss = t.dense.squared_error(to(p), to(y), float(divisor), d)
        assert_same_bits(np.float32(loss), np.float32(total))
        assert_same_bits(host(d), want_d)
        t.dense.squared_error_terms(to(p), to(y), float(divisor), d, terms)
        assert_same_bits(host(d), want_d)
        assert_same_bits(host(terms), want_terms)

        each = (np.float32(1) / divisor) / divisor
        broadcast, want_d = ZERO, np.zeros(count, np.float32)
        for i in range(count):
            row, gradient = ZERO, ZERO
            for j in range(count):
                difference = y[j] - p[i]
                row = row + difference * difference
                gradient = gradient + (np.float32(2) * each) * difference
            want_d[i] = -gradient
            broadcast = broadcast + row / divisor
        if count:
            loss = t.dense.squared_error_broadcast(to(p), to(y), d)
            assert_same_bits(np.float32(loss), np.float32(broadcast / divisor))
            assert_same_bits(host(d), want_d)


def check_logistic(t: Target, seed: int, count: int) -> None:
    """Against decimals of sixty digits; special values by hand."""
    rng = np.random.default_rng(seed)
    spread = rng.choice([1e-20, 1e-3, 1.0, 5.0, 40.0, 120.0], count)
    z = (rng.normal(size=count) * spread).astype(np.float32)
    y = rng.choice([0.0, 1.0, 0.25], count).astype(np.float32)
    divisor = np.float32(455)
    d, terms, s = (t.empty(count, np.float32) for _ in range(3))
    t.dense.logistic_loss_terms(t.asarray(z), t.asarray(y), float(divisor), d, terms)
    t.dense.sigmoid(t.asarray(z), s)
    want_terms = np.array([losses.cross_entropy(a, b) for a, b in zip(z, y, strict=True)], np.float32)
    assert_same_bits(t.to_host(terms), want_terms)
    assert_same_bits(t.to_host(s), np.array([losses.sigmoid(a) for a in z], np.float32))
    want = [losses.cross_entropy_gradient(a, b, divisor) for a, b in zip(z, y, strict=True)]
    assert_same_bits(t.to_host(d), np.array(want, np.float32))
    total = ZERO
    for term in want_terms:
        total = total + term
    assert_same_bits(np.float32(t.dense.logistic_loss(t.asarray(z), t.asarray(y), float(divisor), d)), total)


def check_logistic_extremes(t: Target) -> None:
    z = np.array([0, -0.0, np.inf, -np.inf, np.nan, 3e38, -3e38, 104, -104, 89, -745], np.float32)
    s = t.empty(len(z), np.float32)
    t.dense.sigmoid(t.asarray(z), s)
    small = losses.sigmoid(np.float32(-89))
    want = [0.5, 0.5, 1, 0, np.nan, 1, 0, 1, losses.sigmoid(np.float32(-104)), 1, 0]
    assert small > 0
    assert_same_bits(t.to_host(s), np.array(want, np.float32))
    y = np.zeros(len(z), np.float32)
    d, terms = t.empty(len(z), np.float32), t.empty(len(z), np.float32)
    t.dense.logistic_loss_terms(t.asarray(z), t.asarray(y), 1.0, d, terms)
    got = t.to_host(terms)
    log2 = losses.cross_entropy(ZERO, ZERO)
    assert_same_bits(got[:2], np.array([log2, log2], np.float32))
    assert np.isnan(got[2]) or got[2] == np.inf
    assert got[3] == 0 or np.isnan(got[3])
    assert np.isnan(got[4])
    assert_same_bits(got[5:7], np.array([3e38, 0], np.float32))
