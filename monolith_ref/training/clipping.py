"""Clipping by global norm, before any embedding gradient travels. Rule: features 6, sync_training 2.2, job 7.

A rank clips by its own norm: squares of its dense gradients and of the gradient of every id occurrence, summed in
float64. Under ``exact`` all ranks clip by one norm: the real sum of the squares of all occurrences of all ranks
and of the reduced dense gradients, rounded once to float64, its root once to float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from monolith_ref.features.ragged import Ragged
from monolith_ref.sync.communicator import Communicator

__all__ = ["clip_factor", "exact_norm", "exact_square_sum", "local_norm"]

Columns = Mapping[str, tuple[int, int]]

_UNIT = 298
"""Squares of float32 numbers are whole multiples of 2**-298."""


def local_norm(
    dense: Iterable[NDArray[np.float32]],
    dx: NDArray[np.float32],
    ragged: Mapping[str, Ragged],
    columns: Columns,
) -> np.float32:
    """A rank's own norm.

    An occurrence's gradient is its row's part of ``dx`` [rows, width or more], so a row counts once per id.
    """
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for gradient in dense:
            total += float(np.square(gradient, dtype=np.float64).sum())
        for part, counts in _occurrences(dx, ragged, columns):
            total += float((np.square(part, dtype=np.float64).sum(axis=1) * counts).sum())
        return np.float32(np.sqrt(total))


def _occurrences(
    dx: NDArray[np.float32], ragged: Mapping[str, Ragged], columns: Columns
) -> Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Per feature: gradients of the rows that have ids, and how many ids each has."""
    for feature, (first, width) in columns.items():
        counts = ragged[feature].lengths()
        used = counts > 0
        yield dx[used, first : first + width], counts[used]


def exact_square_sum(values: NDArray[np.float32], counts: NDArray[np.int64]) -> int:
    """The real sum of ``counts[i] * values[i, j]**2`` in units of 2**-298; finite values, counts below 2**20."""
    mantissa, exponent = np.frexp(values.astype(np.float64))
    whole = np.abs(mantissa * 2.0**24).astype(np.int64)
    square = whole * whole
    weight = np.broadcast_to(counts[:, None], values.shape)
    # value = whole * 2**(exponent - 24); halves of 24 bits keep every partial sum below 2**63.
    shift = (2 * (exponent.astype(np.int64) - 24) + _UNIT).reshape(-1)
    total = 0
    for part, extra in ((square & 0xFFFFFF, 0), (square >> 24, 24)):
        sums = np.zeros(_UNIT + 300, np.int64)
        np.add.at(sums, shift + 64, (part * weight).reshape(-1))
        total += sum(int(sums[place]) << (int(place) + extra) for place in np.flatnonzero(sums))
    return total >> 64


def exact_norm(
    communicator: Communicator,
    reduced: Iterable[NDArray[np.float32]],
    dx: NDArray[np.float32],
    ragged: Mapping[str, Ragged],
    columns: Columns,
) -> np.float32:
    """The norm over all ranks, the same bits on each; NaN or infinity where a gradient is."""
    mine, extreme = 0, 0.0
    for part, counts in _occurrences(dx, ragged, columns):
        if np.isfinite(part).all():
            mine += exact_square_sum(part, counts)
        else:
            extreme += float(np.abs(part[~np.isfinite(part)]).sum())
    for gradient in reduced if communicator.rank == 0 else ():
        flat = gradient.reshape(-1, 1)
        if np.isfinite(flat).all():
            mine += exact_square_sum(flat, np.ones(len(flat), np.int64))
        else:
            extreme += float(np.abs(flat[~np.isfinite(flat)]).sum())
    everything = communicator.allgather_bytes(f"{mine} {extreme}".encode(), "norm")
    parts = [text.decode().split() for text in everything]
    infinite = sum(float(part[1]) for part in parts)
    if infinite != 0:
        return np.float32(infinite)
    # Division of whole numbers rounds once.
    return np.float32(math.sqrt(sum(int(part[0]) for part in parts) / (1 << _UNIT)))


def clip_factor(limit: float, norm: np.float32) -> np.float32 | None:
    """What every gradient is multiplied by: float32(limit) / norm; None where the norm is not above the limit, or
    NaN."""
    with np.errstate(divide="ignore"):
        return np.float32(np.float32(limit) / norm) if norm > np.float32(limit) else None
