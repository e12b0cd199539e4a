"""Rows of a serving table: compressed values and a time, no optimizer state. Rule: tables 4, optimizers 6.

They live on the host: reads and writes of a serving table are packing and unpacking of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.table.index import RowIndex
from monolith_ref.table.rows import make_storage
from monolith_ref.table.store import RowDump, distinct_runs

__all__ = ["ServingStore"]

_TINY = np.float32(2.0**-126)
_TWO_EPS = np.float32(2 * np.finfo(np.float32).eps)


class ServingStore(RowIndex):
    """Index, packed rows and times of a serving table. ``skip_zero``: assigning a zero row erases its id."""

    def __init__(
        self, dims: Sequence[int], codecs: Sequence[Any], target: Target, *, skip_zero: bool = False, expected: int = 0
    ) -> None:
        super().__init__(make_target("cpu", target.profile, target.threads), expected)
        self.dims = tuple(dims)
        self.dim = sum(dims)
        self.codecs = tuple(codecs)
        self.skip_zero = skip_zero
        self.row_bytes = sum(dim * codec.size for dim, codec in zip(dims, codecs, strict=True))
        self._words = -(-self.row_bytes // 4)
        self._storage = make_storage(self.target, self._words)

    def _ensure(self, count: int) -> None:
        super()._ensure(count)
        self._storage.ensure(count)

    def _read(self, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Decoded rows [n, D]; a negative number reads as +0."""
        packed = np.empty(len(rows) * self._words, np.float32)
        self.target.lookup.gather(self._storage.rows, rows, 0, self._words, packed, 0, self._words, 1)
        out = np.empty((len(rows), self.dim), np.float32)
        byte, column = 0, 0
        for dim, codec in zip(self.dims, self.codecs, strict=True):
            self.target.quantize.decode(
                codec, packed.view(np.uint8), byte, 4 * self._words, len(rows), dim, out.reshape(-1), column, self.dim
            )
            byte += dim * codec.size
            column += dim
        out[rows < 0] = 0
        return out

    def _write(self, rows: NDArray[np.int32], values: NDArray[np.float32]) -> None:
        """Encode rows [n, D] into place; the last of equal numbers wins."""
        packed = np.zeros(len(rows) * self._words, np.float32)
        byte, column = 0, 0
        flat = np.ascontiguousarray(values).reshape(-1)
        for dim, codec in zip(self.dims, self.codecs, strict=True):
            self.target.quantize.encode(
                codec, flat, column, self.dim, len(rows), dim, packed.view(np.uint8), byte, 4 * self._words
            )
            byte += dim * codec.size
            column += dim
        self.target.lookup.assign(self._storage.rows, rows, 0, self._words, packed, 0, self._words)

    def lookup(self, ids: NDArray[np.int64], out: NDArray[np.float32]) -> int:
        """Decode the rows of ids into flat ``out``; returns how many positions were found."""
        rows = self.find(ids)
        out.reshape(len(ids), self.dim)[:] = self._read(rows)
        return int((rows >= 0).sum())

    def _number_zeroed(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        rows, new = self._number(ids)
        if len(new):
            zero = np.zeros(self._words, np.float32)
            self.target.lookup.assign(self._storage.rows, new, 0, self._words, zero, 0, 0)
        return np.array(rows)

    def assign(self, ids: NDArray[np.int64], values: NDArray[np.float32], req_time: int) -> None:
        """Encode rows [n, D] in position order; with ``skip_zero`` zero rows erase their id instead."""
        if self.skip_zero:
            # Only the last occurrence of an id decides.
            _, back = np.unique(ids[::-1], return_index=True)
            last = np.sort(len(ids) - 1 - back)
            ids, values = ids[last], values[last]
            zero = self.is_zero(values)
            self.erase(np.ascontiguousarray(ids[zero]))
            ids, values = np.ascontiguousarray(ids[~zero]), values[~zero]
        rows = self._number_zeroed(ids)
        self._write(rows, values)
        self._stamp(rows, req_time)

    def assign_add(self, ids: NDArray[np.int64], values: NDArray[np.float32], req_time: int) -> None:
        """Decode, add, encode, position by position; an absent id starts from zeros. Never erases."""
        rows = self._number_zeroed(ids)
        # A sum that overflows is an infinity and an infinity less another NaN, as in a training table: no warning.
        with np.errstate(over="ignore", invalid="ignore"):
            for lo, hi in distinct_runs(rows):
                self._write(rows[lo:hi], self._read(rows[lo:hi]) + values[lo:hi])
        self._stamp(rows, req_time)

    def import_(self, dump: RowDump, widths: NDArray[np.int64] | None = None) -> None:
        """Encode the weights of ``dump``; times become 0. Zero rows are left out under ``skip_zero``.

        ``widths`` int64[n]: floats of each row that are given, the rest keeps what the row has.
        """
        ids, weights = dump.ids, dump.weights
        if self.skip_zero:
            known = np.arange(self.dim) < (self.dim if widths is None else widths[:, None])
            kept = ~self.is_zero(np.where(known, weights, np.float32(0)))
            ids, weights = np.ascontiguousarray(ids[kept]), weights[kept]
            widths = None if widths is None else widths[kept]
        rows = self._number_zeroed(ids)
        for lo, hi in distinct_runs(rows):
            part = weights[lo:hi]
            if widths is not None:
                part = np.where(np.arange(self.dim) < widths[lo:hi, None], part, self._read(rows[lo:hi]))
            self._write(rows[lo:hi], part)
        self._stamp(rows, 0)

    def is_zero(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which rows count as zero: s, the float32 sum of squares in index order, is <= 2 eps s or < 2^-126."""
        total = np.zeros(len(values), np.float32)
        with np.errstate(all="ignore"):
            for column in range(self.dim):
                element = values[:, column]
                if self.target.profile == "avx":
                    total = _fused(element, element, total)
                else:
                    total = total + element * element
            return np.asarray((total <= _TWO_EPS * total) | (total < _TINY))

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part: index, rows, times."""
        return {**super().memory_usage(), "rows": self.next_row * self._words * 4}


def _fused(a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]) -> NDArray[np.float32]:
    """a*b + c rounded once: the exact sum in float64, rounded to odd, then to float32."""
    product = a.astype(np.float64) * b
    wide = c.astype(np.float64)
    total = product + wide
    part = total - product
    error = (product - (total - part)) + (wide - part)
    bits = total.view(np.int64)
    towards = np.where(error > 0, np.inf, -np.inf)
    odd = np.nextafter(total, towards)
    use = np.isfinite(total) & (error != 0) & (bits & 1 == 0)
    return np.where(use, odd, total).astype(np.float32)
