"""Pooling of slices into layouts, and its gradient. Twin of :mod:`monolith_kernels.cuda.pool`. Rule: features 3.

Id occurrence j of a feature has its row part at element ``offsets[j] + start`` of the flat buffer ``flat``; batch row b
has the occurrences ``starts[b] <= j < ends[b]``. In ``out`` and ``grad`` it begins at ``b * stride + column``.

| array | dtype, shape | |
|---|---|---|
| ``flat``, ``buffer`` | float32 ``[m]`` | rows; gradients of rows |
| ``offsets`` | int64 ``[n]`` | |
| ``starts``, ``ends`` | int64 ``[B]`` | |
| ``out``, ``grad`` | float32, flat | |
| ``touched`` | uint8 ``[m]`` or ``[0]`` | elements that already hold a gradient; empty: gradients are added to +0 |
"""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.arrays import F4, I8, U1
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = ["ADD_EACH", "ADD_POOLED", "COPY", "first_n", "first_n_gradient", "reduce", "reduce_gradient"]

COPY, ADD_EACH, ADD_POOLED = 0, 1, 2
"""How terms reach ``out``: the first is copied and the rest added; each is added; their sum is added."""


@kernel
def _reduce(
    flat: F4, offsets: I8, starts: I8, ends: I8, start: Any, dim: Any, mean: Any, into: Any, out: F4, stride: Any,
    column: Any,
) -> None:  # fmt: skip
    for b in range(len(starts)):
        first, last = starts[b], ends[b]
        count = np.float32(last - first)
        target = b * stride + column
        if first == last:
            continue
        for i in range(dim):
            total = np.float32(0)
            for j in range(first, last):
                x = at(flat, offsets[j] + start + i)
                term = x / count if mean else x
                if into == ADD_EACH:
                    put(out, target + i, at(out, target + i) + term)
                else:
                    total = term if j == first else total + term
            if into == COPY:
                put(out, target + i, total)
            elif into == ADD_POOLED:
                put(out, target + i, at(out, target + i) + total)


@kernel
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
    for b in range(len(starts)):
        target = b * stride + column
        for p in range(min(n, ends[b] - starts[b])):
            source = offsets[starts[b] + p] + start
            for i in range(dim):
                put(out, target + p * step + i, at(flat, source + i))


@kernel
def _contribute(buffer: F4, touched: U1, element: Any, value: Any) -> None:
    if len(touched) > 0 and touched[element] == 0:
        put(buffer, element, value)
        touched[element] = 1
    else:
        put(buffer, element, at(buffer, element) + value)


@kernel
def _reduce_gradient(
    grad: F4, stride: Any, column: Any, dim: Any, mean: Any, offsets: I8, starts: I8, ends: I8, start: Any, buffer: F4,
    touched: U1,
) -> None:  # fmt: skip
    for b in range(len(starts)):
        count = np.float32(ends[b] - starts[b])
        for j in range(starts[b], ends[b]):
            for i in range(dim):
                g = at(grad, b * stride + column + i)
                _contribute(buffer, touched, offsets[j] + start + i, g / count if mean else g)


@kernel
def _first_n_gradient(
    grad: F4, stride: Any, column: Any, step: Any, dim: Any, n: Any, offsets: I8, starts: I8, ends: I8, start: Any,
    buffer: F4, touched: U1,
) -> None:  # fmt: skip
    for b in range(len(starts)):
        for p in range(min(n, ends[b] - starts[b])):
            for i in range(dim):
                g = at(grad, b * stride + column + p * step + i)
                _contribute(buffer, touched, offsets[starts[b] + p] + start + i, g)


def reduce(
    flat: F4, offsets: I8, starts: I8, ends: I8, start: int, dim: int, mean: bool, into: int, out: F4, stride: int,
    column: int,
) -> None:  # fmt: skip
    """SUM or MEAN of every batch row into ``out``; a mean divides every term before adding. Empty rows: nothing."""
    _reduce(flat, offsets, starts, ends, start, dim, mean, into, out, stride, column)


def first_n(
    flat: F4,
    offsets: I8,
    starts: I8,
    ends: I8,
    start: int,
    dim: int,
    n: int,
    out: F4,
    stride: int,
    column: int,
    step: int,
) -> None:
    """Copy the first ``n`` vectors of every batch row, position p at ``column + p * step``."""
    _first_n(flat, offsets, starts, ends, start, dim, n, out, stride, column, step)


def reduce_gradient(
    grad: F4, stride: int, column: int, dim: int, mean: bool, offsets: I8, starts: I8, ends: I8, start: int, buffer: F4,
    touched: U1,
) -> None:  # fmt: skip
    """Add every batch row's gradient (over the count for a mean) to its ids' rows, in order of row and position."""
    _reduce_gradient(grad, stride, column, dim, mean, offsets, starts, ends, start, buffer, touched)


def first_n_gradient(
    grad: F4, stride: int, column: int, step: int, dim: int, n: int, offsets: I8, starts: I8, ends: I8, start: int,
    buffer: F4, touched: U1,
) -> None:  # fmt: skip
    """Add position p's gradient to the p-th id's row, for p < n."""
    _first_n_gradient(grad, stride, column, step, dim, n, offsets, starts, ends, start, buffer, touched)
