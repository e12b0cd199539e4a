"""From the features that a model asked for to the tables that hold them. Rule: features 1, entry 6, sync_training
2.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monolith_ref.features.combiners import Combiner

__all__ = ["Layout", "TableSpec", "plan_tables"]

Layout = Literal["multi", "merged"]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One embedding table of a model.

    Attributes
    ----------
    name : str
        Layout ``multi``: the feature's (or shared slot's) name. ``merged``: md5 of the sorted, comma-joined names.
    features : tuple of str
        Feature columns that read it, in string order: the order of their ids in the table's list.
    slots : tuple of int
        Slot of each feature, parallel to ``features``.
    slice_dims : tuple of int
        The user's slices, in creation order; their sum is ``dim``.
    combiners : tuple of Combiner
        Parallel to ``features``.
    config : monolith_ref.entry.HashTableConfigInstance
        Segments (merged neighbours), initialisers, optimisers, learning rates.
    occurrence_threshold, expire_days : tuple of int
        Per feature.
    """

    name: str
    features: tuple[str, ...]
    slots: tuple[int, ...]
    slice_dims: tuple[int, ...]
    combiners: tuple[Combiner, ...]
    config: Any
    occurrence_thresholds: tuple[int, ...]
    expire_times: tuple[int, ...]

    @property
    def dim(self) -> int:
        """Floats of an embedding."""
        return sum(self.slice_dims)


def plan_tables(columns: Sequence[Any], layout: Layout) -> tuple[TableSpec, ...]:
    """The tables of these feature columns, in string order of their names."""
    raise NotImplementedError
