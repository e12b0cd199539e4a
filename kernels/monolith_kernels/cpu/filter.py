"""Counting for admission filters. Rules: filters 2 to 7. Each id sees the counts of those before it in the batch.

State is plain arrays. A hash filter is ``cells`` uint16 (or uint8) of ``total_size + 64`` and ``state`` int64[3] =
[elements, failures, 0]; a sliding filter is ``cells`` uint16[k, total_size + 64], ``elements`` int64[k] and ``state``
int64[3] = [head, head_increment, failures]. A cell is ``signature << 4 | count``. ``counts`` (int64) are taken modulo
2**32.

``options`` are added up: ``IDENTITY_HASH`` takes the position from the id itself instead of its SplitMix64 (golden
vectors steer collisions so); ``SIGNATURE_HASH`` takes the signature from the hash's high bits (extension
``filter_signature_hash``); ``COUNT_ZERO`` lets a count of 0 claim a cell (quirk ``filter_zero_count``), else it is a
pure read.
"""

from __future__ import annotations

from monolith_kernels.admission import COUNT_ZERO, IDENTITY_HASH, SIGNATURE_HASH
from monolith_kernels.arrays import I4, I8, U1, U2, U8
from monolith_kernels.cpu import _filter as loops

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
    """HashFilter.add for every id in order; ``out`` int32[n] = the count before, 15 after a failed probe.

    ``total_size`` is ``len(cells) - 64``; ``state`` and ``cells`` change.
    """
    loops.hash_add(cells, state, capacity, max_step, _signature_bits(cells), options, ids, counts, out)


def hash_get(cells: U2 | U1, max_step: int, options: int, ids: I8, out: I4) -> None:
    """HashFilter.get for every id: nothing is written but ``out`` int32[n]."""
    loops.hash_get(cells, max_step, _signature_bits(cells), options, ids, out)


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
    """should_be_filtered for every id in order.

    Parameters
    ----------
    counts : int64[n]
        Occurrences reported for every id.
    thresholds : int32[32768] or int32[1]
        Occurrence threshold per slot (``(id >> 48) & 0x7FFF``), or one for all. At or below 0 nothing is counted.
    present : uint8[n] or uint8[0]
        Non-zero: the id has a row, the filter is not asked. Empty: nothing has.
    filtered : uint8[n]
        Written: 1 where the update must be dropped.

    Returns
    -------
    int
        How many were filtered.
    """
    bits = _signature_bits(cells)
    return int(
        loops.hash_admit(cells, state, capacity, max_step, bits, options, ids, counts, thresholds, present, filtered)
    )


def sliding_add(cells: U2, elements: I8, state: I8, capacity: int, options: int, ids: I8, counts: I8, out: I4) -> None:
    """SlidingHashFilter.add for every id in order; ``capacity`` is that of one split (``split_capacity``)."""
    loops.sliding_add(cells.reshape(-1), elements, state, capacity, len(cells), options, ids, counts, out)


def sliding_get(cells: U2, state: I8, options: int, ids: I8, out: I4) -> None:
    """SlidingHashFilter.get for every id: nothing is written but ``out`` int32[n]."""
    loops.sliding_get(cells.reshape(-1), state, len(cells), options, ids, out)


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
    """should_be_filtered of a sliding filter; arguments as :func:`hash_admit` and :func:`sliding_add`."""
    flat, splits = cells.reshape(-1), len(cells)
    return int(
        loops.sliding_admit(
            flat, elements, state, capacity, splits, options, ids, counts, thresholds, present, filtered
        )
    )


def probabilistic_admit(state: U8, equal: bool, ids: I8, counts: I8, thresholds: I4, present: U1, filtered: U1) -> int:
    """should_be_filtered of a probabilistic filter: one draw per id that has no row, in order.

    ``state`` uint64[2] = xorshift128+ words s0, s1, advanced; ``equal``: the equal-probability formula.
    """
    return int(loops.probabilistic_admit(state, equal, ids, counts, thresholds, present, filtered))
