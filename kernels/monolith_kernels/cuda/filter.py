"""Counting for admission filters on CUDA. Twin of :mod:`monolith_kernels.cpu.filter`, whose descriptions hold.

Every answer depends on all ids before it (a full split even moves the head), so one thread walks the batch: right, and
no faster than a host. All arrays live on the device.
"""

from __future__ import annotations

import numpy as np

from monolith_kernels.admission import COUNT_ZERO, IDENTITY_HASH, SIGNATURE_HASH
from monolith_kernels.arrays import I4, I8, U1, U2, U8
from monolith_kernels.cuda import _filter as loops
from monolith_kernels.cuda.launch import device_array

__all__ = [
    "COUNT_ZERO",
    "IDENTITY_HASH",
    "SIGNATURE_HASH",
    "hash_add",
    "hash_admit",
    "hash_get",
    "probabilistic_admit",
    "sliding_add",
    "sliding_admit",
    "sliding_get",
]


def _signature_bits(cells: U2 | U1) -> int:
    """Bits of a signature: what four bits of count leave of a cell."""
    return int(cells.dtype.itemsize) * 8 - 4


def hash_add(
    cells: U2 | U1, state: I8, capacity: int, max_step: int, options: int, ids: I8, counts: I8, out: I4
) -> None:
    """HashFilter.add for every id in order; ``out`` int32[n] = the count before, 15 after a failed probe."""
    loops.hash_add.launch(1, 1, cells, state, capacity, max_step, _signature_bits(cells), options, ids, counts, out)


def hash_get(cells: U2 | U1, max_step: int, options: int, ids: I8, out: I4) -> None:
    """HashFilter.get for every id: nothing is written but ``out`` int32[n]."""
    loops.hash_get.per_item(len(ids), cells, max_step, _signature_bits(cells), options, ids, out)


def hash_admit(
    cells: U2 | U1,
    state: I8,
    capacity: int,
    max_step: int,
    options: int,
    ids: I8,
    counts: I8,
    thresholds: I4,
    present: U1,
    filtered: U1,
) -> int:
    """should_be_filtered for every id in order; returns how many were filtered."""
    dropped, bits = device_array(1, np.int32), _signature_bits(cells)
    loops.hash_admit.launch(
        1, 1, cells, state, capacity, max_step, bits, options, ids, counts, thresholds, present, filtered, dropped
    )
    return int(dropped.copy_to_host()[0])


def sliding_add(cells: U2, elements: I8, state: I8, capacity: int, options: int, ids: I8, counts: I8, out: I4) -> None:
    """SlidingHashFilter.add for every id in order; ``capacity`` is that of one split (``split_capacity``)."""
    loops.sliding_add.launch(1, 1, cells.reshape(-1), elements, state, capacity, len(cells), options, ids, counts, out)


def sliding_get(cells: U2, state: I8, options: int, ids: I8, out: I4) -> None:
    """SlidingHashFilter.get for every id: nothing is written but ``out`` int32[n]."""
    loops.sliding_get.per_item(len(ids), cells.reshape(-1), state, len(cells), options, ids, out)


def sliding_admit(
    cells: U2,
    elements: I8,
    state: I8,
    capacity: int,
    options: int,
    ids: I8,
    counts: I8,
    thresholds: I4,
    present: U1,
    filtered: U1,
) -> int:
    """should_be_filtered of a sliding filter; returns how many were filtered."""
    dropped, flat = device_array(1, np.int32), cells.reshape(-1)
    loops.sliding_admit.launch(
        1,
        1,
        flat,
        elements,
        state,
        capacity,
        len(cells),
        options,
        ids,
        counts,
        thresholds,
        present,
        filtered,
        dropped,
    )
    return int(dropped.copy_to_host()[0])


def probabilistic_admit(state: U8, equal: bool, ids: I8, counts: I8, thresholds: I4, present: U1, filtered: U1) -> int:
    """should_be_filtered of a probabilistic filter: one draw per id that has no row, in order."""
    dropped = device_array(1, np.int32)
    loops.probabilistic_admit.launch(1, 1, state, int(equal), ids, counts, thresholds, present, filtered, dropped)
    return int(dropped.copy_to_host()[0])
