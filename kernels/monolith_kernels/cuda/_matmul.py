"""CUDA kernels of fixed-order matrix products: tiles in shared memory, a thread per output, each sum in its order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from monolith_kernels.arrays import F4, F8, I8
from monolith_kernels.cuda.launch import SIMULATED, cuda_kernel
from monolith_kernels.prim import Ieee, madd, mul
from monolith_kernels.superaccumulator import add_term

__all__ = [
    "finish",
    "launch_product",
    "product",
    "product_by_thread",
    "transpose",
    "weight_gradient_exact",
    "weight_gradient_limbs",
]

TILE = 2 if SIMULATED else 16
"""Side of a tile."""

FEW_TERMS = 1 << 14
"""The simulator takes milliseconds to bring the threads of a block together: beyond so many products it runs
:func:`product_by_thread`, which never waits."""


@cuda_kernel
def product(
    a: F4, a_row: int, a_step: int, b: F4, b_step: int, b_column: int, steps: int, rows: int, columns: int, out: F4
) -> None:
    """``out[r, c] = sum over m < steps ascending of a[r * a_row + m * a_step] * b[m * b_step + c * b_column]``."""
    left = cuda.shared.array((TILE, TILE), np.float32)
    right = cuda.shared.array((TILE, TILE), np.float32)
    x = cuda.threadIdx.x
    y = cuda.threadIdx.y
    r = cuda.blockIdx.y * TILE + y
    c = cuda.blockIdx.x * TILE + x
    total = np.float32(0.0)
    for start in range(0, steps, TILE):
        if r < rows and start + x < steps:
            left[y, x] = a[r * a_row + (start + x) * a_step]
        if c < columns and start + y < steps:
            right[y, x] = b[(start + y) * b_step + c * b_column]
        cuda.syncthreads()
        for m in range(min(TILE, steps - start)):
            total = madd(Ieee(), left[y, m], right[m, x], total)
        cuda.syncthreads()
    if r < rows and c < columns:
        out[r * columns + c] = total


@cuda_kernel
def product_by_thread(
    a: F4, a_row: int, a_step: int, b: F4, b_step: int, b_column: int, steps: int, rows: int, columns: int, out: F4
) -> None:
    """As :func:`product`, without tiles."""
    i = cuda.grid(1)
    if i < rows * columns:
        r = i // columns
        c = i % columns
        total = np.float32(0.0)
        for m in range(steps):
            total = madd(Ieee(), a[r * a_row + m * a_step], b[m * b_step + c * b_column], total)
        out[i] = total


def launch_product(a: Any, a_strides: Any, b: Any, b_strides: Any, b_shape: Any, out: Any) -> None:
    """Launch :func:`product` over an output matrix; ``b_shape`` = (steps, columns)."""
    rows, columns = out.shape
    if SIMULATED and rows * columns * b_shape[0] > FEW_TERMS:
        product_by_thread.per_item(
            rows * columns, a.reshape(-1), *a_strides, b.reshape(-1), *b_strides, b_shape[0], rows, columns,
            out.reshape(-1),
        )  # fmt: skip
        return
    grid = (-(-columns // TILE), -(-rows // TILE))
    product.launch(
        grid, (TILE, TILE), a.reshape(-1), *a_strides, b.reshape(-1), *b_strides, b_shape[0], rows, columns,
        out.reshape(-1),
    )  # fmt: skip


@cuda_kernel
def finish(b: F4, relu: int, out: F4) -> None:
    """Add the bias, then relu if asked for (which keeps -0.0 and NaN)."""
    i = cuda.grid(1)
    if i < len(out):
        z = out[i] + b[i % len(b)]
        if relu != 0 and z < np.float32(0.0):
            z = np.float32(0.0)
        out[i] = z


@cuda_kernel
def transpose(w: F4, rows: int, columns: int, width: int, out: F4) -> None:
    """``out[o, k] = w[k, o]`` in the part both have, +0.0 in the rest; ``width`` is that of ``out``."""
    i = cuda.grid(1)
    if i < len(out):
        o = i // width
        k = i % width
        value = np.float32(0.0)
        if k < rows and o < columns:
            value = w[k * columns + o]
        out[i] = value


@cuda_kernel
def weight_gradient_exact(x: F4, x_width: int, g: F4, width: int, batch: int, out: F8, error: F8) -> None:
    """Float64 sums of the rounded products by TwoSum, with the size of what is rounded away."""
    e = cuda.grid(1)
    if e < len(out):
        k = e // width
        c = e % width
        total = np.float64(0.0)
        wrong = np.float64(0.0)
        for i in range(batch):
            v = np.float64(mul(x[i * x_width + k], g[i * width + c]))
            t = total + v
            b = t - total
            wrong += abs((total - (t - b)) + (v - b))
            total = t
        out[e] = total
        error[e] = wrong


@cuda_kernel
def weight_gradient_limbs(x: F4, x_width: int, g: F4, width: int, batch: int, elements: I8, limbs: I8) -> None:
    """A thread per listed element adds its rounded products to an exact accumulator."""
    e = cuda.grid(1)
    if e < len(elements):
        k = elements[e] // width
        c = elements[e] % width
        for i in range(batch):
            add_term(limbs, e, np.float64(mul(x[i * x_width + k], g[i * width + c])))
