"""Exclusive prefix sums on the device: the same result in every run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from monolith_kernels.arrays import I4
from monolith_kernels.cuda.launch import THREADS, cuda_kernel, device_array

__all__ = ["block_sums", "exclusive_sum"]


@cuda_kernel
def _scan_blocks(values: I4, count: int, out: I4, totals: I4) -> None:
    """Exclusive sums inside every block of THREADS values, and the blocks' totals."""
    shared = cuda.shared.array(THREADS, np.int32)
    lane = cuda.threadIdx.x
    i = cuda.grid(1)
    own = np.int32(0)
    if i < count:
        own = values[i]
    shared[lane] = own
    cuda.syncthreads()
    reach = 1
    while reach < THREADS:
        before = np.int32(0)
        if lane >= reach:
            before = shared[lane - reach]
        cuda.syncthreads()
        shared[lane] += before
        cuda.syncthreads()
        reach *= 2
    if i < count:
        out[i] = shared[lane] - own
    if lane == THREADS - 1:
        totals[cuda.blockIdx.x] = shared[lane]


@cuda_kernel
def _add_totals(out: I4, count: int, before: I4) -> None:
    """Add what the blocks before hold."""
    i = cuda.grid(1)
    if i < count:
        out[i] += before[cuda.blockIdx.x]


@cuda_kernel
def _last(values: I4, sums: I4, count: int, total: I4) -> None:
    """The sum of everything."""
    total[0] = sums[count - 1] + values[count - 1]


def exclusive_sum(values: Any) -> tuple[Any, int]:
    """Exclusive prefix sums of int32[n] on the device, and the total (which waits for the device)."""
    count = len(values)
    if count == 0:
        return device_array(0, np.int32), 0
    sums = block_sums(values)
    total = device_array(1, np.int32)
    _last.launch(1, 1, values, sums, count, total)
    return sums, int(total.copy_to_host()[0])


def block_sums(values: Any) -> Any:
    """Exclusive prefix sums of int32[n] on the device, n at least 1."""
    count = len(values)
    blocks = -(-count // THREADS)
    out, totals = device_array(count, np.int32), device_array(blocks, np.int32)
    _scan_blocks.launch(blocks, THREADS, values, count, out, totals)
    if blocks > 1:
        _add_totals.launch(blocks, THREADS, out, count, block_sums(totals))
    return out
