"""Distinct ids of a batch on CUDA. Twin of :mod:`monolith_kernels.cpu.dedup`, whose descriptions hold.

Ids, inverse and counts live on the device; splits are host arrays.
"""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import I4, I8, Groups, Unique
from monolith_kernels.cuda import _dedup
from monolith_kernels.cuda._index import LATE, fill_int32
from monolith_kernels.cuda.launch import device_array, on_device
from monolith_kernels.cuda.scan import exclusive_sum
from monolith_kernels.cuda.sort import sort_pairs

__all__ = ["Scratch", "group", "unique_tables"]


class Scratch:
    """Memory of :func:`unique_tables`, kept between batches."""

    def __init__(self) -> None:
        self._size = 0

    def tables(self, size: int) -> tuple[I4, I4]:
        """Two int32 arrays of at least ``size`` elements, all -1 and all ``LATE``."""
        if size > self._size:
            self._size = size
            self._holders: I4 = device_array(size, np.int32)
            self._firsts: I4 = device_array(size, np.int32)
        holders, firsts = self._holders[:size], self._firsts[:size]
        fill_int32.per_item(size, holders, -1)
        fill_int32.per_item(size, firsts, LATE)
        return holders, firsts


def unique_tables(values: I8, table_splits: I8, scratch: Scratch | None = None, threads: int = 1) -> Unique:
    """Distinct ids per table, never across tables, in order of first occurrence.

    ``values`` int64[n] on the device, ``table_splits`` int64[K + 1] on the host.
    """
    count, tables = len(values), len(table_splits) - 1
    capacity = 1 << max(2 * count, 64).bit_length()
    holders, firsts = (scratch or Scratch()).tables(capacity)
    splits = on_device(np.ascontiguousarray(table_splits, np.int64))
    slots, flags = device_array(count, np.int32), device_array(count, np.int32)
    _dedup.claim.per_item(count, values, splits, count, holders, firsts, slots)
    _dedup.flag_first.per_item(count, firsts, slots, count, flags)
    before, found = exclusive_sum(flags)
    unique, inverse, counts = (
        device_array(found, np.int64),
        device_array(count, np.int32),
        device_array(found, np.int32),
    )
    _dedup.take.per_item(count, values, flags, before, count, unique, counts)
    _dedup.number.per_item(count, firsts, slots, before, count, inverse, counts)
    starts = device_array(tables + 1, np.int32)
    _dedup.starts_of_tables.per_item(tables + 1, before, count, found, splits, starts)
    return Unique(unique, inverse, starts.copy_to_host().astype(np.int64), counts)


def group(inverse: I4, counts: I4) -> Groups:
    """Occurrences of every distinct id, ascending: a stable sort of ``inverse`` (numbers below ``len(counts)``)."""
    slots = len(counts)
    _, occurrences = sort_pairs(inverse, slots)
    before, total = exclusive_sum(counts)
    splits = device_array(slots + 1, np.int64)
    _dedup.widen.per_item(slots + 1, before, slots, total, splits)
    return Groups(splits, occurrences)
