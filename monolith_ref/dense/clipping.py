"""Gradient clipping as functions over lists of arrays. Rule: features 6.

Norms sum squares in float64 and are rounded once. Arrays are float32. Given ones are never changed;
they come back as the same objects where nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, DtypeError

__all__ = ["clip_by_global_norm", "clip_by_norm", "clip_by_value", "global_norm"]

F4 = NDArray[np.float32]
_LEAF = 8192
_LANES = 8


def _checked(tensors: Any) -> list[F4]:
    if not isinstance(tensors, (list, tuple)):
        raise DtypeError(f"a list of arrays is needed, got {type(tensors).__name__}")
    for number, tensor in enumerate(tensors):
        if not isinstance(tensor, np.ndarray) or tensor.dtype != np.float32:
            raise DtypeError(f"tensor {number} must be a float32 array")
    return list(tensors)


def _place(target: Target | str) -> Target:
    return make_target(target) if isinstance(target, str) else target


def global_norm(tensors: Sequence[F4], target: Target | str = "cpu") -> np.float32:
    """Root of the sum of all squares, in float64, rounded once (0 for an empty list)."""
    place = _place(target)
    total = 0.0
    for tensor in _checked(tensors):
        if tensor.size:
            total += place.dense.sum_squares(place.asarray(np.ascontiguousarray(tensor).reshape(-1)))
    with np.errstate(all="ignore"):
        return np.float32(np.sqrt(np.float64(total)))


def clip_by_global_norm(
    tensors: Sequence[F4],
    clip_norm: float,
    use_norm: np.float32 | float | None = None,
    *,
    check_finite: bool = False,
    target: Target | str = "cpu",
) -> tuple[list[F4], np.float32]:
    """(clipped tensors, norm): every element times clip_norm/norm where norm > clip_norm, else the inputs themselves.

    An infinite norm gives zeros (and NaN for infinite elements), a NaN norm the inputs, as in the original;
    ``check_finite`` raises ArgumentError for both instead.
    """
    arrays = _checked(tensors)
    if not arrays:
        return [], np.float32(0)
    place = _place(target)
    norm = global_norm(arrays, place) if use_norm is None else np.float32(use_norm)
    if check_finite and not np.isfinite(norm):
        raise ArgumentError(f"the global norm of the gradients is {norm}")
    limit = np.float32(clip_norm)
    if not norm > limit:
        return arrays, norm
    with np.errstate(all="ignore"):
        factor = limit / norm
    return [_scaled(array, factor, place) for array in arrays], norm


def _scaled(array: F4, factor: np.float32, place: Target) -> F4:
    out = place.empty(array.size, np.float32)
    if array.size:
        place.dense.scale(place.asarray(np.ascontiguousarray(array).reshape(-1)), float(factor), out)
    return np.array(place.to_host(out)).reshape(array.shape)


def clip_by_norm(tensor: F4, clip_norm: float) -> F4:
    """``(x*c) / max(norm, c)``, the norm in the order of TensorFlow's own reduction: this rule is TensorFlow's."""
    (array,) = _checked([tensor])
    limit = np.float32(clip_norm)
    with np.errstate(all="ignore"):
        norm = np.sqrt(_packet_sum(np.ascontiguousarray(array).reshape(-1) ** 2))
        return np.asarray((array * limit) / np.maximum(norm, limit), np.float32)


def _packet_sum(x: F4) -> np.float32:
    """A float32 sum in lanes of 8, halves of long arrays apart."""
    return _half_sum(x, 0, len(x))


def _half_sum(x: F4, start: int, end: int) -> np.float32:
    if end - start <= _LEAF:
        return _leaf_sum(x[start:end])
    middle = -(-(start + (end - start + 1) // 2) // _LANES) * _LANES
    return np.float32(_half_sum(x, start, middle) + _half_sum(x, middle, end))


def _leaf_sum(x: F4) -> np.float32:
    whole = len(x) // _LANES * _LANES
    tail = np.float32(0)
    for value in x[whole:]:
        tail = np.float32(tail + value)
    if not whole:
        return tail
    packets = x[:whole].reshape(-1, _LANES)
    blocks = len(packets) // 4 * 4
    if blocks:
        four = packets[:blocks].reshape(-1, 4, _LANES)
        parts = four[0].copy()
        for block in four[1:]:
            parts += block
        lanes = ((parts[0] + parts[1]) + parts[2]) + parts[3]
    else:
        lanes, blocks = packets[0].copy(), 1
    for packet in packets[blocks:]:
        lanes += packet
    pairs = lanes[:4] + lanes[4:]
    return np.float32(tail + ((pairs[0] + pairs[2]) + (pairs[1] + pairs[3])))


def clip_by_value(tensor: F4, limit: float, target: Target | str = "cpu") -> F4:
    """Every element clipped to [-limit, limit]; NaN stays."""
    (array,) = _checked([tensor])
    place = _place(target)
    out = place.empty(array.size, np.float32)
    if array.size:
        place.dense.clip_value(place.asarray(np.ascontiguousarray(array).reshape(-1)), float(limit), out)
    return np.array(place.to_host(out)).reshape(array.shape)
