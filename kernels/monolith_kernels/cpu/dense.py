"""Dense layers with a fixed order of every sum. Rules: features 6 and 7, sync_training 6.2.

Matrices are C-contiguous float32. A driver works on every column an output has, so outputs (and weights and biases) may
be padded: padding a width to a multiple of 16 is faster; pads stay zero where the inputs' pads are zero. The inner
dimension is always the weights' own, so that pads of an input are never read. Each sum starts at +0.0 and runs in
ascending index order with one rounding per product and per addition.
"""

from __future__ import annotations

from monolith_kernels.arrays import F4, F8, I8

__all__ = [
    "add",
    "add_scaled",
    "affine",
    "bias_gradient",
    "bias_gradient_exact",
    "bias_gradient_limbs",
    "clip_value",
    "input_gradient",
    "matmul",
    "rank_sum",
    "relu",
    "relu_gradient",
    "scale",
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
    raise NotImplementedError


def affine(x: F4, w: F4, b: F4, out: F4, relu: bool = False, threads: int = 1) -> None:
    """:func:`matmul`, then the bias (float32[O]) added last, then relu if asked for."""
    raise NotImplementedError


def relu(z: F4, out: F4) -> None:
    """``max(z, 0)`` elementwise over flat arrays: -0.0 and NaN stay as they are. ``out`` may be ``z``."""
    raise NotImplementedError


def relu_gradient(g: F4, h: F4, out: F4) -> None:
    """``g`` where ``h > 0``, else +0.0 (also for NaN); flat arrays of one size. ``out`` may be ``g``."""
    raise NotImplementedError


def transpose(w: F4, out: F4) -> None:
    """``out[o, k] = w[k, o]`` for the part both have: w [K, O], out [>= O, >= K] or smaller (the overlap is written)."""
    raise NotImplementedError


def input_gradient(g: F4, w: F4, out: F4, transposed: F4, threads: int = 1) -> None:
    """``out[i, k] = sum over o ascending of g[i, o] * w[k, o]``; g [B, >= O], out [B, >= K].

    ``transposed`` float32[O, out.shape[1]] is scratch and is overwritten; O is its number of rows, so that padded
    columns of ``w`` are not summed.
    """
    raise NotImplementedError


def weight_gradient(x: F4, g: F4, out: F4, threads: int = 1) -> None:
    """``out[k, o] = sum over rows i ascending of x[i, k] * g[i, o]``; x [B, >= K], g [B, O], out [K, O]."""
    raise NotImplementedError


def bias_gradient(g: F4, out: F4) -> None:
    """``out[o] = sum over rows i ascending of g[i, o]``; g [B, O], out float32[O]."""
    raise NotImplementedError


def weight_gradient_exact(x: F4, g: F4, out: F8, error: F8, threads: int = 1) -> None:
    """Sums of the *rounded* products of :func:`weight_gradient` in float64: ``out`` float64[K, O] and what was rounded away.

    ``error`` is +0.0 exactly where ``out`` is the real sum; other elements need :func:`weight_gradient_limbs`.
    """
    raise NotImplementedError


def weight_gradient_limbs(x: F4, g: F4, elements: I8, limbs: I8) -> None:
    """Add all terms of some elements of a weight gradient to exact accumulators.

    ``elements`` int64[e]: flat numbers ``k * O + o``; ``limbs`` int64[e, 11], see ``monolith_kernels.reduction``.
    """
    raise NotImplementedError


def bias_gradient_exact(g: F4, out: F8, error: F8) -> None:
    """:func:`bias_gradient` in float64 with what was rounded away, both float64[O]."""
    raise NotImplementedError


def bias_gradient_limbs(g: F4, elements: I8, limbs: I8) -> None:
    """Add all terms of some columns of a bias gradient to exact accumulators (``elements`` int64[e], ``limbs`` int64[e, 11])."""
    raise NotImplementedError


def squared_error(p: F4, y: F4, divisor: float, d: F4) -> float:
    """Aligned squared error: ``d[i] = ((p[i] - y[i]) * 2) / divisor``, result the ordered float32 sum of ``(p - y)^2``.

    p, y, d float32[B]; the loss is the result divided by the divisor (in float32), left to the caller because ranks'
    losses are added before. ``divisor`` is rounded to float32.
    """
    raise NotImplementedError


def squared_error_terms(p: F4, y: F4, divisor: float, d: F4, terms: F4) -> None:
    """As :func:`squared_error` with the squares left unsummed in ``terms`` float32[B] (for ``reduction.exact_sum``)."""
    raise NotImplementedError


def squared_error_broadcast(p: F4, y: F4, d: F4) -> float:
    """The published test's loss, where predictions [B, 1] meet labels [B]: the mean over all B * B pairs.

    ``loss = (sum_i ((sum_j (y_j - p_i)^2) / B)) / B``; ``d[i]`` = minus the ordered sum over j of
    ``(2 * ((1 / B) / B)) * (y_j - p_i)``. Returns the loss.
    """
    raise NotImplementedError


def rank_sum(parts: F4, divisor: float, out: F4) -> None:
    """``out[m] = (((+0 + parts[0, m]) + parts[1, m]) + ...) / divisor``: ranks in order, per element.

    parts float32[N, M]; the division (one rounding, float32) is left out where ``divisor`` is 0.
    """
    raise NotImplementedError


def sum_squares(x: F4) -> float:
    """Sum of squares of a flat array in float64, ascending: add those of all tensors, ``sqrt``, round once: the global norm."""
    raise NotImplementedError


def scale(x: F4, factor: float, out: F4) -> None:
    """``out = x * float32(factor)``, one rounding; flat arrays, ``out`` may be ``x``."""
    raise NotImplementedError


def clip_value(x: F4, limit: float, out: F4) -> None:
    """Every element clipped to [-limit, limit]; NaN stays. ``out`` may be ``x``."""
    raise NotImplementedError


def add(a: F4, b: F4, out: F4) -> None:
    """``out = a + b``; flat arrays, ``out`` may be either."""
    raise NotImplementedError


def add_scaled(a: F4, factor: float, b: F4, out: F4) -> None:
    """``out = a + float32(factor) * b`` with two roundings (dense weight decay); ``out`` may be either."""
    raise NotImplementedError
