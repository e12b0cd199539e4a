"""Wrong variants of the reductions over ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.mutants.mutant import Mutant, Replacement, edit, swap, wrap

__all__ = ["MUTANTS"]

REDUCTIONS = "oracle.reductions"


def _sync(name: str, reduction: str, sentence: str, *replacements: Replacement, **settings: Any) -> Mutant:
    settings.setdefault("killed_by", (f"sync/{reduction}/",))
    return Mutant(name, sentence, replacements, about=frozenset({f"sync.{reduction}"}), **settings)


def _steps(name: str, reduction: str, sentence: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _sync(name, reduction, sentence, edit(f"{REDUCTIONS}:steps_at_owner", *changes), **settings)


def _sums(name: str, reduction: str, sentence: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    return _sync(name, reduction, sentence, edit(f"{REDUCTIONS}:local_sums", *changes), **settings)


def _instead(asked: str, used: str) -> Replacement:
    """One reduction in place of another."""
    return wrap(
        f"{REDUCTIONS}:steps_at_owner",
        lambda original: lambda reduction, parts: original(used if reduction == asked else reduction, parts),
    )


def _naive(terms: Any) -> Any:
    total = np.float32(0)
    for term in terms:
        total = np.float32(total + np.float32(term))
    return total


def _double(terms: Any) -> Any:
    return np.float32(np.sum(np.array(terms, np.float64)))


MUTANTS: tuple[Mutant, ...] = (
    _sync("sync-sum-is-mean", "sum", "the mean over ranks in place of the sum", _instead("sum", "mean")),
    _sync("sync-mean-is-sum", "mean", "the sum over ranks in place of the mean", _instead("mean", "sum")),
    _sync("sync-sequential-is-sum", "sequential", "one step with the ranks' sum", _instead("sequential", "sum")),
    _sync("sync-sum-is-sequential", "sum", "one step a rank", _instead("sum", "sequential")),
    _sync("sync-exact-is-sum", "exact", "rounded sums in order of ranks", _instead("exact", "sum")),
    _sync("sync-exact-in-float", "exact", "occurrences added in float32", swap(f"{REDUCTIONS}:exact_sum", _naive)),
    _sync("sync-exact-in-double", "exact", "occurrences added in double and rounded once",
        swap(f"{REDUCTIONS}:exact_sum", _double)),
    _sync("sync-exact-local-first", "exact", "each rank's occurrences rounded before the ranks are added exactly",
          edit(f"{REDUCTIONS}:_exact", ("for ids, gradients in parts:",
          "for ids, gradients in [(list(s), list(s.values())) for s in (local_sums(*part) for part in parts)]:"))),
    _steps("sync-ranks-backwards", "sequential", "the last rank's step first",
        ("for part in sums:\n            yield", "for part in sums[::-1]:\n            yield")),
    _steps("sync-sum-backwards", "sum", "the last rank added first", ("for part in sums:\n            for",
        "for part in sums[::-1]:\n            for")),
    _steps("sync-mean-of-touching", "mean", "a mean over the ranks that touched the id", ("g / F(len(parts))",
        "g / F(sum(fid in part for part in sums))")),
    _steps("sync-mean-by-reciprocal", "mean", "a sum multiplied by the rounded reciprocal", ("g / F(len(parts))",
        "g * (F(1) / F(len(parts)))")),
    _steps("sync-sorted-ids", "sum", "ids in ascending order, not by first occurrence",
        ("yield list(total), np.array(list(total.values()), F)",
        "yield sorted(total), np.array([total[fid] for fid in sorted(total)], F)")),
    _sums("sync-last-duplicate", "sequential", "the last occurrence in place of a rank's sum",
        ("sums.get(fid, np.zeros_like(g)) + g", "g"), killed_by=("sync/",)),
    _sums("sync-first-duplicate", "sequential", "the first occurrence in place of a rank's sum",
        ("sums.get(fid, np.zeros_like(g)) + g", "sums.get(fid, g)"), killed_by=("sync/",)),
    _sums("sync-mean-of-duplicates", "sequential", "the mean of a rank's occurrences", ("    return sums",
        "    return {fid: g / F(list(ids).count(fid)) for fid, g in sums.items()}"), killed_by=("sync/",)),
    _sync("sync-step-per-occurrence", "sequential", "one step an occurrence",
          edit("backends.oracle:OracleBackend.sync", ("reductions.steps_at_owner(message.reduction, parts)",
               "(([fid], g[None]) for ids, grads in parts for fid, g in zip(ids, grads))")),
          killed_by=("sync/",), deviation=29),
)  # fmt: skip
