"""CUDA kernels of :mod:`monolith_kernels.cuda.segment`: a block of ``(lanes, rows)`` threads for as many rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cuda.launch import cuda_kernel
from monolith_kernels.prim import Ieee, madd, mul, shared, sqrt

__all__ = [
    "first_n",
    "first_n_gradient",
    "inverse_count",
    "mean_scale",
    "roots_of_squares",
    "row_gradient",
    "scale_rows",
    "sqrtn_gradient",
    "sum_of_rows",
    "sum_of_vectors",
]


@shared
def inverse_count(count: Any) -> Any:
    """float32(1 / count), the quotient in float64; +inf for none."""
    if count == 0:
        return np.float32(np.inf)
    return np.float32(np.float64(1.0) / np.float64(np.float32(count)))


@cuda_kernel
def sum_of_vectors(
    flat: F4, offsets: I8, positions: I4, splits: I8, dim: int, out: F4, stride: int, column: int
) -> None:
    """Ordered sums from +0.0; a vector at offset -1 adds nothing."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < len(splits) - 1:
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            total = np.float32(0.0)
            for j in range(splits[i], splits[i + 1]):
                source = offsets[positions[j]]
                if source >= 0:
                    total += flat[source + c]
            out[i * stride + column + c] = total


@cuda_kernel
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
) -> None:
    """Ordered sums of table rows from +0.0; row -1 adds nothing."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < len(splits) - 1:
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            total = np.float32(0.0)
            for j in range(splits[i], splits[i + 1]):
                row = np.int64(row_numbers[positions[j]])
                if row >= 0:
                    total += flat[row * width + row_column + c]
            out[i * stride + column + c] = total


@cuda_kernel
def roots_of_squares(
    profile: Ieee,
    flat: F4,
    offsets: I8,
    positions: I4,
    splits: I8,
    dim: int,
    out: F4,
    stride: int,
    column: int,
) -> None:
    """Roots of ordered sums of squares, each added in the profile's way."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < len(splits) - 1:
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            total = np.float32(0.0)
            for j in range(splits[i], splits[i + 1]):
                source = offsets[positions[j]]
                if source >= 0:
                    value = flat[source + c]
                    total = madd(profile, value, value, total)
            out[i * stride + column + c] = sqrt(total)


@cuda_kernel
def mean_scale(splits: I8, out: F4) -> None:
    """float32(1 / count)."""
    i = cuda.grid(1)
    if i < len(out):
        out[i] = inverse_count(splits[i + 1] - splits[i])


@cuda_kernel
def scale_rows(splits: I8, dim: int, out: F4, stride: int, column: int, empty_nan: int) -> None:
    """Multiply every row by float32(1 / count); an empty row stays +0.0 unless ``empty_nan``."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < len(splits) - 1:
        count = splits[i + 1] - splits[i]
        if count > 0 or empty_nan != 0:
            factor = inverse_count(count)
            for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
                place = i * stride + column + c
                out[place] = out[place] * factor


@cuda_kernel
def first_n(
    flat: F4, offsets: I8, positions: I4, splits: I8, dim: int, n: int, out: F4, stride: int, column: int
) -> None:
    """Position p of a row is +0.0 plus its p-th vector, +0.0 where there is none."""
    item = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if item < (len(splits) - 1) * n:
        i = item // n
        p = item % n
        source = np.int64(-1)
        if p < splits[i + 1] - splits[i]:
            source = offsets[positions[splits[i] + p]]
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            value = np.float32(0.0)
            if source >= 0:
                value += flat[source + c]
            out[i * stride + p * (stride // n) + column + c] = value


@cuda_kernel
def row_gradient(grad: F4, stride: int, column: int, dim: int, mean: int, splits: I8, out: F4, out_stride: int) -> None:
    """Every occurrence gets the gradient of its row: bits copied, or times float32(1 / count) for a mean."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < len(splits) - 1:
        factor = inverse_count(splits[i + 1] - splits[i])
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            value = grad[i * stride + column + c]
            if mean != 0:
                value = mul(value, factor)
            for j in range(splits[i], splits[i + 1]):
                out[(j - splits[0]) * out_stride + c] = value


@cuda_kernel
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
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < len(splits) - 1:
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            g = grad[i * stride + column + c]
            s = pooled[i * stride + column + c]
            for j in range(splits[i], splits[i + 1]):
                source = offsets[positions[j]]
                factor = np.float32(0.0)
                if s != np.float32(0.0):
                    value = np.float32(0.0)
                    if source >= 0:
                        value = flat[source + c]
                    factor = value / s
                out[(j - splits[0]) * out_stride + c] = mul(g, factor)


@cuda_kernel
def first_n_gradient(
    grad: F4, stride: int, column: int, dim: int, n: int, splits: I8, out: F4, out_stride: int
) -> None:
    """Occurrence p < n of a row gets the gradient of position p, later ones +0.0."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < len(splits) - 1:
        for j in range(splits[i], splits[i + 1]):
            p = j - splits[i]
            for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
                value = np.float32(0.0)
                if p < n:
                    value = grad[i * stride + p * (stride // n) + column + c]
                out[(j - splits[0]) * out_stride + c] = value
