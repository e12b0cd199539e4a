"""The rows that one rank owns: a store per planned table, and what all of them share. Rule: sync_training 2.2, filters.

All tables of a rank draw from one pair of random streams and stand behind one admission filter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from monolith_kernels.layout import RowLayout
from monolith_kernels.target import Target

from monolith_ref.features.names import NO_SLOT
from monolith_ref.features.tables import TableSpec
from monolith_ref.quirks import Quirks
from monolith_ref.table.admission import AdmissionFilter, create_hash_filters
from monolith_ref.table.admitted import AdmittedRowStore
from monolith_ref.table.build import row_layout
from monolith_ref.table.config import Expiry, check_table_config
from monolith_ref.table.store import RowStore
from monolith_ref.table.streams import RandomStreams
from monolith_ref.table.thresholds import slot_thresholds
from monolith_ref.training.options import EngineOptions

__all__ = ["OwnedRows", "make_rows"]


@dataclass
class OwnedRows:
    """What a rank owns of all tables.

    Attributes
    ----------
    stores : dict of table name to RowStore
    streams : RandomStreams
    filter : AdmissionFilter or None
        None: no feature has an occurrence threshold.
    draws : bool
        Some table draws from the streams.
    ordered : frozenset of str
        Tables whose updates draw or ask the filter, and so must come one after the other.
    max_ts : int
        Largest time of any update so far.
    """

    stores: dict[str, RowStore]
    streams: RandomStreams
    filter: AdmissionFilter | None
    draws: bool
    ordered: frozenset[str]
    max_ts: int = 0

    def evict(self, specs: Sequence[TableSpec], max_ts: int) -> dict[str, int]:
        """Remove rows whose age by ``max_ts`` has reached the expiry of their slot; rows that went, by table."""
        self.max_ts = max_ts
        gone = {}
        for spec in specs:
            store = self.stores[spec.name]
            ids, rows = store.items()
            with warnings.catch_warnings():
                # Slots that can never match were warned about when the model was recorded.
                warnings.simplefilter("ignore")
                expiry = Expiry(spec.config.table_config.slot_expire_time_config)
            stale = np.ascontiguousarray(ids[expiry.stale(ids, store.times(rows), max_ts)])
            if len(stale):
                gone[spec.name] = store.erase(store.target.asarray(stale))
        return gone


def _filter_of(specs: Sequence[TableSpec], options: EngineOptions, quirks: Quirks) -> AdmissionFilter | None:
    thresholds: dict[int, int] = {}
    for spec in specs:
        for name, slot, threshold in zip(spec.features, spec.slots, spec.occurrence_thresholds, strict=True):
            if slot != NO_SLOT:
                thresholds.setdefault(slot, threshold)
            elif threshold > 0:
                warnings.warn(f"feature {name} has no slot: its occurrence threshold has no effect", stacklevel=4)
    if not any(threshold > 0 for threshold in thresholds.values()):
        return None
    made = create_hash_filters(
        0,
        True,
        slot_thresholds(thresholds),
        options.filter_capacity,
        options.filter_split_num,
        hash_filter_type=options.filter_type,
        quirks=quirks,
    )
    return made[0]


def make_rows(specs: Sequence[TableSpec], target: Target, quirks: Quirks, options: EngineOptions) -> OwnedRows:
    """Empty stores for one rank's part of the tables; ConfigError where a configuration cannot be built."""
    streams = RandomStreams(quirks)
    admission = _filter_of(specs, options, quirks)
    stores: dict[str, RowStore] = {}
    drawing: set[str] = set()
    for spec in specs:
        plan = check_table_config(spec.config.table_config, quirks)
        layout = row_layout(plan, quirks)
        capacity = max(plan.config.initial_capacity, options.initial_capacity)
        expected = capacity if capacity > 1 else 0
        if admission is None:
            stores[spec.name] = RowStore(layout, target, streams=streams, quirks=quirks, expected=expected)
        else:
            stores[spec.name] = AdmittedRowStore(
                layout, target, admission, streams=streams, quirks=quirks, expected=expected
            )
        if _draws(layout, target):
            drawing.add(spec.name)
    ordered = drawing if admission is None else set(stores)
    return OwnedRows(stores, streams, admission, bool(drawing), frozenset(ordered))


def _draws(layout: RowLayout, target: Target) -> bool:
    per_row = target.optimize.drawn_elements(layout)[0]
    return bool(per_row) or any(segment.stochastic_rounding for segment in layout.segments)
