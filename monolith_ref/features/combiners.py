"""Combiners: from the embeddings of a row's ids to what the model sees. Rule: features 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Combiner", "FirstN", "ReduceMean", "ReduceSum", "combiner_of"]


@dataclass(frozen=True, slots=True)
class Combiner:
    """Base. ``max_seq_length`` is 0 but for :class:`FirstN`."""

    max_seq_length: int = 0

    @property
    def name(self) -> str:
        """``reduce_sum``, ``reduce_mean`` or ``first_n``."""
        raise NotImplementedError

    def width(self, dim: int) -> int:
        """Columns of the pooled matrix for embeddings of ``dim`` floats."""
        return dim


@dataclass(frozen=True, slots=True)
class ReduceSum(Combiner):
    """Sum from +0.0 in order of position."""

    @property
    def name(self) -> str:
        return "reduce_sum"


@dataclass(frozen=True, slots=True)
class ReduceMean(Combiner):
    """The sum times float32(1 / count); an empty row gives zeros (quirk ``reduce_mean_empty_nan``: NaN)."""

    @property
    def name(self) -> str:
        return "reduce_mean"


@dataclass(frozen=True, slots=True)
class FirstN(Combiner):
    """The first n embeddings of a row side by side, short rows padded with zeros."""

    @property
    def name(self) -> str:
        return "first_n"

    def width(self, dim: int) -> int:
        return self.max_seq_length * dim


def combiner_of(combiner: Any, max_seq_length: int = 0) -> Combiner:
    """The combiner that a user named (None, a name, or a Combiner)."""
    raise NotImplementedError
