"""Compiled loops that read and write table rows by number (flat rows, ``width`` floats apart)."""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cpu._index import _REGIONS, _SMALLEST_REGION, shift_of
from monolith_kernels.fetch import prefetch_read
from monolith_kernels.hashing import splitmix64
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = ["assign_add_rows", "assign_rows", "find_and_gather", "gather_rows"]

_AHEAD = 16
_LINE = 16
"""float32 per cache line."""
_BLOCK = 64
"""Ids probed before their rows are copied: the rows asked for stay in the first cache."""


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
    """Copy rows lo..hi of the list to ``out``; -1 gives +0.0."""
    for i in range(lo, hi):
        if i + _AHEAD < hi:
            ahead = np.int64(row_numbers[i + _AHEAD]) * width + column
            for line in range(0, dim, _LINE):
                prefetch_read(flat, ahead + line)
        row = np.int64(row_numbers[i])
        target = offset + i * stride
        if row >= 0:
            source = row * width + column
            for c in range(dim):
                put(out, target + c, at(flat, source + c))
        else:
            for c in range(dim):
                put(out, target + c, np.float32(0.0))


@kernel
def find_and_gather(
    keys: I8,
    rows: I4,
    ids: I8,
    out_rows: I4,
    flat: F4,
    width: int,
    column: int,
    dim: int,
    out: F4,
    offset: int,
    stride: int,
    lo: int,
    hi: int,
) -> int:
    """Probe a block of ids, asking for each row as its number is known; then copy the block. Returns ids found."""
    shift = shift_of(len(keys))
    wrap = len(keys) // max(1, min(_REGIONS, len(keys) // _SMALLEST_REGION)) - 1
    found = 0
    for start in range(lo, hi, _BLOCK):
        end = min(start + _BLOCK, hi)
        for i in range(start, end):
            if i + _AHEAD < hi:
                ahead = np.int64(splitmix64(ids[i + _AHEAD]) >> shift)
                prefetch_read(keys, ahead)
                prefetch_read(rows, ahead)
            key = ids[i]
            slot = np.int64(splitmix64(key) >> shift)
            row = rows[slot]
            while row >= 0 and keys[slot] != key:
                slot = (slot & ~wrap) | ((slot + 1) & wrap)
                row = rows[slot]
            out_rows[i] = row
            found += row >= 0
            first = np.int64(row) * width + column
            for line in range(0, dim, _LINE):
                prefetch_read(flat, first + line)
        for i in range(start, end):
            number = np.int64(out_rows[i])
            target = offset + i * stride
            if number >= 0:
                source = number * width + column
                for c in range(dim):
                    put(out, target + c, at(flat, source + c))
            else:
                for c in range(dim):
                    put(out, target + c, np.float32(0.0))
    return found


@kernel
def assign_rows(
    flat: F4, width: int, row_numbers: I4, column: int, dim: int, values: F4, offset: int, stride: int
) -> None:
    """Copy ``values`` into rows in order; -1 is skipped."""
    for i in range(len(row_numbers)):
        row = np.int64(row_numbers[i])
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
