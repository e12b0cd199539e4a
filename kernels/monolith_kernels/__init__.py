"""Arithmetic and memory kernels, compiled for CPU and for CUDA. Knows numpy and numba only."""

from monolith_kernels.target import Target, target

__all__ = ["Target", "target"]
