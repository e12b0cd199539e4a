"""CUDA kernels of :mod:`monolith_kernels.cuda.shard`."""

from __future__ import annotations

from numba import cuda

from monolith_kernels.arrays import F4, I4, I8
from monolith_kernels.cuda._dedup import part_of
from monolith_kernels.cuda.launch import cuda_kernel

__all__ = ["cells", "merge", "move", "offsets", "owners", "send"]


@cuda_kernel
def owners(ids: I8, count: int, ranks: int, first: int, out: I4) -> None:
    """Floor-mod owners from rank ``first`` (0 or 1) on."""
    i = cuda.grid(1)
    if i < count:
        out[i] = ids[i] % (ranks - first) + first


@cuda_kernel
def cells(splits: I8, count: int, tables: int, keys: I4, counts: I4) -> None:
    """Owner to (owner, table), counted."""
    u = cuda.grid(1)
    if u < count:
        key = keys[u] * tables + part_of(splits, u)
        keys[u] = key
        cuda.atomic.add(counts, key, 1)


@cuda_kernel
def send(unique: I8, sent: I4, count: int, order: I4, ids: I8) -> None:
    """Ids in send order, and every id's position in it."""
    position = cuda.grid(1)
    if position < count:
        u = sent[position]
        order[u] = position
        ids[position] = unique[u]


@cuda_kernel
def offsets(order: I4, count: int, ends: I8, starts: I8, widths: I8, out: I8) -> None:
    """Element offset of each id; ``ends`` are the send positions where cells begin, ``starts`` their first elements."""
    u = cuda.grid(1)
    if u < count:
        position = order[u]
        cell = part_of(ends, position)
        out[u] = starts[cell] + (position - ends[cell]) * widths[cell % len(widths)]


@cuda_kernel
def merge(ids: I8, count: int, received: I8, starts: I8, order: I4, merged: I8) -> None:
    """Move every received id to its place; ``received``: positions where cells begin, ``starts``: their places."""
    i = cuda.grid(1)
    if i < count:
        cell = part_of(received, i)
        place = starts[cell] + (i - received[cell])
        order[i] = place
        merged[place] = ids[i]


@cuda_kernel
def move(values: F4, from_offsets: I8, to_offsets: I8, count: int, width: int, out: F4) -> None:
    """Copy vectors of ``width`` elements."""
    i = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if i < count:
        source = from_offsets[i]
        target = to_offsets[i]
        if target >= 0:
            for c in range(cuda.threadIdx.x, width, cuda.blockDim.x):
                if source >= 0:
                    out[target + c] = values[source + c]
                else:
                    out[target + c] = 0
