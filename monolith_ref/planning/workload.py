"""What a training step holds: tables, features, distributions of ids, dense variables; how ranks exchange them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from monolith_kernels import rules
from monolith_kernels.layout import RowLayout, Segment
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError

__all__ = ["Feature", "Ids", "SeenIds", "Table", "Workload", "plain_workload"]

HEAD = 1 << 16
"""Most frequent ids of a Zipf distribution that are looked at one by one; the rest goes into groups."""

TAIL_GROUPS = 256


@dataclass(frozen=True)
class Ids:
    """How often each id occurs: id number i (from 0) with a probability proportional to ``(i + 1) ** -skew``.

    Attributes
    ----------
    space : int
        Ids that there are.
    skew : float
        Zipf's exponent; 0: all alike.
    stride : int
        Ids are ``stride * i``: what a generator leaves free at the end of its numbers.
    """

    space: int
    skew: float = 0.0
    stride: int = 1

    def __post_init__(self) -> None:
        if self.space < 1 or self.stride < 1 or not 0 <= self.skew < 10:
            raise ConfigError(f"ids need a space and a stride of 1 or more and a skew of 0 to 10, not {self}")

    @cached_property
    def groups(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(probability of an id, how many ids have it), most frequent first; the head's ids are groups of their own."""
        if self.skew == 0:
            return np.array([1 / self.space]), np.array([float(self.space)])
        head = min(HEAD, self.space)
        weights = np.arange(1, head + 1, dtype=np.float64) ** -self.skew
        sizes = np.ones(head)
        if self.space > head:
            edges = np.unique(np.geomspace(head, self.space, TAIL_GROUPS + 1).astype(np.int64)).astype(np.float64)
            counts = np.diff(edges)
            weights = np.concatenate([weights, self._integral(edges[:-1] + 0.5, edges[1:] + 0.5) / counts])
            sizes = np.concatenate([sizes, counts])
        return weights / float(weights @ sizes), sizes

    def _integral(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of ``i ** -skew`` for i in (low, high), by the middle of each."""
        if self.skew == 1:
            return np.asarray(np.log(high / low))
        power = 1 - self.skew
        return np.asarray((high**power - low**power) / power)


@dataclass(frozen=True, eq=False)
class SeenIds:
    """Ids as some data has them: ``fids`` int64[n], distinct, and each one's share of the occurrences, float64[n]."""

    fids: NDArray[np.int64]
    shares: NDArray[np.float64]

    @property
    def groups(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As :attr:`Ids.groups`; every id is a group of its own."""
        return self.shares, np.ones(len(self.shares))

    @cached_property
    def stride(self) -> int:
        """The greatest number that divides all ids, their slots aside."""
        return max(1, int(np.gcd.reduce(self.fids & ((1 << 48) - 1))))


@dataclass(frozen=True)
class Feature:
    """One feature: a row has ``fewest`` to ``most`` ids, each number as likely as ``weights`` say (none: all alike)."""

    ids: Ids | SeenIds
    fewest: int
    most: int
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.fewest <= self.most or self.most < 1:
            raise ConfigError(f"ids of a row must be some number from 0 on, not {self.fewest} to {self.most}")

    @property
    def lengths(self) -> list[tuple[int, float]]:
        """(ids of a row, how likely)."""
        numbers = range(self.fewest, self.most + 1)
        return list(zip(numbers, self.weights or [1 / len(numbers)] * len(numbers), strict=True))

    @property
    def mean(self) -> float:
        """Ids of a row."""
        return sum(number * share for number, share in self.lengths)


@dataclass(frozen=True)
class Table:
    """One table: floats of an embedding, bytes of a row with its state, the features that read it.

    Features are taken to have ids of their own, as they have where ids carry slots.
    """

    name: str
    dim: int
    row_bytes: int
    features: tuple[Feature, ...]


@dataclass(frozen=True)
class Workload:
    """A training job as far as its costs go.

    Attributes
    ----------
    rows : int
        Rows of a global batch.
    dense : tuple of int
        Elements of every dense variable.
    outputs : int
        Losses.
    reduction, grad_wire, dense_wire, fusion
        The settings ``sync.*`` of these names.
    """

    tables: tuple[Table, ...]
    rows: int
    dense: tuple[int, ...]
    outputs: int = 1
    reduction: Literal["sequential", "sum", "mean", "exact"] = "sequential"
    grad_wire: Literal["f32", "f16"] = "f32"
    dense_wire: Literal["f32", "f16"] = "f32"
    fusion: Literal["none", "one"] = "none"
    empty_rank0: bool = False

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ConfigError(f"a global batch needs a row or more, not {self.rows}")
        if self.reduction == "exact" and "f16" in (self.grad_wire, self.dense_wire):
            raise ConfigError("sync.reduction=exact needs unrounded gradients on the wire")

    @property
    def occurrences(self) -> float:
        """Ids of a global batch, repeated ones counted each time."""
        return self.rows * sum(feature.mean for table in self.tables for feature in table.features)

    def rows_of(self, ranks: int) -> list[tuple[int, int]]:
        """(rows of a rank, how many ranks have so many); rule: sync_training 6.1."""
        low, more = divmod(self.rows, ranks)
        return [(rows, count) for rows, count in ((low + 1, more), (low, ranks - more)) if count]


def plain_workload(
    *,
    features: int = 17,
    dim: int = 15,
    ids_per_row: tuple[int, int] = (1, 24),
    ids: Ids | None = None,
    rows: int = 455,
    layers: Sequence[int] = (64, 32, 1),
    layout: Literal["multi", "merged"] = "multi",
    optimizer: str = "adagrad",
    reduction: Literal["sequential", "sum", "mean", "exact"] = "sequential",
    grad_wire: Literal["f32", "f16"] = "f32",
    dense_wire: Literal["f32", "f16"] = "f32",
    fusion: Literal["none", "one"] = "none",
    empty_rank0: bool = False,
) -> Workload:
    """Features that are all alike, in front of dense layers; as it stands, the workload of the comparison (6.1)."""
    if features < 1 or dim < 1 or not layers:
        raise ConfigError("a workload needs a feature, a dimension and a layer or more")
    one = Feature(ids or Ids(100_000), *ids_per_row)
    row_bytes = RowLayout.of([Segment(dim, rules.make(optimizer, {}))]).width * 4
    if layout == "merged":
        tables: tuple[Table, ...] = (Table("merged", dim, row_bytes, (one,) * features),)
    else:
        tables = tuple(Table(f"feature{i}", dim, row_bytes, (one,)) for i in range(features))
    dense = [size for fan_in, fan_out in pairwise((features * dim, *layers)) for size in (fan_in * fan_out, fan_out)]
    return Workload(
        tables,
        rows,
        tuple(dense),
        reduction=reduction,
        grad_wire=grad_wire,
        dense_wire=dense_wire,
        fusion=fusion,
        empty_rank0=empty_rank0,
    )
