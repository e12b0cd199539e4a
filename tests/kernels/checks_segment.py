"""What combiners, their gradients and gradient sums must do, on any target."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from monolith_kernels import reduction
from monolith_kernels.prim import fma
from monolith_kernels.target import Target

from tests.kernels.support import assert_same_bits, floats, splits

ZERO = np.float32(0)


class Batch:
    """A ragged batch whose occurrences point at vectors, some of them absent, some used often."""

    def __init__(self, t: Target, seed: int, rows: int, longest: int, dim: int, special: float) -> None:
        rng = np.random.default_rng(seed)
        self.rng, self.t, self.dim, self.rows = rng, t, dim, rows
        self.splits = splits(rng, rows, longest)
        self.count = int(self.splits[-1])
        slots = max(1, self.count // 2)
        drawn = rng.integers(0, slots, self.count)
        _, first, inverse = np.unique(drawn, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int64)
        rank[np.argsort(first)] = np.arange(len(first))
        self.positions = rank[inverse].astype(np.int32)
        self.slots = len(first)
        self.stride = dim + 1
        self.flat = floats(rng, max(1, self.slots) * self.stride, special)
        self.offsets = np.arange(self.slots, dtype=np.int64)[::-1] * self.stride
        self.offsets[rng.random(self.slots) < 0.1] = -1
        self.column, self.width = 2, dim + 4
        self.grad = floats(rng, (rows, self.width), special)

    def vector(self, j: int) -> Any:
        offset = self.offsets[self.positions[j]]
        return self.flat[offset : offset + self.dim] if offset >= 0 else np.zeros(self.dim, np.float32)

    def row_of(self) -> Any:
        return np.repeat(np.arange(self.rows), np.diff(self.splits))

    def pooled(self, *arguments: Any, driver: Any) -> Any:
        out = self.t.asarray(np.full((self.rows, self.width), 7, np.float32))
        to = self.t.asarray
        driver(
            to(self.flat), to(self.offsets), to(self.positions), to(self.splits), self.dim, out, self.column, *arguments
        )
        host = self.t.to_host(out)
        outside = np.delete(host, np.s_[self.column : self.column + self.dim], axis=1)
        assert (outside == 7).all()
        return np.ascontiguousarray(host[:, self.column : self.column + self.dim])


def check_combiners(t: Target, seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    batch = Batch(t, seed, rows, longest, dim, special)
    total = np.zeros((rows, dim), np.float32)
    squares, fused = total.copy(), total.copy()
    with np.errstate(all="ignore"):
        for i in range(rows):
            for j in range(batch.splits[i], batch.splits[i + 1]):
                v = batch.vector(j)
                total[i] = total[i] + v
                squares[i] = squares[i] + v * v
                fused[i] = [fma(x, x, s) for x, s in zip(v, fused[i], strict=True)]
        counts = np.diff(batch.splits)
        factor = (1.0 / counts.astype(np.float32).astype(np.float64)).astype(np.float32)[:, None]
        mean = np.where(counts[:, None] > 0, total * factor, ZERO)
        mean_nan = total * factor
        roots, fused_roots = np.sqrt(squares), np.sqrt(fused)
    assert_same_bits(batch.pooled(t.threads, driver=t.segment.sum), total)
    assert_same_bits(batch.pooled(False, t.threads, driver=t.segment.mean), mean.astype(np.float32))
    assert_same_bits(batch.pooled(True, t.threads, driver=t.segment.mean), mean_nan)
    assert_same_bits(batch.pooled(False, t.threads, driver=t.segment.sqrtn), roots)
    assert_same_bits(batch.pooled(True, t.threads, driver=t.segment.sqrtn), fused_roots)
    scale = t.empty(rows, np.float32)
    t.segment.mean_scale(t.asarray(batch.splits), scale)
    assert_same_bits(t.to_host(scale), factor[:, 0])


def check_sum_rows(t: Target, seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    batch = Batch(t, seed, rows, longest, dim, special)
    table = floats(batch.rng, (9, dim + 6), special)
    numbers = batch.rng.integers(-1, 9, max(1, batch.slots)).astype(np.int32)
    want = np.zeros((rows, dim), np.float32)
    with np.errstate(all="ignore"):
        for i in range(rows):
            for j in range(batch.splits[i], batch.splits[i + 1]):
                number = numbers[batch.positions[j]]
                want[i] = want[i] + (table[number, 3 : 3 + dim] if number >= 0 else ZERO)
    out = t.asarray(np.full((rows, dim + 2), 7, np.float32))
    to = t.asarray
    t.segment.sum_rows(to(table), to(numbers), to(batch.positions), to(batch.splits), 3, dim, out, 1, t.threads)
    assert_same_bits(np.ascontiguousarray(t.to_host(out)[:, 1 : 1 + dim]), want)


def check_first_n(t: Target, seed: int, rows: int, longest: int, dim: int, n: int, special: float) -> None:
    batch = Batch(t, seed, rows, longest, dim, special)
    part = dim + 2
    want = np.full((rows, n, part), 7, np.float32)
    want[:, :, 1 : 1 + dim] = 0
    with np.errstate(all="ignore"):
        for i in range(rows):
            for p in range(min(n, batch.splits[i + 1] - batch.splits[i])):
                want[i, p, 1 : 1 + dim] = ZERO + batch.vector(batch.splits[i] + p)
    out = t.asarray(np.full((rows, n * part), 7, np.float32))
    to = t.asarray
    t.segment.first_n(to(batch.flat), to(batch.offsets), to(batch.positions), to(batch.splits), dim, n, out, 1)
    assert_same_bits(t.to_host(out), want.reshape(rows, n * part))

    grad = floats(batch.rng, (rows, n * part), special)
    wanted = np.zeros((batch.count, dim), np.float32)
    for i in range(rows):
        for p in range(min(n, batch.splits[i + 1] - batch.splits[i])):
            wanted[batch.splits[i] + p] = grad[i, p * part + 1 : p * part + 1 + dim]
    out = t.empty(batch.count * dim, np.float32)
    t.segment.first_n_gradient(to(grad), 1, dim, n, to(batch.splits), out, dim)
    assert_same_bits(t.to_host(out), wanted.reshape(-1))


def check_gradients(t: Target, seed: int, rows: int, longest: int, dim: int, special: float) -> None:
    batch = Batch(t, seed, rows, longest, dim, special)
    to, stride = t.asarray, dim + 3
    rows_of, columns = batch.row_of(), np.s_[batch.column : batch.column + dim]
    g = np.ascontiguousarray(batch.grad[rows_of, columns])
    with np.errstate(all="ignore"):
        factor = (1.0 / np.diff(batch.splits).astype(np.float64)).astype(np.float32)[rows_of, None]
        mean = g * factor

    def filled(driver: Any, *more: Any) -> Any:
        out = to(np.full(batch.count * stride, 7, np.float32))
        driver(to(batch.grad), batch.column, dim, to(batch.splits), *more, out, stride)
        host = t.to_host(out).reshape(batch.count, stride)
        assert (host[:, dim:] == 7).all()
        return np.ascontiguousarray(host[:, :dim])

    assert filled(t.segment.sum_gradient).tobytes() == g.tobytes()
    assert_same_bits(filled(t.segment.mean_gradient), mean)

    pooled = floats(batch.rng, (rows, batch.width), special)
    vectors = np.array([batch.vector(j) for j in range(batch.count)], np.float32).reshape(batch.count, dim)
    s = np.ascontiguousarray(pooled[rows_of, columns])
    with np.errstate(all="ignore"):
        want = g * np.where(s == 0, ZERO, vectors / s)
    got = filled(t.segment.sqrtn_gradient, to(batch.flat), to(batch.offsets), to(batch.positions), to(pooled))
    assert_same_bits(got, want)


def check_gradient_sums(t: Target, seed: int, rows: int, longest: int, dim: int, special: float, scaled: bool) -> None:
    batch = Batch(t, seed, rows, longest, dim, special)
    to, stride = t.asarray, dim + int(batch.rng.integers(0, 3))
    scale = floats(batch.rng, rows if scaled else 0, special)
    # as in a buffer in send order: slots of one owner lie side by side, in ascending order
    owners = batch.rng.integers(0, 3, batch.slots)
    targets = np.empty(batch.slots, np.int64)
    targets[np.argsort(owners, kind="stable")] = np.arange(batch.slots) * stride
    terms: list[list[Any]] = [[] for _ in range(batch.slots)]
    want = np.full(batch.slots * stride, 7, np.float32)
    with np.errstate(all="ignore"):
        for j, i in enumerate(batch.row_of()):
            g = batch.grad[i, batch.column : batch.column + dim]
            terms[batch.positions[j]].append(g * scale[i] if scaled else g)
        for slot, parts in enumerate(terms):
            total = np.zeros(dim, np.float32)
            for part in parts:
                total = total + part
            want[targets[slot] :][:dim] = total
    out = to(np.full(batch.slots * stride, 7, np.float32))
    half = rows // 2
    first_new = 0
    for lo, hi in ((0, half), (half, rows)):
        part_scale = scale[lo:hi] if scaled else scale
        first_new = t.segment.gradient_sums(
            to(batch.grad[lo:hi]),
            batch.column,
            dim,
            to(batch.splits[lo : hi + 1]),
            to(batch.positions),
            to(part_scale),
            to(targets),
            out,
            first_new,
        )
    assert first_new == batch.slots
    assert_same_bits(t.to_host(out), want)

    cleared = to(np.zeros(batch.slots * stride, np.float32))
    arguments = (to(batch.grad), batch.column, dim, to(batch.splits), to(batch.positions), to(scale), to(targets))
    t.segment.gradient_sums(*arguments, cleared, 2**31 - 1)
    for slot in range(batch.slots):
        place = targets[slot]
        assert_same_bits(t.to_host(cleared)[place : place + dim], want[place : place + dim])

    exact = exact_gradient_sums(t, arguments, batch.slots * stride)
    for slot, parts in enumerate(terms):
        place = targets[slot]
        wanted = np.array([exact_sum(column) for column in np.array(parts).T], np.float32)
        assert_same_bits(exact[place : place + dim], wanted)


def exact_gradient_sums(t: Target, arguments: Any, size: int) -> Any:
    """The exact variant as an owner uses it: float64, the inexact elements by limbs, one rounding."""
    out, error = t.asarray(np.zeros(size)), t.asarray(np.zeros(size))
    t.segment.gradient_sums_exact(*arguments, out, error, 0)
    elements = reduction.inexact(t.to_host(error))
    limbs = t.asarray(reduction.limbs_of(len(elements)))
    t.segment.gradient_limbs(*arguments, t.asarray(elements), limbs)
    rounded = np.empty(size, np.float32)
    reduction.finish(reduction.settle(t.to_host(out).copy(), elements, t.to_host(limbs)), rounded)
    return rounded


def exact_sum(terms: Any) -> np.float32:
    """The real sum, rounded once to nearest even."""
    terms = np.asarray(terms, np.float32)
    if np.isnan(terms).any() or (np.isposinf(terms).any() and np.isneginf(terms).any()):
        return np.float32(np.nan)
    infinite = terms[np.isinf(terms)]
    if len(infinite):
        return np.float32(infinite[0])
    units = int(sum((Fraction(float(term)) for term in terms), Fraction(0)) * 2**149)
    magnitude = abs(units)
    drop = magnitude.bit_length() - 24
    pattern = magnitude
    if drop > 0:
        kept, rest = divmod(magnitude, 1 << drop)
        half = 1 << (drop - 1)
        kept += rest > half or (rest == half and kept % 2 == 1)
        pattern = min((drop << 23) + kept, 0x7F800000)
    return np.uint32(pattern | (0x80000000 if units < 0 else 0)).view(np.float32)
