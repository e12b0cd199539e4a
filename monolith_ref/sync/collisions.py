"""Features of one merged table must not share ids by accident. Rule: sync_training 2.5, job 7.

With slots in the ids that is told from each id alone. Without, the owner has to see which feature every id came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.plan import ExchangePlan, FeaturePlan, TablePlan

if TYPE_CHECKING:
    from monolith_ref.features.ragged import Ragged

__all__ = ["check_collisions"]

SLOT_SHIFT = 48
SLOT_MASK = 0x7FFF


def check_collisions(plan: ExchangePlan, batch: Mapping[str, Ragged], communicator: Communicator) -> None:
    """ConfigError where a merged table gets an id of a foreign slot, or, without slots, one id from two features."""
    for table in plan.tables:
        if len({feature.slot_name for feature in table.features}) < 2:
            continue
        for feature in table.features:
            if feature.slot is not None:
                _check_slot(table, feature, batch[feature.name].values)
        if any(feature.slot is None for feature in table.features):
            _check_features(table, batch, communicator)


def _check_slot(table: TablePlan, feature: FeaturePlan, values: NDArray[np.int64]) -> None:
    assert feature.slot is not None
    lowest = feature.slot << SLOT_SHIFT
    if len(values) == 0 or (values.min() >= lowest and values.max() < lowest + (1 << SLOT_SHIFT)):
        return
    foreign = np.flatnonzero(((values >> SLOT_SHIFT) & SLOT_MASK) != feature.slot)
    if len(foreign):
        fid = int(values[foreign[0]])
        raise ConfigError(
            f"table.layout=merged: feature {feature.name!r} (slot {feature.slot}) brings id {fid} of slot "
            f"{(fid >> SLOT_SHIFT) & SLOT_MASK} into table {table.name!r}, which other features share "
            "(quirk merge_collisions allows it)"
        )


def _check_features(table: TablePlan, batch: Mapping[str, Ragged], communicator: Communicator) -> None:
    """Gather (id, feature) pairs of the whole global batch: rare, and only where ids carry no slot."""
    parts = []
    first_of: dict[str, int] = {}
    for number, feature in enumerate(table.features):
        ids = np.unique(batch[feature.name].values)
        # Features of one slot share rows on purpose: they count as one.
        owner = first_of.setdefault(feature.slot_name, number)
        parts.append(np.stack([ids, np.full(len(ids), owner, np.int64)], axis=1))
    pairs = np.concatenate(communicator.allgatherv(np.concatenate(parts), "features of ids"))
    pairs = np.unique(pairs, axis=0)
    shared = np.flatnonzero(pairs[1:, 0] == pairs[:-1, 0])
    if len(shared):
        fid, first = (int(value) for value in pairs[shared[0]])
        second = int(pairs[shared[0] + 1, 1])
        raise ConfigError(
            f"table.layout=merged: features {table.features[first].name!r} and {table.features[second].name!r}, "
            f"which carry no slot, both bring id {fid} into table {table.name!r} (quirk merge_collisions allows it)"
        )
