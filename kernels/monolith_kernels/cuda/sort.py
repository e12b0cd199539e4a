"""Stable radix sort of (key, value) pairs on the device, four bits a pass: the same order in every run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from monolith_kernels.arrays import I4
from monolith_kernels.cuda.launch import THREADS, cuda_kernel, device_array
from monolith_kernels.cuda.scan import block_sums

__all__ = ["sort_pairs"]

_DIGITS = 16
_EACH = 8
"""Contiguous elements of a thread; that a thread, and a block, takes neighbours keeps the sort stable."""


@cuda_kernel
def _count(keys: I4, count: int, shift: int, blocks: int, totals: I4) -> None:
    """Per digit and block, how many keys of the block have the digit."""
    counts = cuda.shared.array((_DIGITS, THREADS), np.int32)
    lane = cuda.threadIdx.x
    for digit in range(_DIGITS):
        counts[digit, lane] = 0
    first = (cuda.blockIdx.x * THREADS + lane) * _EACH
    for i in range(first, min(first + _EACH, count)):
        counts[(keys[i] >> shift) & (_DIGITS - 1), lane] += 1
    cuda.syncthreads()
    for digit in range(lane, _DIGITS, THREADS):
        total = np.int32(0)
        for other in range(THREADS):
            total += counts[digit, other]
        totals[digit * blocks + cuda.blockIdx.x] = total


@cuda_kernel
def _scatter(
    keys: I4, values: I4, count: int, shift: int, blocks: int, starts: I4, out_keys: I4, out_values: I4
) -> None:
    """Put every pair behind those with a smaller digit, and behind earlier ones of the same digit."""
    counts = cuda.shared.array((_DIGITS, THREADS), np.int32)
    lane = cuda.threadIdx.x
    for digit in range(_DIGITS):
        counts[digit, lane] = 0
    first = (cuda.blockIdx.x * THREADS + lane) * _EACH
    for i in range(first, min(first + _EACH, count)):
        counts[(keys[i] >> shift) & (_DIGITS - 1), lane] += 1
    cuda.syncthreads()
    for digit in range(lane, _DIGITS, THREADS):
        place = starts[digit * blocks + cuda.blockIdx.x]
        for other in range(THREADS):
            own = counts[digit, other]
            counts[digit, other] = place
            place += own
    cuda.syncthreads()
    for i in range(first, min(first + _EACH, count)):
        key = keys[i]
        digit = (key >> shift) & (_DIGITS - 1)
        place = counts[digit, lane]
        counts[digit, lane] = place + 1
        out_keys[place] = key
        out_values[place] = values[i]


@cuda_kernel
def _iota(out: I4, count: int) -> None:
    """0, 1, 2, ..."""
    i = cuda.grid(1)
    if i < count:
        out[i] = i


def sort_pairs(keys: Any, limit: int) -> tuple[Any, Any]:
    """Sort int32 keys in [-1, limit), stable: (sorted keys, the positions they came from), new device arrays.

    Keys of -1 sort behind all others.
    """
    count = len(keys)
    values = device_array(count, np.int32)
    _iota.per_item(count, values, count)
    if count == 0:
        return device_array(0, np.int32), values
    blocks = -(-count // (THREADS * _EACH))
    totals = device_array(_DIGITS * blocks, np.int32)
    for shift in range(0, max(limit, 1).bit_length(), 4):
        out_keys, out_values = device_array(count, np.int32), device_array(count, np.int32)
        _count.launch(blocks, THREADS, keys, count, shift, blocks, totals)
        _scatter.launch(blocks, THREADS, keys, values, count, shift, blocks, block_sums(totals), out_keys, out_values)
        keys, values = out_keys, out_values
    return keys, values
