"""Dense layers with a fixed order of every sum. Rules: features 6 and 7, sync_training 6.2.

Matrices are C-contiguous float32. A driver works on every column an output has, so outputs (and weights and biases) may
be padded: padding a width to a multiple of 16 is faster; pads stay zero where the inputs' pads are zero. The inner
dimension is always the weights' own, so that pads of an input are never read. Each sum starts at +0.0 and runs in
ascending index order with one rounding per product and per addition.
"""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, F8, I8
from monolith_kernels.cpu import _elementwise as elementwise
from monolith_kernels.cpu import _exact
from monolith_kernels.cpu import _matmul as loops
from monolith_kernels.cpu._matmul import finish_rows, products
from monolith_kernels.cpu._matmul import transpose as transpose_blocks
from monolith_kernels.threads import run_shares

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


_THREADED_FROM = 4_000_000
"""Multiply-adds that one thread does in the time that another one takes to start."""


def _grain(steps_per_row: int) -> int:
    """Rows that are worth a thread."""
    return max(2, _THREADED_FROM // max(steps_per_row, 1))


def matmul(x: F4, w: F4, out: F4, threads: int = 1) -> None:
    """``out[i, o] = ((+0 + x[i, 0] * w[0, o]) + x[i, 1] * w[1, o]) + ...``; x [B, >= K], w [K, O], out [B, O]."""
    rows = len(out)
    grain = _grain(w.size)
    run_shares(lambda lo, hi: products(x, w, len(w), out, lo, hi), rows, threads, grain)


def affine(x: F4, w: F4, b: F4, out: F4, relu: bool = False, threads: int = 1) -> None:
    """:func:`matmul`, then the bias (float32[O]) added last, then relu if asked for."""

    def share(lo: int, hi: int) -> None:
        products(x, w, len(w), out, lo, hi)
        finish_rows(b, relu, out, lo, hi)

    run_shares(share, len(out), threads, _grain(w.size))


def relu(z: F4, out: F4) -> None:
    """``max(z, 0)`` elementwise over flat arrays: -0.0 and NaN stay as they are. ``out`` may be ``z``."""
    elementwise.relu(z, out)


def relu_gradient(g: F4, h: F4, out: F4) -> None:
    """``g`` where ``h > 0``, else +0.0 (also for NaN); flat arrays of one size. ``out`` may be ``g``."""
    elementwise.relu_gradient(g, h, out)


def transpose(w: F4, out: F4) -> None:
    """``out[o, k] = w[k, o]`` for the part that both have, +0.0 in the rest of ``out``; they may not overlap."""
    transpose_blocks(w, out)


def input_gradient(g: F4, w: F4, out: F4, transposed: F4, threads: int = 1) -> None:
    """``out[i, k] = sum over o ascending of g[i, o] * w[k, o]``; g [B, >= O], out [B, >= K].

    ``transposed`` float32[O, out.shape[1]] is scratch and is overwritten; O is its number of rows, so that padded
    columns of ``w`` are not summed.
    """
    transpose_blocks(w, transposed)
    inner = len(transposed)
    run_shares(lambda lo, hi: products(g, transposed, inner, out, lo, hi), len(out), threads, _grain(transposed.size))


def weight_gradient(x: F4, g: F4, out: F4, threads: int = 1) -> None:
    """``out[k, o] = sum over rows i ascending of x[i, k] * g[i, o]``; x [B, >= K], g [B, O], out [K, O]."""
    run_shares(lambda lo, hi: loops.weight_gradient(x, g, out, lo, hi), len(out), threads, _grain(g.size))


def bias_gradient(g: F4, out: F4) -> None:
    """``out[o] = sum over rows i ascending of g[i, o]``; g [B, O], out float32[O]."""
    elementwise.column_sums(g, out)


def weight_gradient_exact(x: F4, g: F4, out: F8, error: F8, threads: int = 1) -> None:
    """Sums of the *rounded* products of :func:`weight_gradient` in float64, and where something was rounded away.

    ``out`` and ``error``: float64[K, O]. ``error`` is +0.0 exactly where ``out`` is the real sum; other elements need
    :func:`weight_gradient_limbs`.
    """
    run_shares(lambda lo, hi: loops.weight_gradient_exact(x, g, out, error, lo, hi), len(out), threads, _grain(g.size))


def weight_gradient_limbs(x: F4, g: F4, elements: I8, limbs: I8) -> None:
    """Add all terms of some elements of a weight gradient to exact accumulators.

    ``elements`` int64[e]: flat numbers ``k * O + o``; ``limbs`` int64[e, 11], see ``monolith_kernels.reduction``.
    """
    loops.weight_gradient_limbs(x, g, elements, limbs)


def bias_gradient_exact(g: F4, out: F8, error: F8) -> None:
    """:func:`bias_gradient` in float64 with what was rounded away, both float64[O]."""
    out.fill(0.0)
    error.fill(0.0)
    _exact.sum_rows(g, out, error)


def bias_gradient_limbs(g: F4, elements: I8, limbs: I8) -> None:
    """Add all terms of some columns of a bias gradient to exact accumulators (int64[e], int64[e, 11])."""
    elementwise.column_limbs(g, elements, limbs)


def squared_error(p: F4, y: F4, divisor: float, d: F4) -> float:
    """Aligned squared error: ``d[i] = ((p[i] - y[i]) * 2) / divisor``, result the ordered float32 sum of ``(p - y)^2``.

    p, y, d float32[B]; the loss is the result divided by the divisor (in float32), left to the caller because ranks'
    losses are added before. ``divisor`` is rounded to float32.
    """
    return float(elementwise.squared_error(p, y, np.float32(divisor), d))


def squared_error_terms(p: F4, y: F4, divisor: float, d: F4, terms: F4) -> None:
    """As :func:`squared_error` with the squares left unsummed in ``terms`` float32[B] (for ``reduction.exact_sum``)."""
    elementwise.squared_error_terms(p, y, np.float32(divisor), d, terms)


def logistic_loss(z: F4, y: F4, divisor: float, d: F4) -> float:
    """Cross-entropy of logits: ``d[i] = (sigmoid(z[i]) - y[i]) / divisor``, result the ordered float32 sum of terms.

    A term is ``max(z, 0) - z * y + log(1 + exp(-|z|))`` in float64, rounded once
    (:mod:`monolith_kernels.rules.logistic`); sigmoid likewise, then the difference and the quotient in float32.
    z, y, d float32[B]; the rest as in :func:`squared_error`.
    """
    return float(elementwise.logistic_loss(z, y, np.float32(divisor), d))


def logistic_loss_terms(z: F4, y: F4, divisor: float, d: F4, terms: F4) -> None:
    """As :func:`logistic_loss` with the terms left unsummed in ``terms`` float32[B]."""
    elementwise.logistic_loss_terms(z, y, np.float32(divisor), d, terms)


def sigmoid(z: F4, out: F4) -> None:
    """``1 / (1 + exp(-z))`` of flat arrays, in float64, rounded once. ``out`` may be ``z``."""
    elementwise.sigmoid(z, out)


def squared_error_broadcast(p: F4, y: F4, d: F4) -> float:
    """The published test's loss, where predictions [B, 1] meet labels [B]: the mean over all B * B pairs.

    ``loss = (sum_i ((sum_j (y_j - p_i)^2) / B)) / B``; ``d[i]`` = minus the ordered sum over j of
    ``(2 * ((1 / B) / B)) * (y_j - p_i)``. Returns the loss.
    """
    return float(elementwise.squared_error_broadcast(p, y, d))


def rank_sum(parts: F4, divisor: float, out: F4) -> None:
    """``out[m] = (((+0 + parts[0, m]) + parts[1, m]) + ...) / divisor``: ranks in order, per element.

    parts float32[N, M]; the division (one rounding, float32) is left out where ``divisor`` is 0.
    """
    elementwise.rank_sum(parts, np.float32(divisor), out)


def sum_squares(x: F4) -> float:
    """Sum of squares of a flat array in float64, ascending.

    The global norm is the square root of the sum over all tensors, in float64, rounded once.
    """
    return float(elementwise.sum_squares(x))


def scale(x: F4, factor: float, out: F4) -> None:
    """``out = x * float32(factor)``, one rounding; flat arrays, ``out`` may be ``x``."""
    elementwise.scale(x, np.float32(factor), out)


def clip_value(x: F4, limit: float, out: F4) -> None:
    """Every element clipped to [-limit, limit]; NaN stays. ``out`` may be ``x``."""
    elementwise.clip_value(x, np.float32(limit), out)


def add(a: F4, b: F4, out: F4) -> None:
    """``out = a + b``; flat arrays, ``out`` may be either."""
    elementwise.add(a, b, out)


def add_scaled(a: F4, factor: float, b: F4, out: F4) -> None:
    """``out = a + float32(factor) * b`` with two roundings (dense weight decay); ``out`` may be either."""
    elementwise.add_scaled(a, np.float32(factor), b, out)
