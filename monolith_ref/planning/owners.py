"""How unevenly owners are asked, why, and what helps. The owner of an id is ``id mod N``. Rule: sync_training 2.2."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monolith_ref.planning.distinct import log_absent
from monolith_ref.planning.workload import HEAD, Feature, SeenIds, Workload

__all__ = ["Skew", "owner_skew"]

NOTICEABLE = 1.1
"""Requests of the busiest owner over the mean, from which on it is worth a word."""


@dataclass(frozen=True)
class Skew:
    """The busiest owner.

    Attributes
    ----------
    requests : float
        Expected distinct (rank, id) requests of a step to the busiest owner, over the mean of all owners.
    by_ids : float
        The part of it that which ids there are decides, chance aside.
    idle : int
        Owners that get nothing at all.
    cause, remedy : str
        Empty where there is nothing to say.
    """

    requests: float
    by_ids: float
    idle: int
    cause: str = ""
    remedy: str = ""


def owner_skew(workload: Workload, ranks: int) -> Skew:
    """Expected load of the busiest of ``ranks`` owners, its cause and a remedy."""
    first = 1 if workload.empty_rank0 and ranks > 4 else 0
    owners = ranks - first
    if owners == 1:
        return Skew(1.0, 1.0, first)
    load = np.zeros(owners)
    hottest = 0.0
    for number, table in enumerate(workload.tables):
        for feature in table.features:
            asked = _requests(feature, workload.rows_of(ranks))
            hottest = max(hottest, float(asked.max(initial=0.0)))
            # Fids carry their slot in the upper bits, which shifts the owners of a feature.
            load += _dealt(feature, asked, owners, ((number + 1) << 48) % owners)
    mean = float(load.mean())
    by_ids = float(load.max()) / mean
    # The largest of N Poisson numbers lies about sqrt(2 ln N) deviations above their mean.
    requests = (float(load.max()) + math.sqrt(2 * math.log(owners) * float(load.max()))) / mean
    idle = int((load == 0).sum())
    cause, remedy = _advice(workload, owners, by_ids, requests, idle, hottest / mean)
    return Skew(requests, by_ids, idle + first, cause, remedy)


def _requests(feature: Feature, rows_of: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Per group of ids: how many ranks ask for one id of it in a step."""
    return sum((-np.expm1(log_absent(feature, rows)) * count for rows, count in rows_of), np.zeros(1))


def _dealt(feature: Feature, asked: NDArray[np.float64], owners: int, shift: int) -> NDArray[np.float64]:
    """Requests by owner: frequent ids one by one, the others evenly over the owners that their numbers reach."""
    ids = feature.ids
    if isinstance(ids, SeenIds):
        return np.asarray(np.bincount(np.mod(ids.fids, owners), asked, owners), np.float64)
    _, sizes = ids.groups
    load = np.zeros(owners)
    step = math.gcd(ids.stride, owners)
    reached = np.arange(shift % step, owners, step)
    single = min(HEAD, len(asked)) if ids.skew else 0
    number = np.arange(single, dtype=np.int64)
    np.add.at(load, (number % owners * (ids.stride % owners) + shift) % owners, asked[:single])
    rest = float(asked[single:] @ sizes[single:])
    load[reached] += rest / len(reached)
    return load


def _advice(
    workload: Workload, owners: int, by_ids: float, requests: float, idle: int, hottest: float
) -> tuple[str, str]:
    stride = max(feature.ids.stride for table in workload.tables for feature in table.features)
    if idle and math.gcd(stride, owners) > 1:
        return (
            f"ids are multiples of {stride}, which has a factor in common with {owners} owners: {idle} own nothing",
            "hash ids before they become fids (SplitMix64, as 'compare --input' does), or take a number of ranks "
            "without that factor",
        )
    if by_ids > NOTICEABLE and hottest > 0.05:
        return (
            f"hot ids: nearly all ranks ask for the hottest in every step, {hottest:.0%} of a mean owner's requests",
            "hash ids, so that hot ones do not meet at one owner; with fewer ranks or more rows a rank (each asks once "
            "a step) their share falls",
        )
    if idle:
        return "there are fewer ids than owners", "fewer ranks"
    if by_ids > NOTICEABLE:
        return "frequent ids fall on some owners more than on others", "hash ids before they become fids (SplitMix64)"
    if requests > 2 * NOTICEABLE - 1:
        return (
            "chance: an owner is asked for few ids in a step",
            "a larger global batch, or fewer ranks",
        )
    return "", ""
