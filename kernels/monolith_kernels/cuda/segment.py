"""Combiners, their gradients and gradient sums on CUDA. Twin of :mod:`monolith_kernels.cpu.segment`.

Its descriptions hold. All arrays live on the device. One thread per element of a row adds in order; gradient sums sort
the occurrences by slot (stable) first, so that one thread per element of a slot adds in occurrence order.
"""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, F8, I4, I8
from monolith_kernels.cuda import _gradient_sums as sums
from monolith_kernels.cuda import _segment as loops
from monolith_kernels.cuda.launch import device_array, row_blocks, to_host
from monolith_kernels.cuda.sort import sort_pairs
from monolith_kernels.prim import Avx, Ieee

__all__ = [
    "NOT_STARTED",
    "add_limbs",
    "first_n",
    "first_n_gradient",
    "gradient_limbs",
    "gradient_sums",
    "gradient_sums_exact",
    "mean",
    "mean_gradient",
    "mean_scale",
    "sqrtn",
    "sqrtn_gradient",
    "sum",
    "sum_gradient",
    "sum_rows",
]

NOT_STARTED = 0
"""``first_new`` of :func:`gradient_sums` when no slot has been stored yet."""


def sum(flat: F4, offsets: I8, positions: I4, row_splits: I8, dim: int, out: F4, column: int, threads: int = 1) -> None:
    """ReduceSum: ordered sums from +0.0."""
    loops.sum_of_vectors.launch(
        *row_blocks(len(out), dim),
        flat,
        offsets,
        positions,
        row_splits,
        dim,
        out.reshape(-1),
        out.shape[1],
        column,
    )


def sum_rows(
    rows: F4,
    row_numbers: I4,
    positions: I4,
    row_splits: I8,
    row_column: int,
    dim: int,
    out: F4,
    column: int,
    threads: int = 1,
) -> None:
    """:func:`sum` straight from table rows; a row number of -1 reads as +0.0."""
    loops.sum_of_rows.launch(
        *row_blocks(len(out), dim),
        rows.reshape(-1),
        rows.shape[1],
        row_numbers,
        positions,
        row_splits,
        row_column,
        dim,
        out.reshape(-1),
        out.shape[1],
        column,
    )


def mean(
    flat: F4,
    offsets: I8,
    positions: I4,
    row_splits: I8,
    dim: int,
    out: F4,
    column: int,
    empty_nan: bool = False,
    threads: int = 1,
) -> None:
    """ReduceMean: the sum times ``float32(1 / count)``."""
    sum(flat, offsets, positions, row_splits, dim, out, column)
    loops.scale_rows.launch(
        *row_blocks(len(out), dim), row_splits, dim, out.reshape(-1), out.shape[1], column, int(empty_nan)
    )


def sqrtn(
    flat: F4,
    offsets: I8,
    positions: I4,
    row_splits: I8,
    dim: int,
    out: F4,
    column: int,
    fused: bool = False,
    threads: int = 1,
) -> None:
    """Square root of the ordered sum of squares."""
    loops.roots_of_squares.launch(
        *row_blocks(len(out), dim),
        Avx() if fused else Ieee(),
        flat,
        offsets,
        positions,
        row_splits,
        dim,
        out.reshape(-1),
        out.shape[1],
        column,
    )


def first_n(flat: F4, offsets: I8, positions: I4, row_splits: I8, dim: int, n: int, out: F4, column: int = 0) -> None:
    """FirstN: position p of row i is +0.0 plus its p-th vector."""
    loops.first_n.launch(
        *row_blocks(len(out) * n, dim),
        flat,
        offsets,
        positions,
        row_splits,
        dim,
        n,
        out.reshape(-1),
        out.shape[1],
        column,
    )


def mean_scale(row_splits: I8, out: F4) -> None:
    """``out[i] = float32(1 / count_i)``."""
    loops.mean_scale.per_item(len(out), row_splits, out)


def sum_gradient(grad: F4, column: int, dim: int, row_splits: I8, out: F4, out_stride: int) -> None:
    """Gradient of every occurrence's vector under ReduceSum: the row's gradient, bits copied."""
    loops.row_gradient.launch(
        *row_blocks(len(grad), dim), grad.reshape(-1), grad.shape[1], column, dim, 0, row_splits, out, out_stride
    )


