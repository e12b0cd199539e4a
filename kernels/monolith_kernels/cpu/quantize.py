"""Packing rows for serving, and training reads that a compressor changes. Twin: monolith_kernels.cuda.quantize.

Rule: optimizers 6. All float arrays are float32 and C-contiguous; offsets and strides count elements (bytes where the
array is uint8). Callers are trusted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_kernels.jit import kernel
from monolith_kernels.layout import RowLayout
from monolith_kernels.prim import at, put
from monolith_kernels.prim import profile as profile_value
from monolith_kernels.rules import quantizers
from monolith_kernels.rules.quantizers import Quantizer

__all__ = ["backward", "decode", "encode", "read"]


@kernel
def _encode(
    q: Any, size: Any, values: Any, offset: Any, stride: Any, n: Any, d: Any, out: Any, out_offset: Any, out_stride: Any
) -> None:
    for k in range(n):
        for i in range(d):
            code = quantizers.encode(q, at(values, offset + k * stride + i))
            start = out_offset + k * out_stride + i * size
            for byte in range(size):
                put(out, start + byte, np.uint8((code >> (8 * byte)) & 255))


@kernel
def _decode(
    q: Any, size: Any, packed: Any, offset: Any, stride: Any, n: Any, d: Any, out: Any, out_offset: Any, out_stride: Any
) -> None:
    for k in range(n):
        for i in range(d):
            start = offset + k * stride + i * size
            code = np.int64(0)
            for byte in range(size):
                code |= np.int64(at(packed, start + byte)) << (8 * byte)
            put(out, out_offset + k * out_stride + i, quantizers.decode(q, code))


@kernel
def _read(q: Any, flat: Any, offset: Any, stride: Any, n: Any, d: Any, scale: Any) -> None:
    for k in range(n):
        start = offset + k * stride
        for i in range(d):
            put(flat, start + i, quantizers.read(q, at(flat, start + i), scale))


@kernel
def _backward(
    p: Any, q: Any, rows: Any, numbers: Any, width: Any, embedding: Any, d: Any, grads: Any, column: Any, stride: Any,
    out: Any, out_column: Any, out_stride: Any, scale: Any,
) -> None:  # fmt: skip
    for k in range(len(numbers)):
        number = np.int64(numbers[k])
        if number < 0:
            continue
        w0 = number * width + embedding
        g0 = column + k * stride
        o0 = out_column + k * out_stride
        for i in range(d):
            put(out, o0 + i, quantizers.backward(p, q, at(rows, w0 + i), at(grads, g0 + i), scale))


def encode(
    q: Quantizer,
    values: NDArray[np.float32],
    offset: int,
    stride: int,
    n: int,
    dim: int,
    out: NDArray[np.uint8],
    out_offset: int,
    out_stride: int,
) -> None:
    """Pack ``n`` vectors of ``dim`` floats at ``offset + k*stride`` into bytes at ``out_offset + k*out_stride``.

    One segment of a serving row; the next one begins ``dim * q.size`` bytes further. Little-endian, no padding.
    """
    _encode(q, q.size, values.reshape(-1), offset, stride, n, dim, out.reshape(-1), out_offset, out_stride)


def decode(
    q: Quantizer,
    packed: NDArray[np.uint8],
    offset: int,
    stride: int,
    n: int,
    dim: int,
    out: NDArray[np.float32],
    out_offset: int,
    out_stride: int,
) -> None:
    """Unpack :func:`encode`: bytes at ``offset + k*stride`` into floats at ``out_offset + k*out_stride``."""
    _decode(q, q.size, packed.reshape(-1), offset, stride, n, dim, out.reshape(-1), out_offset, out_stride)


def read(
    layout: RowLayout, flat: NDArray[np.float32], offset: int, stride: int, n: int, scales: NDArray[np.float32]
) -> None:
    """Turn gathered embeddings (``layout.dim`` floats at ``offset + k*stride``) into what training reads, in place.

    ``scales`` float32 ``[segments]``: the present scale of every one_bit segment (others are not looked at). Segments
    whose quantizer leaves reads alone cost nothing.
    """
    for segment, place, scale in zip(layout.segments, layout.places, scales, strict=True):
        if segment.quantizer.changes_reads:
            _read(
                segment.quantizer, flat.reshape(-1), offset + place.embedding, stride, n, place.dim, np.float32(scale)
            )


def backward(
    profile: str,
    layout: RowLayout,
    rows: NDArray[np.float32],
    numbers: NDArray[Any],
    grads: NDArray[np.float32],
    stride: int,
    scales: NDArray[np.float32],
    *,
    column: int = 0,
) -> tuple[NDArray[np.float32], int, int]:
    """The gradients that optimizers see, as ``(grads, column, stride)`` for ``optimize.update``.

    The caller's arrays come back untouched when no segment changes gradients; else a new float32 ``[n, dim]`` buffer.
    ``scales`` float32 ``[segments]`` as in :func:`read`, after :func:`monolith_kernels.rules.quantizers.scale_at`.
    """
    if not any(isinstance(segment.quantizer, quantizers.OneBit) for segment in layout.segments):
        return grads, column, stride
    out = np.empty((len(numbers), layout.dim), np.float32)
    for segment, place, scale in zip(layout.segments, layout.places, scales, strict=True):
        _backward(
            profile_value(profile), segment.quantizer, rows.reshape(-1), numbers, layout.width, place.embedding,
            place.dim, grads.reshape(-1), column + place.embedding, stride, out.reshape(-1), place.embedding,
            layout.dim, np.float32(scale),
        )  # fmt: skip
    return out, 0, layout.dim
