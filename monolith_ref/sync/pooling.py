"""Combining the vectors of a row, and the way back, for each kind of combiner. Rule: features 2."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from monolith_kernels.target import Target

from monolith_ref.errors import UnsupportedError
from monolith_ref.sync.plan import FeaturePlan

__all__ = ["Terms", "gradient_terms", "pool"]


class Terms(NamedTuple):
    """What an occurrence of row i adds to its id's gradient: ``gradient[i, column:]`` times ``scale[i]`` (empty: 1)."""

    gradient: Any
    column: int
    splits: Any
    scale: Any


def pool(
    target: Target, feature: FeaturePlan, dim: int, vectors: Any, offsets: Any, inverse: Any, splits: Any, x: Any
) -> None:
    """Write the feature's columns of ``x`` [rows, stride]; all arrays on the target."""
    kind = feature.combiner.name
    drivers = target.segment
    if kind == "reduce_sum":
        drivers.sum(vectors, offsets, inverse, splits, dim, x, feature.column, target.threads)
    elif kind == "reduce_mean":
        empty_nan = bool(getattr(feature.combiner, "empty_nan", False))
        drivers.mean(vectors, offsets, inverse, splits, dim, x, feature.column, empty_nan, target.threads)
    elif kind == "first_n":
        n = feature.combiner.max_seq_length
        out = target.empty((x.shape[0], n * dim), np.float32)
        drivers.first_n(vectors, offsets, inverse, splits, dim, n, out, 0)
        x[:, feature.column : feature.column + n * dim] = out
    else:
        raise UnsupportedError(f"combiner {kind!r} of feature {feature.name!r} has no distributed form")


def gradient_terms(target: Target, feature: FeaturePlan, dim: int, dx: Any, splits: Any) -> Terms:
    """The terms of the feature's occurrences, in occurrence order, given the gradient of x."""
    kind = feature.combiner.name
    drivers = target.segment
    nothing = target.empty(0, np.float32)
    if kind == "reduce_sum":
        return Terms(dx, feature.column, splits, nothing)
    if kind == "reduce_mean":
        scale = target.empty(dx.shape[0], np.float32)
        drivers.mean_scale(splits, scale)
        return Terms(dx, feature.column, splits, scale)
    if kind != "first_n":
        raise UnsupportedError(f"combiner {kind!r} of feature {feature.name!r} has no distributed form")
    host = target.to_host(splits)
    first, last = int(host[0]), int(host[-1])
    n = feature.combiner.max_seq_length
    part = target.asarray(np.ascontiguousarray(target.to_host(dx)[:, feature.column : feature.column + n * dim]))
    each = target.empty((last - first, dim), np.float32)
    drivers.first_n_gradient(part, 0, dim, n, splits, each.reshape(-1), dim)
    return Terms(each, 0, target.asarray(np.arange(first, last + 1, dtype=np.int64)), nothing)
