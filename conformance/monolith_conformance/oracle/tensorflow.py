"""TensorFlow's own reductions and Adagrad on the CPU, in the order that was measured. Rule: features 5, 6, 7.

``version`` is ``"2.21"`` (no contraction) or ``"2.4"`` (a*b + c is fused).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

__all__ = ["adagrad_dense", "adagrad_sparse", "global_norm", "l2_loss", "reduce_mean", "reduce_sum", "segment_sum"]

_LANES = 8
_LEAF = 8192


def _lanes(packets: Array, accumulators: int) -> Array:
    """Packets [k, 8] into alternating accumulators, those added left to right, left-over packets after that."""
    k = len(packets)
    if k < accumulators:
        accumulators = 1
    whole = k // accumulators * accumulators
    sums = [packets[a].copy() for a in range(accumulators)]
    for number in range(accumulators, whole):
        sums[number % accumulators] += packets[number]
    total: Array = sums[0]
    if accumulators == 2 and whole < k:  # 2.4: a left-over packet joins the first accumulator before they meet
        total += packets[-1]
        whole = k
    for other in sums[1:]:
        total += other
    for packet in packets[whole:]:
        total += packet
    return total


def _leaf(x: Array, version: str) -> Any:
    whole = len(x) // _LANES * _LANES
    tail = F(0)
    for value in x[whole:]:
        tail = tail + value
    if whole == 0:
        return tail
    lanes = _lanes(x[:whole].reshape(-1, _LANES), 4 if version == "2.21" else 2)
    four = lanes[:4] + lanes[4:]
    return tail + ((four[0] + four[2]) + (four[1] + four[3]))


def _tree(x: Array, start: int, end: int, version: str) -> Any:
    n = end - start
    if n <= _LEAF:
        return _leaf(x[start:end], version)
    middle = -(-(start + -(-n // 2)) // _LANES) * _LANES
    return _tree(x, start, middle, version) + _tree(x, middle, end, version)


def reduce_sum(x: Array, version: str = "2.21") -> Any:
    """Sum of all elements of a flat float32 array."""
    with np.errstate(all="ignore"):
        return F(_tree(x, 0, len(x), version))


def reduce_mean(x: Array, version: str = "2.21") -> Any:
    """Mean of all elements."""
    with np.errstate(all="ignore"):
        return reduce_sum(x, version) / F(len(x))


def l2_loss(x: Array, version: str = "2.21") -> Any:
    """Half the sum of squares."""
    with np.errstate(all="ignore"):
        return reduce_sum((x * x) * F(0.5), version)


def global_norm(tensors: Sequence[Array], version: str = "2.21") -> Any:
    """Norm of several tensors."""
    with np.errstate(all="ignore"):
        halves = np.array([l2_loss(t.reshape(-1), version) for t in tensors], F)
        return np.sqrt(reduce_sum(halves, version) * F(2))


def segment_sum(values: Array, ids: Sequence[int], version: str = "2.21") -> Array:
    """Sums of rows of equal, ascending ids; rows = last id + 1. A row of one entry is a copy."""
    segments = np.asarray(ids)
    out = np.zeros((int(segments[-1]) + 1 if len(segments) else 0, values.shape[1]), F)
    with np.errstate(all="ignore"):
        for row in range(len(out)):
            entries = values[segments == row]
            if len(entries):
                out[row] = _segment(entries, version)
    return out


def _segment(entries: Array, version: str) -> Array:
    m, d = entries.shape
    total: Array = entries[0].copy()
    for entry in entries[1:]:
        total += entry
    if version == "2.21" and m >= 16:
        packets, whole = d // _LANES * _LANES, m // 4 * 4
        sums = entries[:4, :packets].copy()
        for j in range(4, whole):
            sums[j % 4] += entries[j, :packets]
        joined = ((sums[0] + sums[1]) + sums[2]) + sums[3]
        for entry in entries[whole:, :packets]:
            joined = joined + entry
        total[:packets] = joined
    return total


def adagrad_dense(
    var: Array, accumulator: Array, grad: Array, lr: np.float32, version: str = "2.21", root_ulps: int = 0
) -> tuple[Array, Array]:
    """(var, accumulator) after a step of tf.compat.v1.train.AdagradOptimizer on a dense variable.

    ``root_ulps`` moves the reciprocal root: whole packets of 8 go through an approximation of it, up to 2 ulp off.
    """
    profile = "avx" if version == "2.4" else "ieee"
    with np.errstate(all="ignore"):
        a = madd(profile, grad, grad, accumulator)
        root = ((F(1) / np.sqrt(a)).view(np.int32) + np.int32(root_ulps)).view(F)
        return madd(profile, -(grad * lr), root, var), a


def adagrad_sparse(
    var: Array, accumulator: Array, indices: Sequence[int], grad: Array, lr: np.float32, version: str = "2.21"
) -> tuple[Array, Array]:
    """The same on rows of a variable [n, d]: equal indices are summed first, in order of first occurrence."""
    profile = "avx" if version == "2.4" else "ieee"
    sums: dict[int, Array] = {}
    var, accumulator = var.copy(), accumulator.copy()
    with np.errstate(all="ignore"):
        for index, g in zip(indices, grad, strict=True):
            sums[index] = sums.get(index, np.zeros_like(g)) + g
        for index, g in sums.items():
            a = madd(profile, g, g, accumulator[index])
            accumulator[index] = a
            if var.shape[1] == 1:
                var[index] = var[index] - (lr * g) / np.sqrt(a)
            else:
                var[index] = madd(profile, -(lr * g), F(1) / np.sqrt(a), var[index])
    return var, accumulator
