"""Why two paths disagree: numbers against numbers.

Given what one element should be and what it is, the oracle's own rules are run again with one thing wrong at a time,
and a variant that gives the engine's bits is named as the likely cause. Nothing here knows how a difference came
about; everything is derived from the numbers of the step. Rule: sync_training 6.3; job 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.oracle import sync_rules as rules
from monolith_conformance.oracle.sync import DenseRows, Oracle, Settings, Share

__all__ = [
    "Answers",
    "Lookup",
    "Occurrence",
    "RowUpdate",
    "explain_array",
    "explain_bag",
    "explain_lookups",
    "explain_update",
]

F32 = NDArray[np.float32]

_NO_DENSE: list[F32] = []
_MANY = 256  # an id may occur in every row of a batch; that many occurrences are suspected one by one


@dataclass(frozen=True)
class Occurrence:
    """One occurrence of an id in a step: where, and its gradient [D]."""

    rank: int
    row: int
    position: int
    gradient: F32

    def __str__(self) -> str:
        return f"rank {self.rank}, row {self.row}, position {self.position}"


@dataclass(frozen=True)
class RowUpdate:
    """A row before and after a step: float32 [D] each; ``engine_*`` is what the engine has, the rest the oracle's.

    ``earlier_w`` is the weight of one update before ``old_w``, where the step before touched the row.
    """

    old_w: F32
    old_accumulator: F32
    w: F32
    accumulator: F32
    engine_w: F32
    engine_accumulator: F32
    occurrences: Sequence[Occurrence]
    ranks: int
    settings: Settings
    earlier_w: F32 | None = None


@dataclass(frozen=True)
class Lookup:
    """A row as a rank received it, and as path B has it: float32 [D].

    ``earlier`` is the oracle's row of one update before, where the step before touched it; ``owner`` owns the row.
    """

    fid: int
    owner: int
    engine: F32
    oracle: F32
    earlier: F32 | None


@dataclass(frozen=True)
class Answers:
    """All rows that a rank could have received in a step: their bytes, whose they are, and who owns them."""

    whose: dict[bytes, tuple[int, int]]

    @classmethod
    def of(cls, rows: F32, fids: NDArray[np.int64], owners: NDArray[np.int64]) -> Answers:
        """From rows [n, D] of ids; the first id with a row stands for it."""
        whose: dict[bytes, tuple[int, int]] = {}
        for row, fid, owner in zip(rows, fids.tolist(), owners.tolist(), strict=True):
            whose.setdefault(row.tobytes(), (fid, owner))
        return cls(whose)


def same(a: F32, b: F32) -> bool:
    """Equal bits, any NaN equal to any NaN."""
    unequal = a.view(np.uint32) != b.view(np.uint32)
    return not bool(np.any(unequal & ~(np.isnan(a) & np.isnan(b))))


def explain_update(update: RowUpdate) -> str:
    """The likely cause of a row that differs after its update."""
    for text, w, accumulator in _update_variants(update):
        if same(w, update.engine_w) and same(accumulator, update.engine_accumulator):
            return text
    rate = _solve_rate(update)
    if rate is not None:
        return f"learning rate {rate} instead of {update.settings.rate}"
    w_only = [text for text, w, _ in _update_variants(update) if same(w, update.engine_w)]
    if w_only and not same(update.w, update.engine_w):
        return f"the weights (not the accumulators) look like this: {w_only[0]}"
    return _describe(
        np.concatenate([update.engine_w, update.engine_accumulator]),
        np.concatenate([update.w, update.accumulator]),
    )


def _replay(
    update: RowUpdate,
    occurrences: Sequence[Occurrence],
    settings: Settings | None = None,
    start: tuple[F32, F32] | None = None,
    rank_order: int = 1,
) -> tuple[F32, F32]:
    """The row after a step of the oracle with just these occurrences."""
    w, accumulator = start or (update.old_w, update.old_accumulator)
    settings = settings or update.settings
    rows = DenseRows(1, len(w), settings.accumulator)
    rows.w[0], rows.accumulator[0] = w, accumulator
    shares = []
    for rank in range(update.ranks):
        mine = [o.gradient for o in occurrences if o.rank == rank]
        gradients = np.stack(mine) if mine else np.zeros((0, len(w)), np.float32)
        place = np.zeros(len(mine), np.int64)
        bags = np.arange(len(mine), dtype=np.int64)
        shares.append(Share(place, bags, gradients, _NO_DENSE, np.zeros(1, np.float32), len(mine)))
    Oracle(rows, [], 1, settings).apply_rows([s for s in shares[::rank_order] if len(s.positions)] or shares)
    return rows.w[0], rows.accumulator[0]


def _update_variants(update: RowUpdate) -> Iterator[tuple[str, F32, F32]]:
    """(cause, weights, accumulators) of steps with one thing wrong."""
    every = list(update.occurrences)
    singles = every[:_MANY]
    yield "the update was skipped: the row is as it was before the step", update.old_w, update.old_accumulator
    for i, lost in enumerate(singles):
        yield f"one occurrence was lost: {lost}", *_replay(update, every[:i] + every[i + 1 :])
    yield _raw_accumulator(update)
    for twice in singles:
        yield f"one occurrence was counted twice: {twice}", *_replay(update, [*every, twice])
    again = _replay(update, every)
    yield "the update was applied twice", *_replay(update, every, start=again)
    half = replace_settings(update.settings, half_embedding_gradients=True)
    yield "gradients were rounded to half precision on the way", *_replay(update, every, half)
    for name in ("sequential", "sum", "mean", "exact"):
        if name != update.settings.reduction:
            other = replace_settings(update.settings, reduction=name)
            text = f"gradients were reduced as `{name}`, not `{update.settings.reduction}`"
            yield text, *_replay(update, every, other)
    if update.ranks > 1:
        yield "source ranks were taken in descending order", *_replay(update, every, rank_order=-1)
    yield "occurrences were summed in descending order", *_replay(update, every[::-1])
    yield from _rounding_variants(update)
    if update.earlier_w is not None:
        stale = (update.earlier_w, update.old_accumulator)
        yield "the update started from the weights of one step before", *_replay(update, every, start=stale)


def replace_settings(settings: Settings, **changes: Any) -> Settings:
    """The settings with some fields changed."""
    return settings._replace(**changes)


def _total(update: RowUpdate) -> F32:
    total = np.zeros_like(update.old_w)
    for occurrence in update.occurrences:
        total = total + occurrence.gradient
    return total


def _raw_accumulator(update: RowUpdate) -> tuple[str, F32, F32]:
    w, accumulator = update.old_w, update.old_accumulator
    rate = np.float32(update.settings.rate)
    text = "the accumulator took the sum of the occurrences' squares, not the square of their sum"
    groups = _rank_groups(update)
    with np.errstate(all="ignore"):
        for group in groups:
            total = np.zeros_like(w)
            for occurrence in group:
                square: F32 = occurrence.gradient * occurrence.gradient
                accumulator = accumulator + square
                total = total + occurrence.gradient
            if update.settings.reduction == "mean":
                total = total / np.float32(update.ranks)
            step: F32 = np.divide(rate, np.sqrt(accumulator))
            w = w - step * total
    return text, w, accumulator


def _rank_groups(update: RowUpdate) -> list[list[Occurrence]]:
    """Occurrences that one optimizer step takes together."""
    if update.settings.reduction != "sequential":
        return [list(update.occurrences)]
    ranks = sorted({o.rank for o in update.occurrences})
    return [[o for o in update.occurrences if o.rank == rank] for rank in ranks]


def _rounding_variants(update: RowUpdate) -> Iterator[tuple[str, F32, F32]]:
    """Other ways to write the same formula, for ids with one optimizer step."""
    if len(_rank_groups(update)) != 1:
        return
    g, rate = _total(update), np.float32(update.settings.rate)
    if update.settings.reduction == "mean":
        g = g / np.float32(update.ranks)
    w, old = update.old_w, update.old_accumulator
    with np.errstate(all="ignore"):
        new = old + g * g
        root: F32 = np.sqrt(new)
        whole: F32 = np.divide(rate, root)
        one: F32 = np.divide(np.float32(1), root)
        former: F32 = np.divide(rate, np.sqrt(old))
        yield "the step divided last: w - (rate * g) / sqrt(accumulator)", w - (rate * g) / root, new
        reciprocal = w - (rate * g) * one
        yield "the step took a reciprocal root: w - (rate * g) * (1 / sqrt(accumulator))", reciprocal, new
        yield "the step used the accumulator of before the update", w - former * g, new
        fused = (g.astype(np.float64) * g + old).astype(np.float32)
        step: F32 = np.divide(rate, np.sqrt(fused))
        fused_w = (w - step.astype(np.float64) * g).astype(np.float32)
        yield "products were fused into sums (one rounding instead of two)", fused_w, fused
        yield "the step was added instead of subtracted", w + whole * g, new


def _solve_rate(update: RowUpdate) -> float | None:
    """A learning rate of few digits that gives the engine's row, if the accumulators agree."""
    if not same(update.accumulator, update.engine_accumulator):
        return None
    with np.errstate(all="ignore"):
        moved = update.w.astype(np.float64) - update.old_w
        ratio = (update.engine_w.astype(np.float64) - update.old_w) / moved
    ratio = ratio[np.isfinite(ratio) & (moved != 0)]
    if len(ratio) == 0:
        return None
    estimate = float(np.median(ratio)) * update.settings.rate
    for digits in range(1, 8):
        rate = float(f"{estimate:.{digits}g}")
        w, _ = _replay(update, update.occurrences, replace_settings(update.settings, rate=rate))
        if rate != update.settings.rate and same(w, update.engine_w):
            return rate
    return None


