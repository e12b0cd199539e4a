"""A row store behind an admission filter, for owners in synchronous training. Rule: filters 6.

Ids reach an owner deduplicated, one update per sending rank, in rank order; so a threshold counts (batch, rank) pairs.
All tables of a rank share one filter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_kernels.layout import RowLayout
from monolith_kernels.target import Target

from monolith_ref.quirks import Quirks
from monolith_ref.table.filter_base import AdmissionFilter
from monolith_ref.table.store import RowStore
from monolith_ref.table.streams import RandomStreams

__all__ = ["AdmittedRowStore"]


class AdmittedRowStore(RowStore):
    """As :class:`RowStore`, but :meth:`find_or_insert` gives -1 for an id that the filter holds back.

    Updates of row -1 are skipped. Imports are not filtered.
    """

    def __init__(
        self,
        layout: RowLayout,
        target: Target,
        filter: AdmissionFilter,
        *,
        streams: RandomStreams | None = None,
        quirks: Quirks | None = None,
        expected: int = 0,
    ) -> None:
        super().__init__(layout, target, streams=streams, quirks=quirks, expected=expected)
        self.filter = filter

    @property
    def sums_repeats(self) -> bool:
        """As for any store, while nothing can be held back."""
        return self.filter.idle and super().sums_repeats

    def find_or_insert(self, ids: Any, found: Any = None) -> Any:
        """Row numbers int32[n]; absent ids are asked at the filter in order, then initialised; -1 where held back."""
        if self.filter.idle:
            return super().find_or_insert(ids, found)
        target = self.target
        # Rows that another rank's update of this step has made were absent when ``found`` was filled.
        complete = found is not None and bool((target.to_host(found) >= 0).all())
        known = np.array(target.to_host(found if complete else self.find(ids)))
        host = np.ascontiguousarray(target.to_host(ids))
        admitted = self.filter.admit(host, (known >= 0).view(np.uint8))
        rows = np.full(len(host), -1, np.int32)
        rows[admitted] = target.to_host(super().find_or_insert(target.asarray(host[admitted])))
        return target.asarray(rows)
