"""CUDA kernels of :mod:`monolith_kernels.cuda.segment`: sums of gradients over the occurrences of an id.

``slots`` are the occurrences' slots, sorted; ``order`` the occurrences in that order, counted from ``splits[0]``.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

from monolith_kernels.arrays import F4, F8, I4, I8
from monolith_kernels.cuda._dedup import part_of
from monolith_kernels.cuda.launch import cuda_kernel
from monolith_kernels.prim import mul
from monolith_kernels.superaccumulator import add_term

__all__ = ["add_limbs", "gradient_limbs", "gradient_sums", "gradient_sums_exact"]


@cuda_kernel
def gradient_sums(
    grad: F4,
    stride: int,
    column: int,
    dim: int,
    splits: I8,
    slots: I4,
    order: I4,
    count: int,
    scale: F4,
    targets: I8,
    out: F4,
    first_new: int,
) -> None:
    """The first occurrence of each slot adds all of the slot's, a lane per element."""
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k < count and (k == 0 or slots[k - 1] != slots[k]):
        slot = slots[k]
        target = targets[slot]
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            total = np.float32(0.0)
            if slot < first_new:
                total = out[target + c]
            m = k
            while m < count and slots[m] == slot:
                i = part_of(splits, order[m] + splits[0])
                value = grad[i * stride + column + c]
                if len(scale) > 0:
                    value = mul(value, scale[i])
                total += value
                m += 1
            out[target + c] = total


@cuda_kernel
def gradient_sums_exact(
    grad: F4,
    stride: int,
    column: int,
    dim: int,
    splits: I8,
    slots: I4,
    order: I4,
    count: int,
    scale: F4,
    targets: I8,
    out: F8,
    error: F8,
    first_new: int,
) -> None:
    """As gradient_sums, in float64 by TwoSum; a NaN or an infinity makes the error NaN."""
    k = cuda.blockIdx.x * cuda.blockDim.y + cuda.threadIdx.y
    if k < count and (k == 0 or slots[k - 1] != slots[k]):
        slot = slots[k]
        target = targets[slot]
        for c in range(cuda.threadIdx.x, dim, cuda.blockDim.x):
            total = np.float64(0.0)
            wrong = np.float64(0.0)
            if slot < first_new:
                total = out[target + c]
                wrong = error[target + c]
            m = k
            while m < count and slots[m] == slot:
                i = part_of(splits, order[m] + splits[0])
                value = grad[i * stride + column + c]
                if len(scale) > 0:
                    value = mul(value, scale[i])
                v = np.float64(value)
                t = total + v
                b = t - total
                wrong += abs((total - (t - b)) + (v - b))
                total = t
                m += 1
            out[target + c] = total
            error[target + c] = wrong


@cuda_kernel
def gradient_limbs(
    grad: F4,
    stride: int,
    column: int,
    dim: int,
    splits: I8,
    positions: I4,
    scale: F4,
    targets: I8,
    elements: I8,
    limbs: I8,
) -> None:
    """A thread per listed element walks all occurrences."""
    e = cuda.grid(1)
    if e < len(elements):
        for i in range(len(splits) - 1):
            for j in range(splits[i], splits[i + 1]):
                c = elements[e] - targets[positions[j]]
                if c >= 0 and c < dim:
                    value = grad[i * stride + column + c]
                    if len(scale) > 0:
                        value = mul(value, scale[i])
                    add_term(limbs, e, np.float64(value))


@cuda_kernel
def add_limbs(elements: I8, limbs: I8, all_elements: I8, all_limbs: I8) -> None:
    """A thread per accumulator finds its element by halving."""
    e = cuda.grid(1)
    if e < len(elements):
        low = 0
        high = len(all_elements) - 1
        while low < high:
            middle = (low + high) // 2
            if all_elements[middle] < elements[e]:
                low = middle + 1
            else:
                high = middle
        for word in range(limbs.shape[1]):
            all_limbs[low, word] += limbs[e, word]
