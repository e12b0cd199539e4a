"""Reads what a rank received for its ids, between the exchange of rows and their pooling; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.generator import SLOT_SHIFT

__all__ = ["LookedUp", "watch_rows"]

LookedUp = list[tuple[int, NDArray[np.int64], NDArray[np.float32]]]
"""(number of the feature, its distinct fids in this rank's rows, the row received for each [n, D])."""


def watch_rows(engine: Any, features: Sequence[str], tell: Callable[[LookedUp], None]) -> None:
    """Call ``tell`` in every step with the rows as they are about to be pooled."""
    number = {name: i for i, name in enumerate(features)}
    plan = engine.embeddings.plan
    feature_of = [{feature.slot: number[feature.name] for feature in table.features} for table in plan.tables]

    def before_pooling(pool: Any, step: Any) -> None:
        tell(list(_received(step, plan, feature_of, engine.embeddings.target)))
        pool(step)

    engine.embeddings.wrap("pool", before_pooling)


def _received(step: Any, plan: Any, feature_of: list[dict[Any, int]], target: Any) -> Any:
    ids = target.to_host(step.unique.unique)
    offsets = target.to_host(step.offsets)
    splits = step.unique.unique_splits
    for k, table in enumerate(plan.tables):
        low, high = int(splits[k]), int(splits[k + 1])
        if high == low:
            continue
        fids = ids[low:high]
        rows = _rows_at(step.vectors, offsets[low:high], table.dim)
        if len(table.features) == 1:
            yield feature_of[k][table.features[0].slot], fids, rows
            continue
        # Ids of a merged table come feature by feature, so equal slots are runs.
        slots = fids >> SLOT_SHIFT
        cuts = [0, *(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(fids)]
        for start, stop in pairwise(cuts):
            feature = feature_of[k].get(int(slots[start]))
            if feature is not None:
                yield feature, fids[start:stop], rows[start:stop]


def _rows_at(vectors: NDArray[np.float32], offsets: NDArray[np.int64], dim: int) -> NDArray[np.float32]:
    """The ``dim`` floats from each offset, [n, dim]."""
    if len(vectors) % dim == 0 and not np.any(offsets % dim):
        return vectors.reshape(-1, dim).take(offsets // dim, axis=0)
    rows: NDArray[np.float32] = vectors[offsets[:, None] + np.arange(dim)]
    return rows
