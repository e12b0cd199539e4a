"""CUDA kernels that read and write table rows by number: a block has ``(lanes, rows)`` threads."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import cuda, types

from monolith_kernels.arrays import F4, I4
from monolith_kernels.cuda.launch import SIMULATED, cuda_kernel

__all__ = ["add_sorted", "assign_sorted", "copy_four", "copy_rows", "copy_rows_by_four"]


def copy_four(out: Any, target: Any, source: Any, start: Any) -> None:
    """Copy four floats whose addresses are multiples of 16 bytes, in one load and one store."""
    for c in range(4):
        out[target + c] = source[start + c]


def register_copy_four() -> None:
    """Give the CUDA compiler the vector form (not in the simulator, which runs the plain one)."""
    from numba.cuda.extending import intrinsic, overload

    @intrinsic
    def vector_copy(typingctx: Any, out: Any, target: Any, source: Any, start: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            four = ir.VectorType(ir.FloatType(), 4)

            def place(array_type: Any, array: Any, index: Any) -> Any:
                data = context.make_array(array_type)(context, builder, array).data
                pointer = builder.gep(data, [index])
                return builder.bitcast(pointer, four.as_pointer(pointer.type.addrspace))

            value = builder.load(place(signature.args[2], args[2], args[3]))
            value.align = 16
            store = builder.store(value, place(signature.args[0], args[0], args[1]))
            store.align = 16
            return context.get_dummy_value()

        return types.void(out, types.intp, source, types.intp), codegen

    def form(out: Any, target: Any, source: Any, start: Any) -> None:
        vector_copy(out, target, source, start)

    @overload(copy_four)
    def choose(out: Any, target: Any, source: Any, start: Any) -> Any:
        return form


if not SIMULATED:
    register_copy_four()


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
    """As copy_rows, four floats at a time: everything but the count is a multiple of four."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < count:
        row = np.int64(row_numbers[i])
        for c in range(4 * cuda.threadIdx.x, dim, 4 * cuda.blockDim.x):
            target = offset + i * stride + c
            if row >= 0:
                copy_four(out, target, flat, row * width + column + c)
            else:
                for k in range(4):
                    out[target + k] = np.float32(0.0)


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
