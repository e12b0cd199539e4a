"""Compiled loops that read and write table rows by number (flat rows, ``width`` floats apart)."""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, I4
from monolith_kernels.cpu._vectors import LANES, move_lanes_if
from monolith_kernels.fetch import prefetch_near, prefetch_read
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = ["assign_add_rows", "assign_rows", "gather_rows"]

_AHEAD = 32
_NEAR = 8
_LINE = 16
"""float32 per cache line."""


@kernel
def gather_rows(
    flat: F4,
    width: int,
    row_numbers: I4,
    column: int,
    dim: int,
    out: F4,
    offset: int,
    stride: int,
    lo: int,
    hi: int,
) -> None:
    """Copy rows lo..hi of the list to ``out``; -1 gives +0.0.

    The line behind the floats is fetched too: of a pair of lines the second one is free, and updates will want it.
    """
    behind = min(dim + _LINE, width - column)
    run = -(-dim // LANES) * LANES
    # Whole vectors may run on into the place of the next row, which is written later, and into the pads of their own.
    vectors = column + run <= min(width, len(flat)) and (stride == dim or run == dim) and run <= 2 * dim
    for i in range(lo, hi):
        ahead = np.int64(at(row_numbers, min(i + _AHEAD, hi - 1))) * width + column
        near = np.int64(at(row_numbers, min(i + _NEAR, hi - 1))) * width + column
        prefetch_read(flat, ahead)
        if behind > _LINE:
            prefetch_read(flat, ahead + _LINE)
            prefetch_near(flat, near + _LINE)
        for line in range(2 * _LINE, behind, _LINE):
            prefetch_read(flat, ahead + line)
            prefetch_near(flat, near + line)
        row = at(row_numbers, i)
        keep = ~(row >> 31)
        target = offset + i * stride
        source = np.int64(row & keep) * width + column
        if vectors and (i + 1 < hi or run == dim):
            for c in range(0, run, LANES):
                move_lanes_if(out, target + c, flat, source + c, keep)
        elif row >= 0:
            for c in range(dim):
                put(out, target + c, at(flat, source + c))
        else:
            for c in range(dim):
                put(out, target + c, np.float32(0.0))


@kernel
def assign_rows(
    flat: F4,
    width: int,
    row_numbers: I4,
    column: int,
    dim: int,
    values: F4,
    offset: int,
    stride: int,
    lo: int,
    hi: int,
) -> None:
    """Copy values lo..hi into rows in order; -1 is skipped."""
    for i in range(lo, hi):
        prefetch_near(flat, np.int64(at(row_numbers, min(i + _AHEAD, hi - 1))) * width + column)
        row = np.int64(at(row_numbers, i))
        if row >= 0:
            for c in range(dim):
                put(flat, row * width + column + c, at(values, offset + i * stride + c))


@kernel
def assign_add_rows(
    flat: F4, width: int, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int
) -> None:
    """Add ``values`` to rows in order; -1 is skipped."""
    for i in range(len(row_numbers)):
        row = np.int64(row_numbers[i])
        if row >= 0:
            target = row * width + column
            for c in range(dim):
                put(flat, target + c, at(flat, target + c) + at(values, offset + i * stride + c))
