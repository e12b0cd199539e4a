"""Rows that a list names more than once: sums of their gradients without a sort and without touching the other rows.

A list of row numbers says which positions belong together as well as the ids do, and rows have numbers from 0 up: a
word beside each row's time remembers where in the list the row occurred first. So finding the repeats and setting the
times is one pass, and gradients of rows that occur once (nearly all, in a large batch of a large table) stay where they
are. Rule: tables 1, ``enable_dedup``: the first gradient is copied, later ones are added in order.

``notes`` is int32, two words a row: its time, and ``base`` plus the position of its first occurrence. Words below
``base`` are of earlier lists.
"""

from __future__ import annotations

import numpy as np

from monolith_kernels.arrays import F4, I4
from monolith_kernels.cpu._vectors import LANES, add_lanes, move_lanes
from monolith_kernels.fetch import prefetch_near
from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = ["find_repeats", "fold_repeats", "padded"]

_AHEAD = 16


def padded(dim: int) -> int:
    """How far apart :func:`fold_repeats` puts sums of ``dim`` floats."""
    return -(-dim // LANES) * LANES


@kernel
def find_repeats(rows: I4, notes: I4, base: int, time: int, later: I4, firsts: I4) -> int:
    """Set the time of every row, and list the positions whose row occurred before.

    Parameters
    ----------
    rows : int32[n]
        None negative.
    notes : int32, flat
        See above; ``base + n`` fits int32.
    time : int32
        The bits of the time.
    later, firsts : int32[n]
        Written in their first entries: positions whose row occurred before, ascending, and where it occurred first.

    Returns
    -------
    int
        How many positions were listed.
    """
    count = 0
    last = len(rows) - 1
    for i in range(len(rows)):
        prefetch_near(notes, np.int64(at(rows, min(i + _AHEAD, last))) * 2)
        place = np.int64(at(rows, i)) * 2
        note = at(notes, place + 1)
        if note < base:
            put(notes, place, np.int32(time))
            put(notes, place + 1, np.int32(base + i))
        else:
            put(later, count, np.int32(i))
            put(firsts, count, np.int32(note - base))
            count += 1
    return count


@kernel
def fold_repeats(
    rows: I4, grads: F4, column: int, stride: int, dim: int, later: I4, firsts: I4, out_rows: I4, sums: F4, width: int
) -> int:
    """Add up the gradients of rows that occur more than once, and take those rows out of the list.

    Parameters
    ----------
    rows : int32[n]
        All positions of such rows become negative.
    grads : float32, flat
        That of position i begins at ``column + i * stride``.
    later, firsts : int32[c]
        What :func:`find_repeats` listed.
    out_rows : int32[c]
        Written in its first entries: these rows, by the order of their second occurrences.
    sums : float32[c * width]
        Written: their sums, ``width`` (:func:`padded`) floats apart.

    Returns
    -------
    int
        How many rows there are.
    """
    found = 0
    safe = len(grads) - width
    last = len(later) - 1
    for k in range(len(later)):
        prefetch_near(rows, np.int64(at(firsts, min(k + _AHEAD, last))))
        position, first = np.int64(at(later, k)), np.int64(at(firsts, k))
        row = at(rows, first)
        slot = np.int64(-1) - row
        if row >= 0:
            slot = np.int64(found)
            found += 1
            put(out_rows, slot, row)
            put(rows, first, np.int32(-1 - slot))
            _copy(grads, column + first * stride, dim, sums, slot * width, width, safe)
        put(rows, position, np.int32(-1))
        source, target = column + position * stride, slot * width
        if source <= safe:  # whole vectors run on into the next position's floats, which are added to pads
            for c in range(0, width, LANES):
                add_lanes(sums, target + c, grads, source + c)
        else:
            for c in range(dim):
                put(sums, target + c, at(sums, target + c) + at(grads, source + c))
    return found


@kernel
def _copy(grads: F4, source: int, dim: int, sums: F4, target: int, width: int, safe: int) -> None:
    if source <= safe:
        for c in range(0, width, LANES):
            move_lanes(sums, target + c, grads, source + c)
    else:
        for c in range(width):
            put(sums, target + c, at(grads, source + c) if c < dim else np.float32(0.0))
