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


def _owner(name: str, about: str, sentence: str, *changes: tuple[str, str], **settings: Any) -> Mutant:
    settings.setdefault("killed_by", ("sync/owner/",))
    return _sync(name, about, sentence, edit("oracle.owners:owner_of", *changes), **settings)


def _sends(name: str, sentence: str, *changes: tuple[str, str]) -> Mutant:
    return _sync(name, "split", sentence, edit("oracle.owners:send_order", *changes), killed_by=("sync/split/",))


def _cut_to_half(values: Any) -> Any:
    """Towards zero."""
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    down = np.nextafter(halves, np.float16(0))
    return np.where(np.abs(halves.astype(np.float32)) > np.abs(values), down, halves).astype(np.float32)


def _instead(asked: str, used: str) -> Replacement:
    """One reduction in place of another."""
    return wrap(
        f"{REDUCTIONS}:steps_at_owner",
        lambda original: lambda reduction, *rest: original(used if reduction == asked else reduction, *rest),
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
          wrap(f"{REDUCTIONS}:steps_at_owner", lambda original: lambda reduction, parts, half=False: (
              ([fid], g[None]) for ids, gradients in parts for fid, g in zip(ids, gradients, strict=True))),
          killed_by=("sync/",), deviation=29),
    _owner("owner-by-absolute-value", "owners", "the owner of a negative id from its absolute value plus one",
           ("return fid % ranks", "return fid % ranks if fid >= 0 else (abs(fid) + 1) % ranks"), deviation=26),
    _owner("owner-by-remainder", "owners", "the remainder that C gives, its absolute value",
           ("return fid % ranks", "return abs(fid) % ranks")),
    _owner("owner-by-slot", "owners", "the owner from the slot of an id", ("return fid % ranks",
        "return (fid >> 48) % ranks")),
    _owner("owner-unsigned", "owners", "the owner of the id as an unsigned number",
           ("return fid % ranks", "return fid % (1 << 64) % ranks")),
    _owner("rank-0-empty-from-two", "owners_empty_rank0", "rank 0 kept empty for any number of ranks",
           ("and ranks > 4", "and ranks > 1")),
    _owner("rank-0-never-empty", "owners_empty_rank0", "rank 0 that owns ids all the same", ("if empty_rank0 and",
        "if False and")),
    _sends("sends-in-order-of-ids", "ids sent in ascending order", ("list(dict.fromkeys(ids))", "sorted(set(ids))")),
    _sends("sends-duplicates", "ids sent once an occurrence", ("list(dict.fromkeys(ids))", "list(ids)")),
    _sends("sends-last-occurrence", "ids in order of last occurrence",
           ("list(dict.fromkeys(ids))", "list(dict.fromkeys(reversed(list(ids))))[::-1]")),
    _sync("half-truncates", "sum_f16", "sums cut to half floats, not rounded",
          wrap(f"{REDUCTIONS}:through_half", lambda original: _cut_to_half), killed_by=("sync/half/",)),
    _sync("half-adds-halves", "sum_f16", "the owner's sums rounded to half floats too",
          edit(f"{REDUCTIONS}:steps_at_owner", ("total.get(fid, np.zeros_like(g)) + g",
          "(through_half if half else np.array)(total.get(fid, np.zeros_like(g)) + g)")),
          killed_by=("sync/half/",)),
    _sync("staleness-newest-rate", "staleness", "a held-back step applied with the newest rate",
          edit("backends.sync_requests:SyncBackend._release", ("held.popleft())",
          "dataclasses.replace(held.popleft(), rates=newest))"),
               ("while len(held) > keep:",
               "import dataclasses\n    newest = held[-1].rates if held else None\n    while len(held) > keep:")),
          killed_by=("sync/staleness/",)),
    _sync("staleness-one-more", "staleness", "one step more held back",
          edit("backends.sync_requests:SyncBackend.sync", ("self._staleness.get(message.table, 0)",
          "self._staleness.get(message.table, -1) + 1")),
          killed_by=("sync/staleness/",)),
)  # fmt: skip
