"""The arithmetic of the comparison, one rule after the other, as plainly as NumPy says it.

float32 throughout, every product and every addition rounded once, sums from +0.0 in ascending order. A loop below
runs over the summation index, so that the order is the one written; what NumPy does at once is independent elements.
Rule: sync_training 6.2; optimizers 1 (adagrad).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

__all__ = [
    "Backward",
    "Forward",
    "adagrad",
    "backward",
    "dense_local_sums",
    "dense_terms",
    "forward",
    "group_occurrences",
    "loss_sum",
    "matrix_product",
    "occurrence_sums",
    "pool",
    "put_rows",
    "take_rows",
    "through_half",
]


class Forward(NamedTuple):
    """Values of the forward pass of some rows: z1, h [B, H1], z2, h2 [B, H2], p [B]."""

    z1: F32
    h: F32
    z2: F32
    h2: F32
    p: F32


class Backward(NamedTuple):
    """Gradients of the backward pass of some rows: d [B], t2 [B, H2], t1 [B, H1], dx [B, K]."""

    d: F32
    t2: F32
    t1: F32
    dx: F32


def matrix_product(left: F32, right: F32) -> F32:
    """left [B, K] times right [K, O], summed over k ascending from +0.0; [B, O]."""
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    product = np.empty_like(total)
    for k in range(right.shape[0]):
        np.multiply(left[:, k, None], right[k], out=product)
        total += product
    return total


def relu(z: F32) -> F32:
    """z where z > 0, else +0.0."""
    return np.where(z > 0, z, np.float32(0.0))


def forward(x: F32, kernels: list[F32], biases: list[F32]) -> Forward:
    """Two relu layers and a linear one on x [B, K]."""
    z1 = matrix_product(x, kernels[0]) + biases[0]
    h = relu(z1)
    z2 = matrix_product(h, kernels[1]) + biases[1]
    h2 = relu(z2)
    p = matrix_product(h2, kernels[2]) + biases[2]
    return Forward(z1, h, z2, h2, p[:, 0])


def backward(f: Forward, labels: F32, divisor: int, kernels: list[F32], wanted: F32 | None = None) -> Backward:
    """Gradients of sum((p - y)^2) / divisor; ``wanted`` replaces p - y summed over labels (as published)."""
    if wanted is None:
        d = ((f.p - labels) * np.float32(2)) / np.float32(divisor)
    else:
        d = wanted
    t2 = np.where(f.z2 > 0, matrix_product(d[:, None], kernels[2].T), np.float32(0.0))
    t1 = np.where(f.z1 > 0, matrix_product(t2, np.ascontiguousarray(kernels[1].T)), np.float32(0.0))
    dx = matrix_product(t1, np.ascontiguousarray(kernels[0].T))
    return Backward(d, t2, t1, dx)


def loss_sum(p: F32, labels: F32) -> np.float32:
    """The sum of (p - y)^2 over rows, ascending from +0.0."""
    error = p - labels
    total = np.float32(0.0)
    for square in error * error:
        total = total + square
    return np.float32(total)


def dense_terms(x: F32, f: Forward, b: Backward, row: int) -> list[F32]:
    """What one row adds to the gradients of kernel, bias, kernel, bias, kernel, bias."""
    return [
        x[row][:, None] * b.t1[row],
        b.t1[row],
        f.h[row][:, None] * b.t2[row],
        b.t2[row],
        (f.h2[row] * b.d[row])[:, None],
        b.d[row : row + 1],
    ]


def dense_local_sums(x: F32, f: Forward, b: Backward) -> list[F32]:
    """The rows' terms summed in ascending order of row, from +0.0."""
    sizes = (x.shape[1], f.h.shape[1], f.h2.shape[1], 1)
    sums: list[F32] = []
    for fan_in, fan_out in pairwise(sizes):
        sums += [np.zeros((fan_in, fan_out), np.float32), np.zeros(fan_out, np.float32)]
    for row in range(len(x)):
        for total, term in zip(sums, dense_terms(x, f, b, row), strict=True):
            total += term
    return sums


def take_rows(table: F32, positions: I64) -> F32:
    """The rows at ``positions``, copied (what ``table[positions]`` gives, several times faster)."""
    return table.take(positions, axis=0)


def put_rows(table: F32, positions: I64, rows: F32) -> None:
    """Replace the rows at distinct ``positions`` (what ``table[positions] = rows`` does, whole rows at a time)."""
    whole = np.dtype((np.void, table.dtype.itemsize * table.shape[1]))
    table.view(whole)[positions, 0] = np.ascontiguousarray(rows).view(whole)[:, 0]


def pool(table: F32, positions: I64, bags: I64, bag_count: int) -> F32:
    """Sum of the rows of each bag in order of occurrence, from +0.0; [bag_count, D].

    ``positions`` [n] are rows of ``table``; ``bags`` [n] says whose each occurrence is, bags being consecutive runs.
    """
    out = np.zeros((bag_count, table.shape[1]), np.float32)
    if len(positions) == 0:
        return out
    starts = np.flatnonzero(np.diff(bags, prepend=-1))
    lengths = np.diff(starts, append=len(bags))
    longest_first = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[longest_first], lengths[longest_first]
    sums = np.zeros((len(starts), table.shape[1]), np.float32)
    live = len(starts)
    for j in range(int(lengths[0])):
        live = int(np.searchsorted(-lengths[:live], -j, side="left"))
        sums[:live] += take_rows(table, positions[starts[:live] + j])
    out[bags[starts]] = sums
    return out


def group_occurrences(positions: I64) -> tuple[I64, I64, I64, I64]:
    """Occurrences sorted by position, ties in order of occurrence.

    Returns (order [n], starts [u], counts [u], distinct positions [u] ascending).
    """
    n = len(positions)
    bits = max(n - 1, 1).bit_length()
    # Position and number in one key: distinct keys sort faster than a stable argsort.
    keys = (positions << bits) | np.arange(n, dtype=np.int64)
    keys.sort()
    order = keys & ((1 << bits) - 1)
    ranked = keys >> bits
    starts = np.flatnonzero(np.diff(ranked, prepend=-1))
    counts = np.diff(starts, append=n)
    return order, starts, counts, ranked[starts]


def occurrence_sums(gradients: F32, order: I64, starts: I64, counts: I64, bags: I64) -> F32:
    """Gradient of each distinct position: its occurrences' bag gradients summed in order, from +0.0.

    ``gradients`` [bags, D]; ``bags`` [n] gives the bag of each occurrence; the rest is :func:`group_occurrences`.
    """
    sums = take_rows(gradients, bags[order[starts]])
    sums += np.float32(0.0)
    many = np.flatnonzero(counts > 1)
    if len(many):
        many = many[np.argsort(-counts[many], kind="stable")]
        first, size = starts[many], counts[many]
        partial = sums[many]
        live = len(many)
        for k in range(1, int(size[0])):
            live = int(np.searchsorted(-size[:live], -k, side="left"))
            partial[:live] += take_rows(gradients, bags[order[first[:live] + k]])
        sums[many] = partial
    return sums


def adagrad(w: F32, accumulator: F32, g: F32, rate: np.float32) -> tuple[F32, F32]:
    """One step: accumulator + g*g, then w - (rate / sqrt(accumulator)) * g."""
    accumulator = accumulator + g * g
    step: F32 = np.divide(rate, np.sqrt(accumulator))
    return w - step * g, accumulator


def through_half(values: F32) -> F32:
    """Every float rounded once to half precision and widened again."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)
