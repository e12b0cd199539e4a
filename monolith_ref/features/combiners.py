"""Combiners: from the embeddings of a row's ids to what the model sees. Rule: features 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monolith_ref.errors import ArgumentError, ConfigError
from monolith_ref.quirks import Quirks, as_quirks

__all__ = ["Combiner", "FirstN", "ReduceMean", "ReduceSum", "combiner_of"]


@dataclass(frozen=True, slots=True)
class Combiner:
    """Base of combiners; ``name`` is what configurations call it."""

    name = ""

    @property
    def max_seq_length(self) -> int:
        """Positions kept of a row; 0 where rows are reduced."""
        return 0

    def tail(self, dim: int) -> tuple[int, ...]:
        """Shape of what one row gives, for embeddings of ``dim`` floats."""
        return (dim,)


@dataclass(frozen=True, slots=True)
class ReduceSum(Combiner):
    """Sum from +0.0 in order of position; an empty row gives zeros."""

    name = "reduce_sum"


@dataclass(frozen=True, slots=True)
class ReduceMean(Combiner):
    """The sum times float32(1 / count); an empty row gives zeros, or NaN with ``empty_nan`` (a quirk)."""

    name = "reduce_mean"
    empty_nan: bool = False


@dataclass(frozen=True, slots=True)
class FirstN(Combiner):
    """The first ``n`` embeddings of a row one after the other, short rows padded with zeros."""

    name = "first_n"
    n: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ConfigError(f"FirstN: the length must be an integer of at least 1, not {self.n!r}")

    @property
    def max_seq_length(self) -> int:
        return self.n

    def tail(self, dim: int) -> tuple[int, ...]:
        return (self.n, dim)


def combiner_of(combiner: Any = None, max_seq_length: int = 0, *, quirks: str | Quirks | None = None) -> Combiner:
    """The combiner that a user named.

    A Combiner stays; None is first_n(max_seq_length) where that is positive, else reduce_sum; names are
    ``reduce_sum``, ``reduce_mean`` and ``first_n``, which needs ``max_seq_length`` > 0.
    """
    if isinstance(combiner, Combiner):
        return combiner
    if combiner is None:
        return FirstN(max_seq_length) if max_seq_length > 0 else ReduceSum()
    if combiner == "reduce_sum":
        return ReduceSum()
    if combiner == "reduce_mean":
        return ReduceMean("reduce_mean_empty_nan" in as_quirks(quirks))
    if combiner == "first_n":
        return FirstN(max_seq_length)
    raise ArgumentError(f"combiner must be a Combiner, 'reduce_sum', 'reduce_mean' or 'first_n', not {combiner!r}")
