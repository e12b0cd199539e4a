"""Buffers behind tensors: a matrix of values and, where needed, one of gradients, kept from step to step.

A matrix is ``[capacity, stride]`` on the target; a tensor is some columns of it. Kernels want whole matrices that
begin at column 0, so widths of 8 and more are padded to multiples of 16 and pads stay zero. Columns are copied and
added here: by NumPy on the CPU, and through the host elsewhere (one rounding per addition either way).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from monolith_kernels.target import Target

__all__ = ["Matrix", "Storage", "aligned_zeros", "padded_width"]

Matrix = Any
"""A float32 array on the target (NumPy, or a device array)."""

_ALIGNMENT = 64


def padded_width(width: int) -> int:
    """Columns that a matrix of ``width`` columns gets: multiples of 16 from 8 on, unpadded below."""
    return -(-width // 16) * 16 if width >= 8 else max(width, 1)


def aligned_zeros(rows: int, stride: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Host zeros, float32 [rows, stride], beginning at a multiple of 64 bytes."""
    raw = np.zeros(rows * stride * 4 + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + rows * stride * 4].view(np.float32).reshape(rows, stride)


class Storage:
    """Values (and gradients) of up to ``capacity`` rows, ``width`` columns used of ``stride``."""

    def __init__(self, target: Target, width: int, needs_gradient: bool) -> None:
        self.target = target
        self.width = width
        self.stride = padded_width(width)
        self.needs_gradient = needs_gradient
        self.capacity = 0
        self.rows = 0
        self.started = False
        self._values: Matrix = None
        self._gradients: Matrix = None
        self._scratch: Matrix = None

    def begin(self, rows: int) -> None:
        """Make room for a step of ``rows`` rows; no gradient has arrived yet."""
        self.rows = rows
        self.started = False
        if rows > self.capacity or self._values is None:
            self.capacity = max(rows, self.capacity, 1)
            self._values = self._zeros()
            self._gradients = self._zeros() if self.needs_gradient else None
            self._scratch = None

    def _zeros(self) -> Matrix:
        return self.target.asarray(aligned_zeros(self.capacity, self.stride))

    @property
    def values(self) -> Matrix:
        """Values of this step, [rows, stride]."""
        return self._values[: self.rows]

    @property
    def gradients(self) -> Matrix:
        """Gradients of this step, [rows, stride]; all +0 where none arrived."""
        if not self.started:
            self._clear()
        return self._gradients[: self.rows]

    def _clear(self) -> None:
        self.started = True
        if self.rows:
            zeros = np.zeros((self.rows, self.stride), np.float32)
            self._gradients[: self.rows] = self.target.asarray(zeros)

    def receive(self) -> tuple[Matrix, bool]:
        """Where a gradient of all columns is to be written, [rows, stride]; True: give it to :meth:`add`
        afterwards."""
        if not self.started:
            self.started = True
            return self._gradients[: self.rows], False
        if self._scratch is None:
            self._scratch = self._zeros()
        return self._scratch[: self.rows], True

    def add(self, part: Matrix) -> None:
        """Add a gradient of all columns."""
        whole = self._gradients[: self.rows].reshape(-1)
        self.target.dense.add(whole, part.reshape(-1), whole)

    def add_columns(self, column: int, part: Matrix, part_column: int, width: int) -> None:
        """Add columns of ``part`` ([rows, any]) to the gradients from ``column`` on."""
        if not self.started:
            self._clear()
        _columns(self.target, self._gradients[: self.rows], column, part, part_column, width, add=True)

    def set_columns(self, column: int, part: Matrix, part_column: int, width: int) -> None:
        """Copy columns of ``part`` ([rows, any]) into the values from ``column`` on."""
        _columns(self.target, self.values, column, part, part_column, width, add=False)


def _columns(
    target: Target, into: Matrix, column: int, part: Matrix, part_column: int, width: int, *, add: bool
) -> None:
    host = target.to_host(into)
    goal = host[:, column : column + width]
    source = target.to_host(part)[:, part_column : part_column + width]
    if add:
        np.add(goal, source, out=goal)
    else:
        goal[...] = source
    if host is not into:
        into[:] = target.asarray(host)
