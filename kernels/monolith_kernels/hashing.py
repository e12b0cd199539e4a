"""The 64-bit mixer that decides where an id goes: slots of an index, scratch tables, filter cells. Rule: filters 2.

``splitmix64`` is a stub in the sense of ``prim``: plain integers in Python and in the CUDA simulator, wrapping uint64
arithmetic when compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_kernels.arrays import I8, U8
from monolith_kernels.prim import both

__all__ = ["hash_slot", "splitmix64", "splitmix64_of"]

_MASK = (1 << 64) - 1


def splitmix64(key: Any) -> Any:
    """SplitMix64 of an int64 id (Python: an int in [0, 2**64); compiled: uint64)."""
    z = (int(key) + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _splitmix64(key: Any) -> Any:
    z = np.uint64(key) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@both(splitmix64)
def _splitmix64_compiled(key: Any) -> Any:
    return _splitmix64


def splitmix64_of(ids: I8) -> U8:
    """The mixer over an int64 array (NumPy): uint64 of the same shape."""
    mixed: U8 = _splitmix64(np.asarray(ids, np.int64).view(np.uint64))
    return mixed


def hash_slot(key: Any, capacity: Any) -> Any:
    """Where probing for an id begins on a device: the low bits of its hash; the capacity is a power of two."""
    return splitmix64(key) & (int(capacity) - 1)


def _hash_slot(key: Any, capacity: Any) -> Any:
    return np.int64(splitmix64(key) & np.uint64(capacity - 1))


@both(hash_slot)
def _hash_slot_compiled(key: Any, capacity: Any) -> Any:
    return _hash_slot
