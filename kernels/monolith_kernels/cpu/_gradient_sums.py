"""Compiled loops of :mod:`monolith_kernels.cpu.segment`: sums of gradients over the occurrences of an id."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.arrays import F4, F8, I4, I8
from monolith_kernels.cpu._vectors import LANES, move_lanes
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put
from monolith_kernels.superaccumulator import add_term

__all__ = ["gradient_limbs", "gradient_sums", "gradient_sums_exact"]

_NEXT = 4
"""Slots among which the next one of the same owner is looked for."""


@kernel
def gradient_sums(
    grad: F4,
    stride: int,
    column: int,
    dim: int,
    splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    out: F4,
    first_new: int,
) -> int:
    """Occurrence order from +0.0: the first occurrence of a slot stores 0 + g, later ones add."""
    scaled = len(scale) > 0
    run = -(-dim // LANES) * LANES
    term = np.zeros(run, np.float32)
    safe = len(out) - run
    slots = len(targets)
    for i in range(len(splits) - 1):
        source = i * stride + column
        factor = scale[i] if scaled else np.float32(1.0)
        # +0.0 before anything else: the first term of a sum is stored as it is here, and no later sum can tell -0.0.
        if scaled:
            for c in range(dim):
                put(term, c, np.float32(0.0) + at(grad, source + c) * factor)
        else:
            for c in range(dim):
                put(term, c, np.float32(0.0) + at(grad, source + c))
        for j in range(splits[i], splits[i + 1]):
            slot: Any = np.int64(at(positions, j))
            target = at(targets, slot)
            if slot < first_new:
                for c in range(dim):
                    put(out, target + c, at(out, target + c) + at(term, c))
            else:
                first_new = slot + 1
                # Where the floats behind are a later slot's, whole vectors may run on into them. Of several owners the
                # same one has a slot nearby; which it is cannot be foreseen, so all are looked at.
                behind = target + dim
                follows = target <= safe and first_new + _NEXT <= slots
                if follows:
                    follows = at(targets, first_new) == behind
                    if run - dim == 1:
                        for later in range(1, _NEXT):
                            follows |= at(targets, first_new + later) == behind
                    elif run > dim:
                        # More than one float: the next slot's vector may be shorter, and another owner's behind it.
                        follows &= (run <= 2 * dim) & (at(targets, first_new + 1) == behind + dim)
                if follows:
                    for c in range(0, run, LANES):
                        move_lanes(out, target + c, term, c)
                else:
                    for c in range(dim):
                        put(out, target + c, at(term, c))
    return first_new


@kernel
def gradient_sums_exact(
    grad: F4,
    stride: int,
    column: int,
    dim: int,
    splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    out: F8,
    error: F8,
    first_new: int,
) -> int:
    """Float64 sums by TwoSum, with the size of what is rounded away; a NaN or an infinity makes the error NaN."""
    scaled = len(scale) > 0
    run = -(-dim // LANES) * LANES
    term = np.zeros(run, np.float64)
    clean = np.zeros(run, np.float64)  # the error of a first term: 0, or NaN where it is not finite
    safe = len(out) - run
    slots = len(targets)
    for i in range(len(splits) - 1):
        source = i * stride + column
        factor = scale[i] if scaled else np.float32(1.0)
        for c in range(dim):
            value = at(grad, source + c)
            v = 0.0 + (np.float64(value * factor) if scaled else np.float64(value))
            put(term, c, v)
            put(clean, c, v - v)
        for j in range(splits[i], splits[i + 1]):
            slot: Any = np.int64(at(positions, j))
            target = at(targets, slot)
            if slot >= first_new:
                first_new = slot + 1
                # Where the floats behind are a later slot's, whole vectors may run on into them. Of several owners the
                # same one has a slot nearby; which it is cannot be foreseen, so all are looked at.
                behind = target + dim
                follows = target <= safe and first_new + _NEXT <= slots
                if follows:
                    follows = at(targets, first_new) == behind
                    if run - dim == 1:
                        for later in range(1, _NEXT):
                            follows |= at(targets, first_new + later) == behind
                    elif run > dim:
                        # More than one float: the next slot's vector may be shorter, and another owner's behind it.
                        follows &= (run <= 2 * dim) & (at(targets, first_new + 1) == behind + dim)
                if follows:
                    for c in range(0, run, LANES):
                        move_lanes(out, target + c, term, c)
                        move_lanes(error, target + c, clean, c)
                else:
                    for c in range(dim):
                        put(out, target + c, at(term, c))
                        put(error, target + c, at(clean, c))
            else:
                for c in range(dim):
                    s = at(out, target + c)
                    v = at(term, c)
                    t = s + v
                    b = t - s
                    put(error, target + c, at(error, target + c) + abs((s - (t - b)) + (v - b)))
                    put(out, target + c, t)
    return first_new


@kernel
def gradient_limbs(
    grad: F4,
    stride: int,
    column: int,
    dim: int,
    splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    elements: I8,
    limbs: I8,
) -> None:
    """Add the terms of the listed elements of ``out`` (ascending) to exact accumulators."""
    scaled = len(scale) > 0
    for i in range(len(splits) - 1):
        source = i * stride + column
        factor = scale[i] if scaled else np.float32(1.0)
        for j in range(splits[i], splits[i + 1]):
            target = targets[positions[j]]
            e = np.searchsorted(elements, target)
            while e < len(elements) and elements[e] < target + dim:
                value = grad[source + elements[e] - target]
                add_term(limbs, e, np.float64(value * factor) if scaled else np.float64(value))
                e += 1
