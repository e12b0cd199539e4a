"""CUDA kernels that read and write table rows by number: a block has ``(lanes, rows)`` threads."""

from __future__ import annotations

import numpy as np
from numba import cuda

from monolith_kernels.arrays import F4, I4
from monolith_kernels.cuda._vectors import copy_four, zero_four
from monolith_kernels.cuda.launch import cuda_kernel

__all__ = ["add_sorted", "assign_sorted", "assign_sorted_by_four", "copy_rows", "copy_rows_by_four"]


@cuda_kernel
def copy_rows(
    flat: F4, width: int, row_numbers: I4, count: int, column: int, dim: int, out: F4, offset: int, stride: int
) -> None:
    """Copy rows; -1 gives +0.0."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < count:
        row = np.int64(row_numbers[i])
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            value = np.float32(0.0)
            if row >= 0:
                value = flat[row * width + column + c]
            out[offset + i * stride + c] = value


@cuda_kernel
def copy_rows_by_four(
    flat: F4, width: int, row_numbers: I4, count: int, column: int, dim: int, out: F4, offset: int, stride: int
) -> None:
    """As copy_rows, four floats at a time."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < count:
        row = np.int64(row_numbers[i])
        for c in range(4 * cuda.threadIdx.x, dim, 4 * cuda.blockDim.x):
            target = offset + i * stride + c
            if row >= 0:
                copy_four(out, target, flat, row * width + column + c)
            else:
                zero_four(out, target)


@cuda_kernel
def assign_sorted(
    flat: F4,
    width: int,
    row_numbers: I4,
    positions: I4,
    count: int,
    column: int,
    dim: int,
    values: F4,
    offset: int,
    stride: int,
) -> None:
    """``row_numbers`` sorted (stable) with the ``positions`` they came from: the last of equal ones writes."""
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k < count:
        row = np.int64(row_numbers[k])
        if row >= 0 and (k + 1 == count or row_numbers[k + 1] != row):
            source = offset + positions[k] * stride
            for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
                flat[row * width + column + c] = values[source + c]


@cuda_kernel
def assign_sorted_by_four(
    flat: F4,
    width: int,
    row_numbers: I4,
    positions: I4,
    count: int,
    column: int,
    dim: int,
    values: F4,
    offset: int,
    stride: int,
) -> None:
    """As assign_sorted, four floats at a time."""
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k < count:
        row = np.int64(row_numbers[k])
        if row >= 0 and (k + 1 == count or row_numbers[k + 1] != row):
            source = offset + positions[k] * stride
            for c in range(4 * cuda.threadIdx.x, dim, 4 * cuda.blockDim.x):
                copy_four(flat, row * width + column + c, values, source + c)


@cuda_kernel
def add_sorted(
    flat: F4,
    width: int,
    row_numbers: I4,
    positions: I4,
    count: int,
    column: int,
    dim: int,
    values: F4,
    offset: int,
    stride: int,
) -> None:
    """``row_numbers`` sorted (stable) with the ``positions`` they came from: the first of equal ones adds all."""
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k < count:
        row = np.int64(row_numbers[k])
        if row >= 0 and (k == 0 or row_numbers[k - 1] != row):
            for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
                total = flat[row * width + column + c]
                j = k
                while j < count and row_numbers[j] == row:
                    total += values[offset + positions[j] * stride + c]
                    j += 1
                flat[row * width + column + c] = total
