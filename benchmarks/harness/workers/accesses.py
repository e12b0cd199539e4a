"""Loops that access memory as a job must, asked for early, and do nothing else: what others are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_kernels.fetch import prefetch_read
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, prefetch, put

__all__ = ["AHEAD", "LINE", "read_pairs", "read_rows", "stream", "stream_copy", "touch_rows"]

AHEAD = 32
"""Rows between asking and using."""
LINE = 16
"""Floats of a cache line."""


@kernel
def touch_rows(flat: Any, numbers: Any, width: int, grads: Any, dim: int) -> None:
    """Read gradients, read and write the rows they belong to: w += g, n += g."""
    for k in range(len(numbers)):
        if k + AHEAD < len(numbers):
            ahead = np.int64(numbers[k + AHEAD]) * width
            for line in range(0, width, LINE):
                prefetch(flat, ahead + line)
        row = np.int64(numbers[k]) * width
        for c in range(dim):
            g = at(grads, k * dim + c)
            put(flat, row + c, at(flat, row + c) + g)
            put(flat, row + dim + c, at(flat, row + dim + c) + g)


@kernel
def read_rows(flat: Any, numbers: Any, width: int, dim: int) -> Any:
    """Read one float of each cache line of ``dim`` floats of these rows."""
    total = np.float32(0.0)
    for k in range(len(numbers)):
        if k + AHEAD < len(numbers):
            ahead = np.int64(numbers[k + AHEAD]) * width
            for line in range(0, dim, LINE):
                prefetch(flat, ahead + line)
        row = np.int64(numbers[k]) * width
        for line in range(0, dim, LINE):
            total = max(total, at(flat, row + line))
    return total


@kernel
def read_pairs(flat: Any, numbers: Any, width: int) -> Any:
    """Read the first float of these rows, asking for the pair of lines that it is in."""
    total = np.float32(0.0)
    for k in range(len(numbers)):
        ahead = np.int64(numbers[min(k + AHEAD, len(numbers) - 1)]) * width
        prefetch_read(flat, ahead)
        prefetch_read(flat, ahead ^ LINE)
        total = max(total, at(flat, np.int64(numbers[k]) * width))
    return total


@kernel
def stream(flat: Any) -> Any:
    """Read everything in order."""
    total = np.float32(0.0)
    for k in range(len(flat)):
        total += at(flat, k)
    return total


@kernel
def stream_copy(source: Any, out: Any) -> None:
    """Copy everything in order."""
    for k in range(len(source)):
        put(out, k, at(source, k))