def explain_lookups(lookups: Sequence[Lookup], answers: Answers) -> dict[int, str]:
    """The likely cause of every row that arrived with other bits than path B has, by fid.

    A cause that explains more of the wrong rows goes before one that explains fewer: rows of zeros, say, look like
    rows of an earlier step and like rows of ids that are new.
    """
    another = partial(_of_another, answers)
    hypotheses: list[Callable[[Lookup], str | None]] = [_stale, _halved, another, _absent]
    explained = [[make(lookup) for lookup in lookups] for make in hypotheses]
    counts = [sum(text is not None for text in texts) for texts in explained]
    ranked = sorted(range(len(hypotheses)), key=lambda i: -counts[i])
    exchanged = _exchanged_owners(lookups, answers)
    causes = {}
    for i, lookup in enumerate(lookups):
        chosen = next((h for h in ranked if explained[h][i] is not None), None)
        if chosen is None:
            causes[lookup.fid] = _describe(lookup.engine, lookup.oracle)
            continue
        text = explained[chosen][i] or ""
        if len(lookups) > 1:
            text += f" (as {counts[chosen]} of {len(lookups)} wrong rows)"
        causes[lookup.fid] = text + (exchanged if hypotheses[chosen] is another else "")
    return causes


def _exchanged_owners(lookups: Sequence[Lookup], answers: Answers) -> str:
    """Whether two owners stand in for each other among the wrong rows."""
    pairs = set()
    for lookup in lookups:
        found = answers.whose.get(lookup.engine.tobytes())
        if found is not None and np.any(lookup.engine):
            pairs.add((lookup.owner, found[1]))
    for one, other in sorted(pairs):
        if one < other and (other, one) in pairs:
            return f"; the answers of owners {one} and {other} are exchanged"
    return ""


