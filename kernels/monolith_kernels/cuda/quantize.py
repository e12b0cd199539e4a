"""Packing rows and changed training reads on CUDA. Twin of :mod:`monolith_kernels.cpu.quantize`.

Arrays that are written (``out``, ``flat``) live on the device; others may live on either side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from monolith_kernels.cuda.launch import cuda_kernel, device_array, on_device, row_blocks
from monolith_kernels.layout import RowLayout
from monolith_kernels.prim import at, put
from monolith_kernels.prim import profile as profile_value
from monolith_kernels.rules import quantizers
from monolith_kernels.rules.quantizers import Quantizer

__all__ = ["backward", "decode", "encode", "read"]


@cuda_kernel
def _encode(
    q: Any, size: Any, values: Any, offset: Any, stride: Any, n: Any, d: Any, out: Any, out_offset: Any, out_stride: Any
) -> None:
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n:
        return
    for i in range(cuda.threadIdx.x, d, cuda.blockDim.x):
        code = quantizers.encode(q, at(values, offset + k * stride + i))
        start = out_offset + k * out_stride + i * size
        for byte in range(size):
            put(out, start + byte, np.uint8((code >> (8 * byte)) & 255))


@cuda_kernel
def _decode(
    q: Any, size: Any, packed: Any, offset: Any, stride: Any, n: Any, d: Any, out: Any, out_offset: Any, out_stride: Any
) -> None:
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n:
        return
    for i in range(cuda.threadIdx.x, d, cuda.blockDim.x):
        start = offset + k * stride + i * size
        code = np.int64(0)
        for byte in range(size):
            code |= np.int64(at(packed, start + byte)) << (8 * byte)
        put(out, out_offset + k * out_stride + i, quantizers.decode(q, code))


@cuda_kernel
def _read(q: Any, flat: Any, offset: Any, stride: Any, n: Any, d: Any, scale: Any) -> None:
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n:
        return
    start = offset + k * stride
    for i in range(cuda.threadIdx.x, d, cuda.blockDim.x):
        put(flat, start + i, quantizers.read(q, at(flat, start + i), scale))


@cuda_kernel
def _backward(
    p: Any, q: Any, rows: Any, numbers: Any, n: Any, width: Any, embedding: Any, d: Any, grads: Any, column: Any,
    stride: Any, out: Any, out_column: Any, out_stride: Any, scale: Any,
) -> None:  # fmt: skip
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k >= n or numbers[k] < 0:
        return
    w0 = np.int64(numbers[k]) * width + embedding
    g0 = column + k * stride
    o0 = out_column + k * out_stride
    for i in range(cuda.threadIdx.x, d, cuda.blockDim.x):
        put(out, o0 + i, quantizers.backward(p, q, at(rows, w0 + i), at(grads, g0 + i), scale))


def encode(
    q: Quantizer, values: Any, offset: int, stride: int, n: int, dim: int, out: Any, out_offset: int, out_stride: int
) -> None:
    """Pack ``n`` vectors of ``dim`` floats into bytes."""
    _encode.launch(
        *row_blocks(n, dim), q, q.size, on_device(values).reshape(-1), offset, stride, n, dim, out.reshape(-1),
        out_offset, out_stride,
    )  # fmt: skip


def decode(
    q: Quantizer, packed: Any, offset: int, stride: int, n: int, dim: int, out: Any, out_offset: int, out_stride: int
) -> None:
    """Unpack what :func:`encode` packed."""
    _decode.launch(
        *row_blocks(n, dim), q, q.size, on_device(packed).reshape(-1), offset, stride, n, dim, out.reshape(-1),
        out_offset, out_stride,
    )  # fmt: skip


def read(layout: RowLayout, flat: Any, offset: int, stride: int, n: int, scales: NDArray[np.float32]) -> None:
    """Turn gathered embeddings into what training reads, in place."""
    for segment, place, scale in zip(layout.segments, layout.places, scales, strict=True):
        if segment.quantizer.changes_reads:
            _read.launch(
                *row_blocks(n, place.dim), segment.quantizer, flat.reshape(-1), offset + place.embedding, stride, n,
                place.dim, np.float32(scale),
            )  # fmt: skip


def backward(
    profile: str,
    layout: RowLayout,
    rows: Any,
    numbers: Any,
    grads: Any,
    stride: int,
    scales: NDArray[np.float32],
    *,
    column: int = 0,
) -> tuple[Any, int, int]:
    """The gradients that optimizers see, as ``(grads, column, stride)`` for ``optimize.update``."""
    if len(numbers) == 0 or not any(isinstance(s.quantizer, quantizers.OneBit) for s in layout.segments):
        return grads, column, stride
    out = device_array((len(numbers), layout.dim), np.float32)
    where, gradient = on_device(numbers), on_device(grads).reshape(-1)
    for segment, place, scale in zip(layout.segments, layout.places, scales, strict=True):
        _backward.launch(
            *row_blocks(len(numbers), place.dim), profile_value(profile), segment.quantizer, rows.reshape(-1), where,
            len(numbers), layout.width, place.embedding, place.dim, gradient, column + place.embedding, stride,
            out.reshape(-1), place.embedding, layout.dim, np.float32(scale),
        )  # fmt: skip
    return out, 0, layout.dim
