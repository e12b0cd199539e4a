"""One step of several ranks on one table, reduced at one owner, naively. Rule: sync_training 2.4, 5."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F
from monolith_conformance.oracle.sync_exact import exact_sum

__all__ = ["REDUCTIONS", "steps_at_owner"]

REDUCTIONS = ("sequential", "sum", "mean", "exact")

Part = tuple[Sequence[int], Array]


def steps_at_owner(reduction: str, parts: Sequence[Part], half: bool = False) -> Iterator[tuple[list[int], Array]]:
    """The updates that the owner makes, in order: distinct ids by first occurrence and their gradients.

    ``parts`` are the ranks' occurrences: ids and gradients [n, d], in order of occurrence. ``half``: a rank's sums are
    rounded to half floats on their way to the owner.
    """
    if reduction == "exact":
        yield _exact(parts)
        return
    sums = [local_sums(ids, gradients) for ids, gradients in parts]
    if half:
        sums = [{fid: through_half(g) for fid, g in part.items()} for part in sums]
    if reduction == "sequential":
        for part in sums:
            yield list(part), np.array(list(part.values()), F)
        return
    total: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for part in sums:
            for fid, g in part.items():
                total[fid] = total.get(fid, np.zeros_like(g)) + g
        if reduction == "mean":
            total = {fid: g / F(len(parts)) for fid, g in total.items()}
    yield list(total), np.array(list(total.values()), F)


def local_sums(ids: Sequence[int], gradients: Array) -> dict[int, Array]:
    """A rank's gradient of each id: its occurrences added in order from +0.0."""
    sums: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for fid, g in zip(ids, gradients, strict=True):
            sums[fid] = sums.get(fid, np.zeros_like(g)) + g
    return sums


def through_half(values: Array) -> Array:
    """Rounded to half floats, nearest even, and widened again."""
    with np.errstate(all="ignore"):
        return values.astype(np.float16).astype(F)


def _exact(parts: Sequence[Part]) -> tuple[list[int], Array]:
    occurrences: dict[int, list[Array]] = {}
    for ids, gradients in parts:
        for fid, g in zip(ids, gradients, strict=True):
            occurrences.setdefault(fid, []).append(g)
    sums = [[exact_sum(column) for column in np.array(terms).T.tolist()] for terms in occurrences.values()]
    return list(occurrences), np.array(sums, F)