def _stale(lookup: Lookup) -> str | None:
    if lookup.earlier is None or not same(lookup.engine, lookup.earlier):
        return None
    return "a stale row: the answer is the row as it was before the update of the previous step"


def _halved(lookup: Lookup) -> str | None:
    if not same(lookup.engine, rules.through_half(lookup.oracle)):
        return None
    return "the row was rounded to half precision on the way"


def _of_another(answers: Answers, lookup: Lookup) -> str | None:
    found = answers.whose.get(lookup.engine.tobytes())
    if found is None:
        return None
    fid, owner = found
    if not np.any(lookup.engine):
        return "the answer is the row of another id, one that has no row yet (zeros)"
    place = "of the same owner" if owner == lookup.owner else f"of owner {owner} instead of {lookup.owner}"
    return f"the answer is the row of another id, {place}: fid {fid}"


def _absent(lookup: Lookup) -> str | None:
    return None if np.any(lookup.engine) else "the answer is zeros: the row was taken for absent"


def explain_bag(engine: F32, rows: F32) -> str:
    """The likely cause of a pooled sum [D] that differs although its ``rows`` [n, D] arrived right."""

    def ordered(order: Sequence[int]) -> F32:
        total = np.zeros_like(engine)
        for i in order:
            total = total + rows[i]
        return total

    n = len(rows)
    variants: list[tuple[str, Callable[[], F32]]] = [
        ("the rows were summed in descending order", lambda: ordered(range(n)[::-1])),
        ("the sum was made in double precision", lambda: rows.astype(np.float64).sum(axis=0).astype(np.float32)),
        ("the sum is missing: zeros", lambda: np.zeros_like(engine)),
        ("the sum was divided by the number of ids", lambda: ordered(range(n)) / np.float32(max(n, 1))),
    ]
    for i in range(n):
        rest = [k for k in range(n) if k != i]
        variants.append((f"the id at position {i} was left out", partial(ordered, rest)))
        variants.append((f"the id at position {i} was counted twice", partial(ordered, [*range(n), i])))
    for text, make in variants:
        if same(make(), engine):
            return text
    return _describe(engine, ordered(range(n)))


