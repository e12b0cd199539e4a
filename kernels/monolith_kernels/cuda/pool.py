"""Pooling of slices into layouts on CUDA. Twin of :mod:`monolith_kernels.cpu.pool`, whose table of arguments holds.

Forward: one thread per element of a batch row. Gradients meet in shared rows and their order is specified, so there one
thread per column of the slice walks all batch rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from monolith_kernels.arrays import F4, I8, U1
from monolith_kernels.cpu.pool import ADD_EACH, ADD_POOLED, COPY
from monolith_kernels.cuda.launch import cuda_kernel, on_device
from monolith_kernels.prim import at, put, shared

__all__ = ["ADD_EACH", "ADD_POOLED", "COPY", "first_n", "first_n_gradient", "reduce", "reduce_gradient"]


@cuda_kernel
def _reduce(
    flat: F4, offsets: I8, starts: I8, ends: I8, start: Any, dim: Any, mean: Any, into: Any, out: F4, stride: Any,
    column: Any,
) -> None:  # fmt: skip
    item = cuda.grid(1)
    b = item // dim
    i = item % dim
    if b >= len(starts) or starts[b] == ends[b]:
        return
    count = np.float32(ends[b] - starts[b])
    target = b * stride + column + i
    total = np.float32(0)
    for j in range(starts[b], ends[b]):
        x = at(flat, offsets[j] + start + i)
        term = x / count if mean else x
        if into == ADD_EACH:
            put(out, target, at(out, target) + term)
        else:
            total = term if j == starts[b] else total + term
    if into == COPY:
        put(out, target, total)
    elif into == ADD_POOLED:
        put(out, target, at(out, target) + total)


@cuda_kernel
def _first_n(
    flat: F4,
    offsets: I8,
    starts: I8,
    ends: I8,
    start: Any,
    dim: Any,
    n: Any,
    out: F4,
    stride: Any,
    column: Any,
    step: Any,
) -> None:
    item = cuda.grid(1)
    b = item // dim
    i = item % dim
    if b >= len(starts):
        return
    for p in range(min(n, ends[b] - starts[b])):
        put(out, b * stride + column + p * step + i, at(flat, offsets[starts[b] + p] + start + i))


@shared
def _contribute(buffer: F4, touched: U1, element: Any, value: Any) -> None:
    if len(touched) > 0 and touched[element] == 0:
        put(buffer, element, value)
        put(touched, element, np.uint8(1))
    else:
        put(buffer, element, at(buffer, element) + value)


@cuda_kernel
def _reduce_gradient(
    grad: F4, stride: Any, column: Any, dim: Any, mean: Any, offsets: I8, starts: I8, ends: I8, start: Any, buffer: F4,
    touched: U1,
) -> None:  # fmt: skip
    i = cuda.grid(1)
    if i >= dim:
        return
    for b in range(len(starts)):
        count = np.float32(ends[b] - starts[b])
        g = at(grad, b * stride + column + i)
        for j in range(starts[b], ends[b]):
            _contribute(buffer, touched, offsets[j] + start + i, g / count if mean else g)


@cuda_kernel
def _first_n_gradient(
    grad: F4, stride: Any, column: Any, step: Any, dim: Any, n: Any, offsets: I8, starts: I8, ends: I8, start: Any,
    buffer: F4, touched: U1,
) -> None:  # fmt: skip
    i = cuda.grid(1)
    if i >= dim:
        return
    for b in range(len(starts)):
        for p in range(min(n, ends[b] - starts[b])):
            g = at(grad, b * stride + column + p * step + i)
            _contribute(buffer, touched, offsets[starts[b] + p] + start + i, g)


def reduce(
    flat: Any, offsets: Any, starts: Any, ends: Any, start: int, dim: int, mean: bool, into: int, out: Any, stride: int,
    column: int,
) -> None:  # fmt: skip
    """SUM or MEAN of every batch row into ``out``."""
    _reduce.per_item(
        len(starts) * dim, on_device(flat), on_device(offsets), on_device(starts), on_device(ends), start, dim, mean,
        into, out, stride, column,
    )  # fmt: skip


def first_n(
    flat: Any, offsets: Any, starts: Any, ends: Any, start: int, dim: int, n: int, out: Any, stride: int, column: int,
    step: int,
) -> None:  # fmt: skip
    """Copy the first ``n`` vectors of every batch row, position p at ``column + p * step``."""
    _first_n.per_item(
        len(starts) * dim, on_device(flat), on_device(offsets), on_device(starts), on_device(ends), start, dim, n, out,
        stride, column, step,
    )  # fmt: skip


def reduce_gradient(
    grad: Any, stride: int, column: int, dim: int, mean: bool, offsets: Any, starts: Any, ends: Any, start: int,
    buffer: Any, touched: Any,
) -> None:  # fmt: skip
    """Add every batch row's gradient (over the count for a mean) to its ids' rows, in order of row and position."""
    _reduce_gradient.per_item(
        dim, on_device(grad), stride, column, dim, mean, on_device(offsets), on_device(starts), on_device(ends), start,
        buffer, touched,
    )  # fmt: skip


def first_n_gradient(
    grad: Any, stride: int, column: int, step: int, dim: int, n: int, offsets: Any, starts: Any, ends: Any, start: int,
    buffer: Any, touched: Any,
) -> None:  # fmt: skip
    """Add position p's gradient to the p-th id's row, for p < n."""
    _first_n_gradient.per_item(
        dim, on_device(grad), stride, column, step, dim, n, on_device(offsets), on_device(starts), on_device(ends),
        start, buffer, touched,
    )  # fmt: skip
