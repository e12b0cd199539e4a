"""Which fid, feature and element a gradient that is not finite belongs to. Rule: sync_training 4."""

from __future__ import annotations

import numpy as np
from monolith_kernels.target import Target

from monolith_ref.sync.finite import Finding, first_non_finite
from monolith_ref.sync.plan import ExchangePlan
from monolith_ref.sync.step import Step
from monolith_ref.sync.wide import elements_of

__all__ = ["find_non_finite"]

FLAGS = 10
"""Word of an exact accumulator that counts NaNs and infinities."""


def find_non_finite(step: Step, plan: ExchangePlan, target: Target) -> Finding | None:
    """The first NaN or infinity among the sums of this rank, else among the sums that it, as owner, is about to use."""
    sums = target.to_host(step.sums)
    element = first_non_finite(sums)
    value = float(sums[element]) if element >= 0 else 0.0
    if element < 0 and step.wide is not None:
        starts, dims, partial = step.wide
        flagged = np.flatnonzero(partial.limbs[:, FLAGS])
        if len(flagged):
            place, value = elements_of(starts, dims), float("nan")
            element = int(place[partial.elements[flagged[0]]])
    if element >= 0:
        return _of_this_rank(step, plan, target, element, value)
    return _of_the_owner(step, plan, target)


def _of_this_rank(step: Step, plan: ExchangePlan, target: Target, element: int, value: float) -> Finding:
    offsets = target.to_host(step.offsets)
    ids = target.to_host(step.unique.unique)
    at = int(np.flatnonzero(offsets <= element)[np.argmax(offsets[offsets <= element])])
    table = plan.tables[int(np.searchsorted(step.unique.unique_splits, at, side="right")) - 1]
    fid = int(ids[at])
    name = next(
        (feature.name for feature in table.features if (step.batch[feature.name].values == fid).any()), table.name
    )
    return Finding(name, element - int(offsets[at]), value, fid)


def _of_the_owner(step: Step, plan: ExchangePlan, target: Target) -> Finding | None:
    """A sum over ranks can overflow where no rank's own did."""
    if not step.updates or step.updates[0].gradients is step.received_gradients:
        return None
    for update in step.updates:
        table = plan.tables[update.table]
        count = update.ids.shape[0]
        part = target.to_host(update.gradients)[update.start : update.start + count * table.dim]
        element = first_non_finite(part)
        if element >= 0:
            fid = int(target.to_host(update.ids)[element // table.dim])
            slot = (fid >> 48) & 0x7FFF
            name = next(
                (feature.name for feature in table.features if feature.slot == slot or len(table.features) == 1),
                table.name,
            )
            return Finding(name, element % table.dim, float(part[element]), fid, received=True)
    return None
