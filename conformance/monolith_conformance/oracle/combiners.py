"""Combiners, naively: one id after the other, in order. Rule: features 2."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

__all__ = ["COMBINERS", "combine", "combine_gradient"]

COMBINERS = ("reduce_sum", "reduce_mean", "reduce_sqrtn", "first_n")


def combine(
    kind: str, splits: Array, e: Array, n: int = 0, *, profile: str = "ieee", quirks: Collection[str] = ()
) -> Array:
    """Embeddings e [ids, d] pooled by rows; [B, d], or [B, n, d] for first_n."""
    rows, dim = len(splits) - 1, e.shape[1]
    if kind == "first_n":
        out = np.zeros((rows, n, dim), F)
        for i in range(rows):
            kept = e[splits[i] : splits[i + 1]][:n]
            out[i, : len(kept)] = F(0) + kept
        return out
    out = np.zeros((rows, dim), F)
    with np.errstate(all="ignore"):
        for i in range(rows):
            for j in range(splits[i], splits[i + 1]):
                out[i] = madd(profile, e[j], e[j], out[i]) if kind == "reduce_sqrtn" else out[i] + e[j]
            if kind == "reduce_mean":
                out[i] = out[i] * _mean_factor(int(splits[i + 1] - splits[i]), quirks)
        return np.sqrt(out) if kind == "reduce_sqrtn" else out


def _mean_factor(count: int, quirks: Collection[str]) -> np.float32:
    if count == 0:
        return F(np.inf) if "reduce_mean_empty_nan" in quirks else F(0)
    return F(1.0 / float(F(count)))


def combine_gradient(
    kind: str, splits: Array, e: Array, upstream: Array, n: int = 0, *, profile: str = "ieee"
) -> Array:
    """Gradient of every embedding, [ids, d]; ``upstream`` has the shape of the pooled rows."""
    out = np.zeros(e.shape, F)
    norms = combine(kind, splits, e, profile=profile) if kind == "reduce_sqrtn" else None
    with np.errstate(all="ignore"):
        for i in range(len(splits) - 1):
            for p, j in enumerate(range(splits[i], splits[i + 1])):
                if kind == "reduce_sum":
                    out[j] = upstream[i]
                elif kind == "reduce_mean":
                    out[j] = upstream[i] * _mean_factor(int(splits[i + 1] - splits[i]), ())
                elif kind == "first_n":
                    out[j] = upstream[i, p] if p < n else F(0)
                else:
                    assert norms is not None
                    factor = np.where(norms[i] == 0, F(0), e[j] / norms[i])
                    out[j] = upstream[i] * factor
    return out
