"""Which rows path B holds, and where: every fid that can occur has one position in the dense arrays.

The generated workload has [features][ids] positions; real input has the sorted distinct fids. Rule: job 1.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.generator import SLOT_SHIFT
from monolith_ref.errors import StateError
from monolith_ref.features.ragged import Batch

__all__ = ["GeneratedUniverse", "SortedUniverse", "Universe"]

_ID_MASK = np.int64((1 << SLOT_SHIFT) - 1)


class Universe(Protocol):
    """All fids of a run. Positions ascend feature by feature, and with the fid within a feature."""

    @property
    def count(self) -> int:
        """Number of positions."""
        ...

    def positions(self, feature: int, fids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Position of each fid of a feature (by its number in x)."""
        ...

    def fids(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The fid at each position."""
        ...

    def features(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the feature of each position."""
        ...


class GeneratedUniverse:
    """``features`` times ``ids`` positions; fids carry the slot feature + 1, or none."""

    def __init__(self, features: int, ids: int, with_slot: bool = True) -> None:
        self._features, self._ids, self._with_slot = features, ids, with_slot

    @property
    def count(self) -> int:
        """See :class:`Universe`."""
        return self._features * self._ids

    def positions(self, feature: int, fids: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Universe`."""
        return (fids & _ID_MASK) + np.int64(feature * self._ids)

    def fids(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Universe`."""
        feature, number = np.divmod(positions, np.int64(self._ids))
        return ((feature + 1) << SLOT_SHIFT) | number if self._with_slot else number

    def features(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Universe`."""
        return positions // np.int64(self._ids)


class SortedUniverse:
    """The distinct fids of real input, sorted within each feature."""

    def __init__(self, batch: Batch) -> None:
        """``batch`` holds all rows there are."""
        self._sorted = [np.unique(ragged.values) for ragged in batch.ragged.values()]
        self._first = np.cumsum([0] + [len(fids) for fids in self._sorted])
        self._all = np.concatenate(self._sorted) if self._sorted else np.zeros(0, np.int64)

    @property
    def count(self) -> int:
        """See :class:`Universe`."""
        return len(self._all)

    def positions(self, feature: int, fids: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Universe`; StateError for a fid that the input does not have."""
        known = self._sorted[feature]
        found = np.searchsorted(known, fids)
        if len(fids) and (len(known) == 0 or np.any(known[np.minimum(found, len(known) - 1)] != fids)):
            raise StateError("a batch holds a fid that the input does not have")
        return found + np.int64(self._first[feature])

    def fids(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Universe`."""
        return self._all[positions]

    def features(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Universe`."""
        return np.searchsorted(self._first, positions, side="right") - 1
