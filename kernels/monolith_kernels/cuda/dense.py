"""Dense layers with a fixed order of every sum on CUDA. Twin of :mod:`monolith_kernels.cpu.dense`.

Its descriptions hold. Matrices live on the device. A thread per output adds in index order over tiles in shared memory.
"""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, F8, I8
from monolith_kernels.cpu import dense as host
from monolith_kernels.cuda import _elementwise as elementwise
from monolith_kernels.cuda import _matmul as loops
from monolith_kernels.cuda.launch import device_array, to_host

__all__ = [
    "add",
    "add_scaled",
    "affine",
    "bias_gradient",
    "bias_gradient_exact",
    "bias_gradient_limbs",
    "clip_value",
    "input_gradient",
    "logistic_loss",
    "logistic_loss_terms",
    "matmul",
    "rank_sum",
    "relu",
    "relu_gradient",
    "scale",
    "sigmoid",
    "squared_error",
    "squared_error_broadcast",
    "squared_error_terms",
    "sum_squares",
    "transpose",
    "weight_gradient",
    "weight_gradient_exact",
    "weight_gradient_limbs",
]


def matmul(x: F4, w: F4, out: F4, threads: int = 1) -> None:
    """``out[i, o] = ((+0 + x[i, 0] * w[0, o]) + x[i, 1] * w[1, o]) + ...``; x [B, >= K], w [K, O], out [B, O]."""
    loops.launch_product(x, (x.shape[1], 1), w, (w.shape[1], 1), w.shape, out)


def affine(x: F4, w: F4, b: F4, out: F4, relu: bool = False, threads: int = 1) -> None:
    """:func:`matmul`, then the bias (float32[O]) added last, then relu if asked for."""
    matmul(x, w, out)
    flat = out.reshape(-1)
    loops.finish.per_item(len(flat), b, int(relu), flat)


def relu(z: F4, out: F4) -> None:
    """``max(z, 0)`` elementwise over flat arrays: -0.0 and NaN stay as they are. ``out`` may be ``z``."""
    elementwise.relu.per_item(len(z), z, out)


def relu_gradient(g: F4, h: F4, out: F4) -> None:
    """``g`` where ``h > 0``, else +0.0 (also for NaN); flat arrays of one size. ``out`` may be ``g``."""
    elementwise.relu_gradient.per_item(len(g), g, h, out)


def transpose(w: F4, out: F4) -> None:
    """``out[o, k] = w[k, o]`` for the part that both have, +0.0 in the rest of ``out``; they may not overlap."""
    flat = out.reshape(-1)
    loops.transpose.per_item(len(flat), w.reshape(-1), w.shape[0], w.shape[1], out.shape[1], flat)


def input_gradient(g: F4, w: F4, out: F4, transposed: F4, threads: int = 1) -> None:
    """``out[i, k] = sum over o ascending of g[i, o] * w[k, o]``; g [B, >= O], out [B, >= K].

    ``transposed`` float32[O, out.shape[1]] is scratch and is overwritten; O is its number of rows, so that padded
    columns of ``w`` are not summed.
    """
    transpose(w, transposed)
    matmul(g, transposed, out)


def weight_gradient(x: F4, g: F4, out: F4, threads: int = 1) -> None:
    """``out[k, o] = sum over rows i ascending of x[i, k] * g[i, o]``; x [B, >= K], g [B, O], out [K, O]."""
    loops.launch_product(x, (1, x.shape[1]), g, (g.shape[1], 1), g.shape, out)


def bias_gradient(g: F4, out: F4) -> None:
    """``out[o] = sum over rows i ascending of g[i, o]``; g [B, O], out float32[O]."""
    elementwise.column_sums.per_item(len(out), g.reshape(-1), g.shape[0], out)


def weight_gradient_exact(x: F4, g: F4, out: F8, error: F8, threads: int = 1) -> None:
    """Sums of the *rounded* products of :func:`weight_gradient` in float64, with what was rounded away."""
    size = out.shape[0] * out.shape[1]
    loops.weight_gradient_exact.per_item(
        size,
        x.reshape(-1),
        x.shape[1],
        g.reshape(-1),
        g.shape[1],
        g.shape[0],
        out.reshape(-1),
        error.reshape(-1),
    )


def weight_gradient_limbs(x: F4, g: F4, elements: I8, limbs: I8) -> None:
    """Add all terms of some elements of a weight gradient to exact accumulators."""
    loops.weight_gradient_limbs.per_item(
        len(elements), x.reshape(-1), x.shape[1], g.reshape(-1), g.shape[1], g.shape[0], elements, limbs
    )


