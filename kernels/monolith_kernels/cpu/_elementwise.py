"""Compiled loops of :mod:`monolith_kernels.cpu.dense` over flat arrays and over columns."""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, I8
from monolith_kernels.jit import kernel
from monolith_kernels.rules import logistic
from monolith_kernels.superaccumulator import add_term

__all__ = [
    "add",
    "add_scaled",
    "clip_value",
    "column_limbs",
    "column_sums",
    "logistic_loss",
    "logistic_loss_terms",
    "rank_sum",
    "relu",
    "relu_gradient",
    "scale",
    "sigmoid",
    "squared_error",
    "squared_error_broadcast",
    "squared_error_terms",
    "sum_squares",
]


@kernel
def relu(z: F4, out: F4) -> None:
    """max(z, 0); -0.0 and NaN stay."""
    for i in range(len(z)):
        value = z[i]
        out[i] = np.float32(0.0) if value < np.float32(0.0) else value


@kernel
def relu_gradient(g: F4, h: F4, out: F4) -> None:
    """g where h > 0, else +0.0."""
    for i in range(len(g)):
        value = g[i]
        out[i] = value if h[i] > np.float32(0.0) else np.float32(0.0)


@kernel
def column_sums(g: F4, out: F4) -> None:
    """Sums over rows ascending, from +0.0."""
    for c in range(len(out)):
        out[c] = np.float32(0.0)
    for i in range(len(g)):
        row = g[i]
        for c in range(len(out)):
            out[c] = out[c] + row[c]


@kernel
def column_limbs(g: F4, elements: I8, limbs: I8) -> None:
    """Add the listed columns to exact accumulators."""
    for i in range(len(g)):
        for e in range(len(elements)):
            add_term(limbs, e, np.float64(g[i, elements[e]]))


@kernel
def squared_error(p: F4, y: F4, divisor: np.float32, d: F4) -> np.float32:
    """Gradients, and the ordered sum of squares."""
    total = np.float32(0.0)
    for i in range(len(p)):
        difference = p[i] - y[i]
        d[i] = (difference * np.float32(2.0)) / divisor
        total = total + difference * difference
    return total


@kernel
def squared_error_terms(p: F4, y: F4, divisor: np.float32, d: F4, terms: F4) -> None:
    """Gradients, and the squares one by one."""
    for i in range(len(p)):
        difference = p[i] - y[i]
        d[i] = (difference * np.float32(2.0)) / divisor
        terms[i] = difference * difference


@kernel
def logistic_loss(z: F4, y: F4, divisor: np.float32, d: F4) -> np.float32:
    """Gradients, and the ordered sum of terms."""
    total = np.float32(0.0)
    for i in range(len(z)):
        d[i] = logistic.cross_entropy_gradient(z[i], y[i], divisor)
        total = total + logistic.cross_entropy(z[i], y[i])
    return total


@kernel
def logistic_loss_terms(z: F4, y: F4, divisor: np.float32, d: F4, terms: F4) -> None:
    """Gradients, and the terms one by one."""
    for i in range(len(z)):
        d[i] = logistic.cross_entropy_gradient(z[i], y[i], divisor)
        terms[i] = logistic.cross_entropy(z[i], y[i])


@kernel
def sigmoid(z: F4, out: F4) -> None:
    """Element by element."""
    for i in range(len(z)):
        out[i] = logistic.sigmoid(z[i])


@kernel
def squared_error_broadcast(p: F4, y: F4, d: F4) -> np.float32:
    """Every prediction against every label."""
    count = np.float32(len(p))
    each = (np.float32(1.0) / count) / count
    loss = np.float32(0.0)
    for i in range(len(p)):
        total = np.float32(0.0)
        gradient = np.float32(0.0)
        for j in range(len(y)):
            difference = y[j] - p[i]
            total = total + difference * difference
            gradient = gradient + (np.float32(2.0) * each) * difference
        d[i] = -gradient
        loss = loss + total / count
    return loss / count


@kernel
def rank_sum(parts: F4, divisor: np.float32, out: F4) -> None:
    """Rows in order from +0.0, then one division unless the divisor is 0."""
    for m in range(len(out)):
        out[m] = np.float32(0.0)
    for r in range(len(parts)):
        row = parts[r]
        for m in range(len(out)):
            out[m] = out[m] + row[m]
    if divisor != np.float32(0.0):
        for m in range(len(out)):
            out[m] = out[m] / divisor


@kernel
def sum_squares(x: F4) -> np.float64:
    """Sum of squares in float64, ascending."""
    total = np.float64(0.0)
    for i in range(len(x)):
        value = np.float64(x[i])
        total += value * value
    return total


@kernel
def scale(x: F4, factor: np.float32, out: F4) -> None:
    """x * factor."""
    for i in range(len(x)):
        out[i] = x[i] * factor


@kernel
def clip_value(x: F4, limit: np.float32, out: F4) -> None:
    """Clipped to [-limit, limit]; NaN stays."""
    for i in range(len(x)):
        value = x[i]
        value = limit if value > limit else value
        out[i] = -limit if value < -limit else value


@kernel
def add(a: F4, b: F4, out: F4) -> None:
    """a + b."""
    for i in range(len(a)):
        out[i] = a[i] + b[i]


@kernel
def add_scaled(a: F4, factor: np.float32, b: F4, out: F4) -> None:
    """a + factor * b, two roundings."""
    for i in range(len(a)):
        out[i] = a[i] + factor * b[i]
