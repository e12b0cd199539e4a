"""Compiled loops of fixed-order matrix products. Two rows and four inner steps at a time, each sum in its own order."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.arrays import F4, F8, I8
from monolith_kernels.jit import kernel
from monolith_kernels.prim import shared
from monolith_kernels.superaccumulator import add_term, double_bits

__all__ = [
    "finish_rows",
    "products",
    "transpose",
    "weight_gradient",
    "weight_gradient_exact",
    "weight_gradient_limbs",
]

_BLOCK = 32
"""Inner rows whose sums stay in the first cache while all batch rows pass."""


@kernel
def products(x: F4, w: F4, inner: int, out: F4, lo: int, hi: int) -> None:
    """Rows lo..hi of ``out[i, o] = sum over k < inner ascending of x[i, k] * w[k, o]``, from +0.0."""
    width = out.shape[1]
    four = inner - inner % 4
    i = lo
    while i < hi:
        pair = i + 1 < hi
        o = out[i]
        q = out[i + 1] if pair else out[i]
        xi = x[i]
        yi = x[i + 1] if pair else x[i]
        for c in range(width):
            o[c] = np.float32(0.0)
        for c in range(width):
            q[c] = np.float32(0.0)
        for k in range(0, four, 4):
            w0 = w[k]
            w1 = w[k + 1]
            w2 = w[k + 2]
            w3 = w[k + 3]
            x0 = xi[k]
            x1 = xi[k + 1]
            x2 = xi[k + 2]
            x3 = xi[k + 3]
            if pair:
                y0 = yi[k]
                y1 = yi[k + 1]
                y2 = yi[k + 2]
                y3 = yi[k + 3]
                for c in range(width):
                    s = (((o[c] + x0 * w0[c]) + x1 * w1[c]) + x2 * w2[c]) + x3 * w3[c]
                    t = (((q[c] + y0 * w0[c]) + y1 * w1[c]) + y2 * w2[c]) + y3 * w3[c]
                    o[c] = s
                    q[c] = t
            else:
                for c in range(width):
                    o[c] = (((o[c] + x0 * w0[c]) + x1 * w1[c]) + x2 * w2[c]) + x3 * w3[c]
        for k in range(four, inner):
            wk = w[k]
            xk = xi[k]
            for c in range(width):
                o[c] = o[c] + xk * wk[c]
            if pair:
                yk = yi[k]
                for c in range(width):
                    q[c] = q[c] + yk * wk[c]
        i += 2


@kernel
def finish_rows(b: F4, relu: bool, out: F4, lo: int, hi: int) -> None:
    """Add the bias to rows lo..hi, then relu if asked for (which keeps -0.0 and NaN)."""
    for i in range(lo, hi):
        row = out[i]
        if relu:
            for c in range(len(b)):
                z = row[c] + b[c]
                row[c] = np.float32(0.0) if z < np.float32(0.0) else z
        else:
            for c in range(len(b)):
                row[c] = row[c] + b[c]


@kernel
def transpose(w: F4, out: F4) -> None:
    """``out[o, k] = w[k, o]`` in the part both have, +0.0 in the rest; blocks of 16 by 16."""
    rows = min(w.shape[0], out.shape[1])
    columns = min(w.shape[1], out.shape[0])
    if rows < out.shape[1] or columns < out.shape[0]:
        for o in range(out.shape[0]):
            for k in range(out.shape[1]):
                out[o, k] = np.float32(0.0)
    for k0 in range(0, rows, 16):
        for o0 in range(0, columns, 16):
            for k in range(k0, min(k0 + 16, rows)):
                for o in range(o0, min(o0 + 16, columns)):
                    out[o, k] = w[k, o]


@kernel
def weight_gradient(x: F4, g: F4, out: F4, lo: int, hi: int) -> None:
    """Inner rows lo..hi of ``out[k, o] = sum over i ascending of x[i, k] * g[i, o]``.

    Four batch rows and two k at a time.
    """
    batch, width = g.shape
    four = batch - batch % 4
    for k0 in range(lo, hi, _BLOCK):
        k1 = min(k0 + _BLOCK, hi)
        for k in range(k0, k1):
            row = out[k]
            for c in range(width):
                row[c] = np.float32(0.0)
        for i in range(0, four, 4):
            g0 = g[i]
            g1 = g[i + 1]
            g2 = g[i + 2]
            g3 = g[i + 3]
            k = k0
            while k + 1 < k1:
                o = out[k]
                q = out[k + 1]
                x0 = x[i, k]
                x1 = x[i + 1, k]
                x2 = x[i + 2, k]
                x3 = x[i + 3, k]
                y0 = x[i, k + 1]
                y1 = x[i + 1, k + 1]
                y2 = x[i + 2, k + 1]
                y3 = x[i + 3, k + 1]
                for c in range(width):
                    s = (((o[c] + x0 * g0[c]) + x1 * g1[c]) + x2 * g2[c]) + x3 * g3[c]
                    t = (((q[c] + y0 * g0[c]) + y1 * g1[c]) + y2 * g2[c]) + y3 * g3[c]
                    o[c] = s
                    q[c] = t
                k += 2
            if k < k1:
                o = out[k]
                x0 = x[i, k]
                x1 = x[i + 1, k]
                x2 = x[i + 2, k]
                x3 = x[i + 3, k]
                for c in range(width):
                    o[c] = (((o[c] + x0 * g0[c]) + x1 * g1[c]) + x2 * g2[c]) + x3 * g3[c]
        for i in range(four, batch):
            gi = g[i]
            for k in range(k0, k1):
                o = out[k]
                xk = x[i, k]
                for c in range(width):
                    o[c] = o[c] + xk * gi[c]


@shared
def lost(s: Any, v: Any, t: Any) -> Any:
    """Bits that are 0 but for the top one exactly where t, the rounded s + v, is the real sum.

    The difference between t and the larger term is exact, so it is the other term only where nothing was rounded away.
    Which one is larger is not asked: the other difference is then the larger term too. Fewer additions than TwoSum.
    """
    return (double_bits(t - s) ^ double_bits(v)) | (double_bits(t - v) ^ double_bits(s))


@kernel
def weight_gradient_exact(x: F4, g: F4, out: F8, error: F8, lo: int, hi: int) -> None:
    """Float64 sums of the rounded products; ``error`` counts where one was not exact. Four batch rows at a time."""
    batch, width = g.shape
    four = batch - batch % 4
    for k0 in range(lo, hi, _BLOCK):
        k1 = min(k0 + _BLOCK, hi)
        for k in range(k0, k1):
            row = out[k]
            wrong = error[k]
            for c in range(width):
                row[c] = 0.0
            for c in range(width):
                wrong[c] = 0.0
        for i in range(0, four, 4):
            g0 = g[i]
            g1 = g[i + 1]
            g2 = g[i + 2]
            g3 = g[i + 3]
            for k in range(k0, k1):
                row = out[k]
                wrong = error[k]
                x0 = x[i, k]
                x1 = x[i + 1, k]
                x2 = x[i + 2, k]
                x3 = x[i + 3, k]
                for c in range(width):
                    v0 = np.float64(x0 * g0[c])
                    v1 = np.float64(x1 * g1[c])
                    v2 = np.float64(x2 * g2[c])
                    v3 = np.float64(x3 * g3[c])
                    s0 = row[c] + v0
                    s1 = s0 + v1
                    s2 = s1 + v2
                    s3 = s2 + v3
                    gone = (lost(row[c], v0, s0) | lost(s0, v1, s1)) | (lost(s1, v2, s2) | lost(s2, v3, s3))
                    wrong[c] = wrong[c] + (1.0 if gone << 1 != 0 else 0.0)
                    row[c] = s3
        for i in range(four, batch):
            gi = g[i]
            for k in range(k0, k1):
                row = out[k]
                wrong = error[k]
                xk = x[i, k]
                for c in range(width):
                    v = np.float64(xk * gi[c])
                    t = row[c] + v
                    wrong[c] = wrong[c] + (1.0 if lost(row[c], v, t) << 1 != 0 else 0.0)
                    row[c] = t


@kernel
def weight_gradient_limbs(x: F4, g: F4, elements: I8, limbs: I8) -> None:
    """Add the rounded products of the listed elements to exact accumulators."""
    width = g.shape[1]
    for e in range(len(elements)):
        k = elements[e] // width
        c = elements[e] % width
        for i in range(len(g)):
            add_term(limbs, e, np.float64(x[i, k] * g[i, c]))
