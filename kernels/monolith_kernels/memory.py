"""Row storage that never moves, aligned arrays, and buffers that only grow.

A table's rows live in address space that is reserved once and touched as it fills, so growing costs nothing and a view
of the rows stays valid. Where reserving is refused (strict overcommit, a limit) rows are copied on growth.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["ALIGNMENT", "Buffer", "RowStorage", "aligned_empty", "aligned_zeros"]

ALIGNMENT = 64
"""Bytes; one cache line, and the widest vector."""

_NO_RESERVE = 0x4000
_RESERVED_BYTES = 1 << 38
_HUGE_FROM = 4 << 20
"""Bytes of usable rows from which on huge pages are asked for: fewer take no more memory than they fill."""
_HUGE = 2 << 20
_COLLAPSE = 25
"""``MADV_COLLAPSE`` of Linux 6.1: put what was touched before into huge pages now."""


def aligned_empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An uninitialised C-contiguous array whose first element is 64-byte aligned."""
    kind = np.dtype(dtype)
    dims = (shape,) if isinstance(shape, int) else shape
    size = kind.itemsize
    for dim in dims:
        size *= int(dim)
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(kind).reshape(dims)


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Like :func:`aligned_empty`, filled with zero bytes."""
    array = aligned_empty(shape, dtype)
    array.fill(0)
    return array


class RowStorage:
    """Rows of one width and type that grow in place: ``storage.rows`` is ``[capacity, width]``, zero until written.

    Parameters
    ----------
    width : int
        Elements per row. Rows are 64-byte aligned where ``width`` times the element size is a multiple of 64.
    dtype
        Element type, float32 by default.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, width: int, dtype: DTypeLike = np.float32, capacity: int = 0) -> None:
        self.width = width
        self.dtype = np.dtype(dtype)
        self._row_bytes = max(width * self.dtype.itemsize, 1)
        self._space: mmap.mmap | None = None
        self._whole = self._reserve()
        self.rows: NDArray[Any] = self._view(0)
        self.ensure(capacity)

    def _reserve(self) -> NDArray[Any] | None:
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
            space = mmap.mmap(-1, _RESERVED_BYTES, flags=flags)
        except (OSError, ValueError):
            return None
        self._space = space
        elements = _RESERVED_BYTES // self._row_bytes * self.width
        return np.frombuffer(space, self.dtype, elements).reshape(-1, self.width)

    def _view(self, capacity: int) -> NDArray[Any]:
        if self._whole is not None:
            return self._whole[:capacity]
        return aligned_zeros((capacity, self.width), self.dtype)

    @property
    def capacity(self) -> int:
        """Rows that may be used now."""
        return len(self.rows)

    @property
    def moves(self) -> bool:
        """Whether growing copies (address space could not be reserved)."""
        return self._whole is None

    def ensure(self, count: int) -> None:
        """Make at least ``count`` rows usable; existing rows keep their content, and their place unless ``moves``."""
        if count <= self.capacity:
            return
        wanted, used = max(count, self.capacity * 2, 1024), self.rows.nbytes
        if self._whole is not None:
            if count > len(self._whole):
                raise MemoryError(f"{count} rows of {self.width} {self.dtype} do not fit the reserved space")
            self.rows = self._view(min(wanted, len(self._whole)))
            if self._space is not None and self.rows.nbytes >= _HUGE_FROM and hasattr(mmap, "MADV_HUGEPAGE"):
                self._space.madvise(mmap.MADV_HUGEPAGE)
                if used:
                    with contextlib.suppress(OSError):  # older systems do it by and by
                        self._space.madvise(_COLLAPSE, 0, -(-used // _HUGE) * _HUGE)
                self._space = None
            return
        grown = self._view(wanted)
        grown[: self.capacity] = self.rows
        self.rows = grown


class Buffer:
    """A flat aligned array that is reused from batch to batch and grows when it must.

    ``take(n)`` gives the first ``n`` elements; their content is what the last user left there.
    """

    def __init__(self, dtype: DTypeLike, size: int = 0) -> None:
        self._array = aligned_empty(size, dtype)

    def take(self, size: int) -> NDArray[Any]:
        """The first ``size`` elements, as a view that is valid until a larger one is taken."""
        if size > len(self._array):
            self._array = aligned_empty(max(size, len(self._array) * 3 // 2), self._array.dtype)
        return self._array[:size]
