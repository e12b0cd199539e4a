"""Compiled loops of :mod:`monolith_kernels.cpu.segment`: combiners and their gradients, rows ``lo`` to ``hi``."""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cpu._vectors import LANES, add_lanes, clear_lanes
from monolith_kernels.fetch import prefetch_near, prefetch_read
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, madd, put

__all__ = [
    "copy_gradient",
    "first_n",
    "first_n_gradient",
    "mean_scale",
    "scale_rows",
    "scaled_gradient",
    "sqrtn_gradient",
    "square_roots",
    "sum_of_rows",
    "sum_of_squares",
    "sum_of_vectors",
]

_AHEAD = 16
_FAR, _NEAR = 32, 6
"""How far ahead a table's row is asked for: into the second cache, then into the first."""
_LINE = 16
"""float32 per cache line."""


@kernel
def sum_of_vectors(
    flat: F4, offsets: I8, positions: I4, splits: I8, dim: int, out: F4, stride: int, column: int, lo: int, hi: int
) -> None:
    """Ordered sums from +0.0; a vector at offset -1 adds nothing."""
    last = splits[hi] - 1
    run = -(-dim // LANES) * LANES
    safe = len(flat) - run
    total = np.empty(run, np.float32)
    for i in range(lo, hi):
        for c in range(0, run, LANES):
            clear_lanes(total, c)
        for j in range(splits[i], splits[i + 1]):
            ahead = at(offsets, np.int64(at(positions, min(j + _AHEAD, last))))
            prefetch_near(flat, ahead)
            for line in range(_LINE, dim, _LINE):
                prefetch_near(flat, ahead + line)
            source = at(offsets, np.int64(at(positions, j)))
            if source < 0:
                continue
            # Whole vectors run on into the next id's floats, which are added to pads.
            if source <= safe:
                for c in range(0, run, LANES):
                    add_lanes(total, c, flat, source + c)
            else:
                for c in range(dim):
                    put(total, c, at(total, c) + at(flat, source + c))
        target = i * stride + column
        for c in range(dim):
            put(out, target + c, at(total, c))


@kernel
def sum_of_rows(
    flat: F4,
    width: int,
    row_numbers: I4,
    positions: I4,
    splits: I8,
    row_column: int,
    dim: int,
    out: F4,
    stride: int,
    column: int,
    lo: int,
    hi: int,
) -> None:
    """Ordered sums of table rows from +0.0; row -1 adds nothing.

    The line behind the floats is asked for too: of a pair of lines the second is free, and asking for one alone costs
    half as much again (docs/decisions/0001-hot-loops.md).
    """
    last = splits[hi] - 1
    run = -(-dim // LANES) * LANES
    behind = min(dim + _LINE, width - row_column)
    safe = len(flat) - run
    total = np.empty(run, np.float32)
    for i in range(lo, hi):
        for c in range(0, run, LANES):
            clear_lanes(total, c)
        for j in range(splits[i], splits[i + 1]):
            far = np.int64(at(row_numbers, np.int64(at(positions, min(j + _FAR, last))))) * width + row_column
            near = np.int64(at(row_numbers, np.int64(at(positions, min(j + _NEAR, last))))) * width + row_column
            prefetch_read(flat, far)
            prefetch_near(flat, near)
            for line in range(_LINE, behind, _LINE):
                prefetch_read(flat, far + line)
                prefetch_near(flat, near + line)
            row = np.int64(at(row_numbers, np.int64(at(positions, j))))
            if row < 0:
                continue
            source = row * width + row_column
            # Whole vectors run on into the floats beside the embedding, which are added to pads.
            if source <= safe:
                for c in range(0, run, LANES):
                    add_lanes(total, c, flat, source + c)
            else:
                for c in range(dim):
                    put(total, c, at(total, c) + at(flat, source + c))
        target = i * stride + column
        for c in range(dim):
            put(out, target + c, at(total, c))


@kernel
def sum_of_squares(
    profile: object,
    flat: F4,
    offsets: I8,
    positions: I4,
    splits: I8,
    dim: int,
    out: F4,
    stride: int,
    column: int,
    lo: int,
    hi: int,
) -> None:
    """Ordered sums of squares from +0.0, each added in the profile's way."""
    for i in range(lo, hi):
        target = i * stride + column
        for c in range(dim):
            put(out, target + c, np.float32(0.0))
        for j in range(splits[i], splits[i + 1]):
            source = offsets[positions[j]]
            if source >= 0:
                for c in range(dim):
                    value = at(flat, source + c)
                    put(out, target + c, madd(profile, value, value, at(out, target + c)))


@kernel
def square_roots(dim: int, out: F4, stride: int, column: int, lo: int, hi: int) -> None:
    """Square roots in place."""
    for i in range(lo, hi):
        target = i * stride + column
        for c in range(dim):
            put(out, target + c, np.sqrt(at(out, target + c)))


@kernel
def mean_scale(splits: I8, out: F4) -> None:
    """float32(1 / count), the quotient in float64."""
    for i in range(len(splits) - 1):
        out[i] = np.float32(1.0 / np.float64(np.float32(splits[i + 1] - splits[i])))


@kernel
def scale_rows(splits: I8, dim: int, out: F4, stride: int, column: int, empty_nan: bool, lo: int, hi: int) -> None:
    """Multiply every row by float32(1 / count); an empty row stays +0.0 unless ``empty_nan``."""
    for i in range(lo, hi):
        count = splits[i + 1] - splits[i]
        if count > 0 or empty_nan:
            factor = np.float32(1.0 / np.float64(np.float32(count)))
            target = i * stride + column
            for c in range(dim):
                put(out, target + c, at(out, target + c) * factor)


@kernel
def first_n(
    flat: F4, offsets: I8, positions: I4, splits: I8, dim: int, n: int, out: F4, stride: int, column: int
) -> None:
    """Position p of a row is +0.0 plus its p-th vector, +0.0 where there is none."""
    part = stride // max(n, 1)
    for i in range(len(splits) - 1):
        count = splits[i + 1] - splits[i]
        for p in range(n):
            target = i * stride + p * part + column
            source = offsets[positions[splits[i] + p]] if p < count else np.int64(-1)
            if source >= 0:
                for c in range(dim):
                    put(out, target + c, np.float32(0.0) + at(flat, source + c))
            else:
                for c in range(dim):
                    put(out, target + c, np.float32(0.0))


@kernel
def copy_gradient(grad: F4, stride: int, column: int, dim: int, splits: I8, out: F4, out_stride: int) -> None:
    """Every occurrence gets the gradient of its row, bits copied."""
    for i in range(len(splits) - 1):
        source = i * stride + column
        for j in range(splits[i], splits[i + 1]):
            target = (j - splits[0]) * out_stride
            for c in range(dim):
                put(out, target + c, at(grad, source + c))


@kernel
def scaled_gradient(grad: F4, stride: int, column: int, dim: int, splits: I8, out: F4, out_stride: int) -> None:
    """Every occurrence gets the gradient of its row times float32(1 / count)."""
    for i in range(len(splits) - 1):
        factor = np.float32(1.0 / np.float64(np.float32(splits[i + 1] - splits[i])))
        source = i * stride + column
        for j in range(splits[i], splits[i + 1]):
            target = (j - splits[0]) * out_stride
            for c in range(dim):
                put(out, target + c, at(grad, source + c) * factor)


@kernel
def sqrtn_gradient(
    grad: F4,
    stride: int,
    column: int,
    dim: int,
    splits: I8,
    flat: F4,
    offsets: I8,
    positions: I4,
    pooled: F4,
    out: F4,
    out_stride: int,
) -> None:
    """Every occurrence gets g * (e / s), or g * 0 where s is 0."""
    for i in range(len(splits) - 1):
        row = i * stride + column
        for j in range(splits[i], splits[i + 1]):
            source = offsets[positions[j]]
            target = (j - splits[0]) * out_stride
            for c in range(dim):
                value = at(flat, source + c) if source >= 0 else np.float32(0.0)
                s = at(pooled, row + c)
                ratio = value / s
                factor = np.float32(0.0) if s == np.float32(0.0) else ratio
                put(out, target + c, at(grad, row + c) * factor)


@kernel
def first_n_gradient(
    grad: F4, stride: int, column: int, dim: int, n: int, splits: I8, out: F4, out_stride: int
) -> None:
    """Occurrence p < n of a row gets the gradient of position p, later ones +0.0."""
    part = stride // max(n, 1)
    for i in range(len(splits) - 1):
        for j in range(splits[i], splits[i + 1]):
            p = j - splits[i]
            target = (j - splits[0]) * out_stride
            source = i * stride + p * part + column
            if p < n:
                for c in range(dim):
                    put(out, target + c, at(grad, source + c))
            else:
                for c in range(dim):
                    put(out, target + c, np.float32(0.0))