def explain_array(engine: F32, oracle: F32, ranks: int) -> str:
    """The likely cause of a dense array (predictions, gradients, variables) that differs."""
    with np.errstate(all="ignore"):
        if same(engine, oracle * np.float32(ranks)) and ranks > 1:
            return "the sum over ranks was not divided by their number"
        if same(engine, rules.through_half(oracle)):
            return "the values were rounded to half precision on the way"
        if same(engine, -oracle):
            return "the sign is turned round"
    if engine.size and not np.any(engine):
        return "the values are missing: zeros"
    return _describe(engine, oracle)


def _describe(engine: F32, oracle: F32) -> str:
    """What can be said when no variant fits."""
    a, b = np.ravel(engine).view(np.uint32), np.ravel(oracle).view(np.uint32)
    wrong = np.flatnonzero(a != b)
    if len(wrong) == 0:
        return "no difference is left in this row or array"
    if len(wrong) == 1:
        flipped = int(a[wrong[0]] ^ b[wrong[0]])
        apart = int(np.abs(_ordinals(a[wrong]) - _ordinals(b[wrong]))[0])
        kind = f", bit {flipped.bit_length() - 1} flipped" if flipped & (flipped - 1) == 0 else ""
        return f"one element alone is {apart} ulp off{kind}; the other {len(a) - 1} agree: damage, not a rule"
    if np.any(np.isnan(engine)) and not np.any(np.isnan(oracle)):
        return "a NaN appeared"
    steps = np.abs(_ordinals(a[wrong]) - _ordinals(b[wrong]))
    if steps.max() <= 4:
        return f"{len(wrong)} of {len(a)} are off by at most {int(steps.max())} ulp: another order or rounding"
    return f"{len(wrong)} of {len(a)} differ, by up to {int(steps.max())} ulp; no known cause gives these bits"


def _ordinals(bits: NDArray[np.uint32]) -> NDArray[np.int64]:
    magnitude = (bits & np.uint32(0x7FFFFFFF)).astype(np.int64)
    return np.where(bits >> np.uint32(31) != 0, -magnitude, magnitude)
