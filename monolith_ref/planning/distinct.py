"""How many distinct ids so many rows have, in the mean: exact expectations, no sampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monolith_ref.planning.workload import Feature, Ids, SeenIds, Table

__all__ = ["distinct", "distinct_of_table", "hottest", "log_absent", "repeated"]


def log_absent(feature: Feature, rows: int) -> NDArray[np.float64]:
    """Per group of ``feature.ids.groups``: the logarithm of the probability that an id is in none of ``rows`` rows.

    A row of n ids lacks an id of probability p with (1 - p)^n.
    """
    probability, _ = feature.ids.groups
    with np.errstate(divide="ignore"):
        one = np.log1p(-probability)
    # Near 1, where precision counts: mean of (1-p)^n, less 1.
    less = sum((share * np.expm1(n * one) for n, share in feature.lengths if n), np.zeros(len(one)))
    with np.errstate(divide="ignore"):
        return np.asarray(rows * np.log1p(less))


def distinct(feature: Feature, rows: int) -> float:
    """Expected distinct ids of a feature in so many rows."""
    _, sizes = feature.ids.groups
    return float(sizes @ -np.expm1(log_absent(feature, rows)))


def distinct_of_table(table: Table, rows: int) -> float:
    """Expected distinct ids of a table in so many rows."""
    return sum(distinct(feature, rows) for feature in table.features)


def repeated(feature: Feature, rows: int) -> float:
    """Expected distinct ids that occur twice or more in so many rows (Poisson in each id's number of occurrences)."""
    probability, sizes = feature.ids.groups
    expected = probability * rows * feature.mean
    return float(sizes @ (-np.expm1(-expected) - expected * np.exp(-expected)))


def hottest(ids: Ids | SeenIds, count: int) -> float:
    """Share of all occurrences that the ``count`` most frequent ids have."""
    probability, sizes = ids.groups
    before = np.minimum(np.cumsum(sizes), count)
    return float(probability @ np.diff(before, prepend=0.0))
