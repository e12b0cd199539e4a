"""Synchronous updates of all ranks in plain Python and NumPy: the truth that exchanges are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from monolith_kernels import rules
from monolith_kernels.layout import RowLayout, Segment
from monolith_kernels.target import Target

from monolith_ref.features.combiners import FirstN, ReduceMean, ReduceSum
from monolith_ref.features.ragged import Ragged
from monolith_ref.table.store import RowStore

F = np.float32
LR, START = 0.05, 0.1


@dataclass(frozen=True)
class Plan:
    """A table's plan (what ``TableLike`` asks for)."""

    name: str
    features: tuple[str, ...]
    slots: tuple[int | None, ...]
    combiners: tuple[Any, ...]
    dim: int

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Every feature has a slot of its own."""
        return self.features


MULTI = (
    Plan("beta", ("beta",), (2,), (ReduceSum(),), 3),
    Plan("alpha", ("alpha",), (1,), (ReduceSum(),), 3),
    Plan("wide", ("wide",), (4,), (ReduceMean(),), 16),
    Plan("gamma10", ("gamma10",), (3,), (ReduceSum(),), 3),
    Plan("first", ("first",), (5,), (FirstN(2),), 2),
)
MERGED = (
    Plan("merged", ("alpha", "beta", "gamma10"), (1, 2, 3), (ReduceSum(),) * 3, 3),
    Plan("wide", ("wide",), (4,), (ReduceMean(),), 16),
    Plan("first", ("first",), (5,), (FirstN(2),), 2),
)
SLOTS = {"alpha": 1, "beta": 2, "gamma10": 3, "wide": 4, "first": 5}


def make_store(target: Target, dim: int, hint: int = 0) -> RowStore:
    """An adagrad table (zeros, accumulator .1) of one segment."""
    rule = rules.make("adagrad", {"initial_accumulator_value": START})
    return RowStore(RowLayout.of([Segment(dim, rule)]), target, expected=hint)


def rounded(total: Fraction) -> np.float32:
    """Nearest float32, ties to even."""
    if total == 0:
        return F(0)
    sign, size = (-1 if total < 0 else 1), abs(total)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    units = size / unit
    low = units.numerator // units.denominator
    rest = units - low
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2):
        low += 1
    value = low * unit
    return F(sign * np.inf) if value >= Fraction(2) ** 128 else F(sign * float(value))


def make_batch(seed: int, rank: int, step: int) -> tuple[dict[str, Ragged], int]:
    """Rows of one rank in one step; some ranks have none in some steps. Ids repeat and may be negative."""
    rng = np.random.default_rng([seed, rank, step])
    rows = 0 if (rank + step) % 3 == 2 else int(rng.integers(1, 6))
    batch = {}
    for name, slot in SLOTS.items():
        lengths = rng.integers(0, 5, rows)
        ids = rng.integers(0, 12, int(lengths.sum())) | (slot << 48)
        ids[rng.random(len(ids)) < 0.2] |= -(1 << 63)
        batch[name] = Ragged.from_lengths(ids.astype(np.int64), lengths)
    return batch, rows


def make_dx(seed: int, rank: int, step: int, rows: int, width: int, wild: bool) -> np.ndarray:
    """Gradient of x; ``wild``: magnitudes whose float64 sums are not exact."""
    rng = np.random.default_rng([seed, rank, step, 1])
    dx = rng.standard_normal((rows, width)).astype(F)
    if wild:
        dx *= (F(2) ** rng.integers(-60, 60, dx.shape)).astype(F)
        dx[rng.random(dx.shape) < 0.1] = F(-0.0)
    return dx


@dataclass
class Naive:
    """All tables of the job as dictionaries: (table, id) -> [weights, accumulators]."""

    plans: Sequence[Plan]
    columns: dict[str, tuple[int, int]]
    reduction: str
    half: bool = False
    rows: dict[tuple[str, int], list[np.ndarray]] = field(default_factory=dict)

    def read(self, rows: dict[tuple[str, int], list[np.ndarray]], table: Plan, fid: int) -> np.ndarray:
        """A row, zeros where absent."""
        found = rows.get((table.name, fid))
        return found[0] if found else np.zeros(table.dim, F)

    def x(self, batch: dict[str, Ragged], count: int, width: int) -> np.ndarray:
        """Pooled rows of one rank."""
        out = np.zeros((count, width), F)
        for table in self.plans:
            for name, combiner in zip(table.features, table.combiners, strict=True):
                first = self.columns[name][0]
                for i in range(count):
                    ids = [int(fid) for fid in batch[name].row(i)]
                    vectors = [self.read(self.rows, table, fid) for fid in ids]
                    if combiner.name == "first_n":
                        for p, vector in enumerate(vectors[: combiner.max_seq_length]):
                            out[i, first + p * table.dim : first + (p + 1) * table.dim] = vector
                        continue
                    total = np.zeros(table.dim, F)
                    for vector in vectors:
                        total = total + vector
                    if combiner.name == "reduce_mean" and ids:
                        total = total * F(1.0 / len(ids))
                    out[i, first : first + table.dim] = total
        return out

    def terms(self, batch: dict[str, Ragged], dx: np.ndarray) -> dict[tuple[str, int], list[np.ndarray]]:
        """(table, id) -> gradients of its occurrences, in order (tables and features by name)."""
        found: dict[tuple[str, int], list[np.ndarray]] = {}
        for table in sorted(self.plans, key=lambda plan: plan.name):
            for name, combiner in zip(table.features, table.combiners, strict=True):
                first = self.columns[name][0]
                for i in range(len(dx)):
                    ids = [int(fid) for fid in batch[name].row(i)]
                    for p, fid in enumerate(ids):
                        g = dx[i, first : first + table.dim]
                        if combiner.name == "reduce_mean":
                            g = g * F(1.0 / len(ids))
                        elif combiner.name == "first_n":
                            g = dx[i, first + p * table.dim : first + (p + 1) * table.dim]
                            g = g if p < combiner.max_seq_length else np.zeros(table.dim, F)
                        found.setdefault((table.name, fid), []).append(g)
        return found

    def update(self, ranks: Sequence[dict[tuple[str, int], list[np.ndarray]]]) -> None:
        """One step from the occurrence gradients of every rank."""
        keys = dict.fromkeys(key for terms in ranks for key in terms)
        for key in keys:
            shares = [terms[key] for terms in ranks if key in terms]
            if self.reduction == "exact":
                every = [g for share in shares for g in share]
                total = [
                    rounded(sum((Fraction(float(g[e])) for g in every), Fraction(0))) for e in range(len(every[0]))
                ]
                self._adagrad(key, np.array(total, F))
                continue
            sums = []
            for share in shares:
                total = np.zeros(len(share[0]), F)
                for g in share:
                    total = total + g
                sums.append(total.astype(np.float16).astype(F) if self.half else total)
            if self.reduction == "sequential":
                for g in sums:
                    self._adagrad(key, g)
                continue
            total = np.zeros(len(sums[0]), F)
            for g in sums:
                total = total + g
            self._adagrad(key, total / F(len(ranks)) if self.reduction == "mean" else total)

    def _adagrad(self, key: tuple[str, int], g: np.ndarray) -> None:
        w, norm = self.rows.setdefault(key, [np.zeros(len(g), F), np.full(len(g), F(START), F)])
        norm = norm + g * g
        self.rows[key] = [w - (F(LR) / np.sqrt(norm)) * g, norm]