def mean_gradient(grad: F4, column: int, dim: int, row_splits: I8, out: F4, out_stride: int) -> None:
    """Gradient under ReduceMean: the row's gradient times ``float32(1 / count)``."""
    loops.row_gradient.launch(
        *row_blocks(len(grad), dim), grad.reshape(-1), grad.shape[1], column, dim, 1, row_splits, out, out_stride
    )


def sqrtn_gradient(
    grad: F4,
    column: int,
    dim: int,
    row_splits: I8,
    flat: F4,
    offsets: I8,
    positions: I4,
    pooled: F4,
    out: F4,
    out_stride: int,
) -> None:
    """Gradient under sqrtn: ``g * (e / s)``; the factor is 0 where s is 0."""
    loops.sqrtn_gradient.launch(
        *row_blocks(len(grad), dim),
        grad.reshape(-1),
        grad.shape[1],
        column,
        dim,
        row_splits,
        flat,
        offsets,
        positions,
        pooled.reshape(-1),
        out,
        out_stride,
    )


def first_n_gradient(grad: F4, column: int, dim: int, n: int, row_splits: I8, out: F4, out_stride: int) -> None:
    """Gradient under FirstN: occurrence p of a row gets that of position p, +0.0 beyond n."""
    loops.first_n_gradient.launch(
        *row_blocks(len(grad), dim), grad.reshape(-1), grad.shape[1], column, dim, n, row_splits, out, out_stride
    )


def _by_slot(row_splits: I8, positions: I4, slots: int) -> tuple[I4, I4, int]:
    """(slots sorted, occurrences in that order, highest slot + 1 or 0) of the occurrences of some rows."""
    first, last = int(to_host(row_splits[:1])[0]), int(to_host(row_splits[len(row_splits) - 1 :])[0])
    if last == first:
        return device_array(0, np.int32), device_array(0, np.int32), 0
    keys, order = sort_pairs(positions[first:last], slots)
    return keys, order, int(to_host(keys[len(keys) - 1 :])[0]) + 1


def gradient_sums(
    grad: F4,
    column: int,
    dim: int,
    row_splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    out: F4,
    first_new: int,
) -> int:
    """Add every occurrence's gradient to the vector of its id, in occurrence order, from +0.0."""
    slots, order, highest = _by_slot(row_splits, positions, len(targets))
    sums.gradient_sums.launch(
        *row_blocks(len(slots), dim),
        grad.reshape(-1),
        grad.shape[1],
        column,
        dim,
        row_splits,
        slots,
        order,
        len(slots),
        scale,
        targets,
        out,
        first_new,
    )
    return max(first_new, highest)


def gradient_sums_exact(
    grad: F4 | F8,
    column: int,
    dim: int,
    row_splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    out: F8,
    error: F8,
    first_new: int,
) -> int:
    """As :func:`gradient_sums`, in float64 with the size of everything rounded away."""
    slots, order, highest = _by_slot(row_splits, positions, len(targets))
    sums.gradient_sums_exact.launch(
        *row_blocks(len(slots), dim),
        grad.reshape(-1),
        grad.shape[1],
        column,
        dim,
        row_splits,
        slots,
        order,
        len(slots),
        scale,
        targets,
        out,
        error,
        first_new,
    )
    return max(first_new, highest)


def gradient_limbs(
    grad: F4 | F8,
    column: int,
    dim: int,
    row_splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    elements: I8,
    limbs: I8,
) -> None:
    """Add the terms of some elements of ``out`` to exact accumulators: a thread per element walks all occurrences."""
    sums.gradient_limbs.per_item(
        len(elements),
        grad.reshape(-1),
        grad.shape[1],
        column,
        dim,
        row_splits,
        positions,
        scale,
        targets,
        elements,
        limbs,
    )


def add_limbs(elements: I8, limbs: I8, all_elements: I8, all_limbs: I8) -> None:
    """Add accumulators to those of the same elements."""
    sums.add_limbs.per_item(len(elements), elements, limbs, all_elements, all_limbs)
