"""CUDA kernels of :mod:`monolith_kernels.cuda.dense` over flat arrays and over columns."""

from __future__ import annotations

import numpy as np
from numba import cuda

from monolith_kernels.arrays import F4, F8, I8
from monolith_kernels.cuda.launch import cuda_kernel
from monolith_kernels.prim import Ieee, madd, mul
from monolith_kernels.rules import logistic
from monolith_kernels.superaccumulator import add_term

__all__ = [
    "add",
    "add_scaled",
    "clip_value",
    "column_limbs",
    "column_sums",
    "column_sums_exact",
    "logistic_loss_terms",
    "ordered_sum",
    "rank_sum",
    "relu",
    "relu_gradient",
    "scale",
    "sigmoid",
    "squared_error_broadcast",
    "squared_error_terms",
]


@cuda_kernel
def relu(z: F4, out: F4) -> None:
    """max(z, 0); -0.0 and NaN stay."""
    i = cuda.grid(1)
    if i < len(out):
        value = z[i]
        if value < np.float32(0.0):
            value = np.float32(0.0)
        out[i] = value


@cuda_kernel
def relu_gradient(g: F4, h: F4, out: F4) -> None:
    """g where h > 0, else +0.0."""
    i = cuda.grid(1)
    if i < len(out):
        value = np.float32(0.0)
        if h[i] > np.float32(0.0):
            value = g[i]
        out[i] = value


@cuda_kernel
def column_sums(g: F4, rows: int, out: F4) -> None:
    """Sums over rows ascending, from +0.0."""
    c = cuda.grid(1)
    if c < len(out):
        total = np.float32(0.0)
        for i in range(rows):
            total += g[i * len(out) + c]
        out[c] = total


@cuda_kernel
def column_sums_exact(g: F4, rows: int, out: F8, error: F8) -> None:
    """Float64 sums over rows by TwoSum, with the size of what is rounded away."""
    c = cuda.grid(1)
    if c < len(out):
        total = np.float64(0.0)
        wrong = np.float64(0.0)
        for i in range(rows):
            v = np.float64(g[i * len(out) + c])
            t = total + v
            b = t - total
            wrong += abs((total - (t - b)) + (v - b))
            total = t
        out[c] = total
        error[c] = wrong


@cuda_kernel
def column_limbs(g: F4, rows: int, width: int, elements: I8, limbs: I8) -> None:
    """Add the listed columns to exact accumulators."""
    e = cuda.grid(1)
    if e < len(elements):
        for i in range(rows):
            add_term(limbs, e, np.float64(g[i * width + elements[e]]))


@cuda_kernel
def ordered_sum(terms: F4, total: F4) -> None:
    """One thread adds in order, from +0.0."""
    so_far = np.float32(0.0)
    for i in range(len(terms)):
        so_far += terms[i]
    total[0] = so_far


@cuda_kernel
def squared_error_terms(p: F4, y: F4, divisor: np.float32, d: F4, terms: F4) -> None:
    """Gradients, and the squares one by one."""
    i = cuda.grid(1)
    if i < len(p):
        difference = p[i] - y[i]
        d[i] = mul(difference, np.float32(2.0)) / divisor
        terms[i] = mul(difference, difference)


@cuda_kernel
def logistic_loss_terms(z: F4, y: F4, divisor: np.float32, d: F4, terms: F4) -> None:
    """Gradients, and the terms one by one."""
    i = cuda.grid(1)
    if i < len(z):
        d[i] = logistic.cross_entropy_gradient(z[i], y[i], divisor)
        terms[i] = logistic.cross_entropy(z[i], y[i])


@cuda_kernel
def sigmoid(z: F4, out: F4) -> None:
    """Element by element."""
    i = cuda.grid(1)
    if i < len(z):
        out[i] = logistic.sigmoid(z[i])


@cuda_kernel
def squared_error_broadcast(p: F4, y: F4, d: F4, means: F4) -> None:
    """One prediction against every label."""
    i = cuda.grid(1)
    if i < len(p):
        count = np.float32(len(p))
        twice = mul(np.float32(2.0), (np.float32(1.0) / count) / count)
        total = np.float32(0.0)
        gradient = np.float32(0.0)
        for j in range(len(y)):
            difference = y[j] - p[i]
            total = madd(Ieee(), difference, difference, total)
            gradient = madd(Ieee(), twice, difference, gradient)
        d[i] = -gradient
        means[i] = total / count


@cuda_kernel
def rank_sum(parts: F4, ranks: int, divisor: np.float32, out: F4) -> None:
    """Ranks in order from +0.0, then one division unless the divisor is 0."""
    m = cuda.grid(1)
    if m < len(out):
        total = np.float32(0.0)
        for r in range(ranks):
            total += parts[r * len(out) + m]
        if divisor != np.float32(0.0):
            total = total / divisor
        out[m] = total


@cuda_kernel
def scale(x: F4, factor: np.float32, out: F4) -> None:
    """x * factor."""
    i = cuda.grid(1)
    if i < len(out):
        out[i] = mul(x[i], factor)


@cuda_kernel
def clip_value(x: F4, limit: np.float32, out: F4) -> None:
    """Clipped to [-limit, limit]; NaN stays."""
    i = cuda.grid(1)
    if i < len(out):
        value = x[i]
        if value > limit:
            value = limit
        if value < -limit:
            value = -limit
        out[i] = value


@cuda_kernel
def add(a: F4, b: F4, out: F4) -> None:
    """a + b."""
    i = cuda.grid(1)
    if i < len(out):
        out[i] = a[i] + b[i]


@cuda_kernel
def add_scaled(a: F4, factor: np.float32, b: F4, out: F4) -> None:
    """a + factor * b, two roundings."""
    i = cuda.grid(1)
    if i < len(out):
        out[i] = madd(Ieee(), factor, b[i], a[i])