def bias_gradient_exact(g: F4, out: F8, error: F8) -> None:
    """:func:`bias_gradient` in float64 with what was rounded away, both float64[O]."""
    elementwise.column_sums_exact.per_item(len(out), g.reshape(-1), g.shape[0], out, error)


def bias_gradient_limbs(g: F4, elements: I8, limbs: I8) -> None:
    """Add all terms of some columns of a bias gradient to exact accumulators (int64[e], int64[e, 11])."""
    elementwise.column_limbs.per_item(len(elements), g.reshape(-1), g.shape[0], g.shape[1], elements, limbs)


def squared_error(p: F4, y: F4, divisor: float, d: F4) -> float:
    """Aligned squared error: ``d[i] = ((p[i] - y[i]) * 2) / divisor``, result the ordered sum of ``(p - y)^2``."""
    terms = device_array(len(p), np.float32)
    squared_error_terms(p, y, divisor, d, terms)
    total = device_array(1, np.float32)
    elementwise.ordered_sum.launch(1, 1, terms, total)
    return float(to_host(total)[0])


def squared_error_terms(p: F4, y: F4, divisor: float, d: F4, terms: F4) -> None:
    """As :func:`squared_error` with the squares left unsummed in ``terms`` float32[B]."""
    elementwise.squared_error_terms.per_item(len(p), p, y, np.float32(divisor), d, terms)


def logistic_loss(z: F4, y: F4, divisor: float, d: F4) -> float:
    """Cross-entropy of logits: ``d[i] = (sigmoid(z[i]) - y[i]) / divisor``, result the ordered sum of terms."""
    terms = device_array(len(z), np.float32)
    logistic_loss_terms(z, y, divisor, d, terms)
    total = device_array(1, np.float32)
    elementwise.ordered_sum.launch(1, 1, terms, total)
    return float(to_host(total)[0])


def logistic_loss_terms(z: F4, y: F4, divisor: float, d: F4, terms: F4) -> None:
    """As :func:`logistic_loss` with the terms left unsummed in ``terms`` float32[B]."""
    elementwise.logistic_loss_terms.per_item(len(z), z, y, np.float32(divisor), d, terms)


def sigmoid(z: F4, out: F4) -> None:
    """``1 / (1 + exp(-z))`` of flat arrays, in float64, rounded once. ``out`` may be ``z``."""
    elementwise.sigmoid.per_item(len(z), z, out)


def squared_error_broadcast(p: F4, y: F4, d: F4) -> float:
    """The published test's loss, where predictions [B, 1] meet labels [B]: the mean over all B * B pairs."""
    means, total = device_array(len(p), np.float32), device_array(1, np.float32)
    elementwise.squared_error_broadcast.per_item(len(p), p, y, d, means)
    elementwise.ordered_sum.launch(1, 1, means, total)
    return float(to_host(total)[0] / np.float32(len(p)))


def rank_sum(parts: F4, divisor: float, out: F4) -> None:
    """``out[m] = (((+0 + parts[0, m]) + parts[1, m]) + ...) / divisor``: ranks in order, per element."""
    elementwise.rank_sum.per_item(len(out), parts.reshape(-1), parts.shape[0], np.float32(divisor), out)


def sum_squares(x: F4) -> float:
    """Sum of squares of a flat array in float64, ascending; copied to the host, where one thread is faster."""
    return host.sum_squares(to_host(x))


def scale(x: F4, factor: float, out: F4) -> None:
    """``out = x * float32(factor)``, one rounding; flat arrays, ``out`` may be ``x``."""
    elementwise.scale.per_item(len(x), x, np.float32(factor), out)


def clip_value(x: F4, limit: float, out: F4) -> None:
    """Every element clipped to [-limit, limit]; NaN stays. ``out`` may be ``x``."""
    elementwise.clip_value.per_item(len(x), x, np.float32(limit), out)


def add(a: F4, b: F4, out: F4) -> None:
    """``out = a + b``; flat arrays, ``out`` may be either."""
    elementwise.add.per_item(len(a), a, b, out)


def add_scaled(a: F4, factor: float, b: F4, out: F4) -> None:
    """``out = a + float32(factor) * b`` with two roundings (dense weight decay); ``out`` may be either."""
    elementwise.add_scaled.per_item(len(a), a, np.float32(factor), b, out)
