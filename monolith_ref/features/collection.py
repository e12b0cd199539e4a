"""The features of one model while its model function runs: columns, slices and lookups, recorded. Rule: features
1."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monolith_ref.dense.graph import Graph, Tensor
from monolith_ref.dense.operations import add_n, concat, stack
from monolith_ref.entry import Compressor, Initializer, Optimizer
from monolith_ref.errors import ArgumentError, ConfigError
from monolith_ref.features.combiners import combiner_of
from monolith_ref.features.names import NO_SLOT, FeatureNames
from monolith_ref.features.slots import FeatureColumn, FeatureFactory, FeatureSlice, FeatureSlotConfig
from monolith_ref.quirks import Quirks, as_quirks

__all__ = ["FeatureCollection", "Lookup"]

_JOINS = {"concat": concat, "stack": stack, "add_n": add_n, "addn": add_n}


@dataclass(frozen=True)
class Lookup:
    """One call of ``lookup_embedding_slice``.

    Attributes
    ----------
    layout_name : str
        ``<slice_name>_<md5 of the sorted features>``.
    slice_name : str
    features : tuple of str
        Feature of every tensor of the result list (several of a group), in order.
    slices : tuple of FeatureSlice
        Parallel to ``features``.
    out_type : str or None
    initializer, optimizer, compressor : as given
    """

    layout_name: str
    slice_name: str
    features: tuple[str, ...]
    slices: tuple[FeatureSlice, ...]
    out_type: str | None
    initializer: Initializer | None
    optimizer: Optimizer | None
    compressor: Compressor | None


class FeatureCollection:
    """Columns by name in order of creation, slots by name, lookups in order."""

    def __init__(
        self,
        graph: Graph,
        names: FeatureNames,
        *,
        quirks: str | Quirks | None = None,
        default_occurrence_threshold: int = 0,
    ) -> None:
        self.graph = graph
        self.names = names
        self.quirks = as_quirks(quirks)
        self.default_occurrence_threshold = default_occurrence_threshold
        self.factory = FeatureFactory(self.quirks)
        self.columns: dict[str, FeatureColumn] = {}
        self.slots_of: dict[str, int] = {}
        self.lookups: list[Lookup] = []
        self._slices: dict[tuple[str, str], FeatureSlice] = {}

    def create_column(
        self,
        feature_name: str | int,
        occurrence_threshold: int | None = None,
        expire_time: int = 36500,
        max_seq_length: int = 0,
        shared_name: str | None = None,
        combiner: Any = None,
    ) -> FeatureColumn:
        """The column of a feature; a second call with its name returns the first one, whatever it says."""
        name, slot = self.names.resolve(feature_name)
        known = self.columns.get(name)
        if known is not None:
            return known
        combined = combiner_of(combiner, max_seq_length, quirks=self.quirks)
        table = name if shared_name is None else self.names.resolve(shared_name)[0]
        feature_slot = self.factory.slots.get(table)
        if feature_slot is None:
            threshold = self.default_occurrence_threshold if occurrence_threshold is None else occurrence_threshold
            table_slot = slot if shared_name is None else self.names.resolve(table)[1]
            feature_slot = self.factory.create_feature_slot(
                FeatureSlotConfig(
                    name=table,
                    slot_id=None if table_slot == NO_SLOT else table_slot,
                    occurrence_threshold=threshold,
                    expire_time=expire_time,
                )
            )
        column = self.columns[name] = FeatureColumn(feature_slot, name, combined)
        self.slots_of[name] = slot
        return column

    def lookup(
        self,
        features: Any,
        slice_name: str,
        slice_dim: int | None = None,
        initializer: Initializer | None = None,
        optimizer: Optimizer | None = None,
        compressor: Compressor | None = None,
        learning_rate_fn: Any = None,
        group_out_type: str = "add_n",
        out_type: str | None = None,
    ) -> Any:
        """Tensors of a slice of several features: a list, or one tensor for an ``out_type``.

        ``features``: a mapping of names to dims; a list of names, slots or columns (``slice_dim`` given); a list
        of groups of slots (``slice_dim`` given), each joined by ``group_out_type``; or a list of (name, dim) pairs.
        """
        if out_type is not None and out_type not in _JOINS:
            raise ArgumentError(f"out_type must be None, 'concat', 'stack' or 'add_n', not {out_type!r}")
        if group_out_type not in ("add_n", "concat"):
            raise ArgumentError(f"group_out_type must be 'add_n' or 'concat', not {group_out_type!r}")
        used: list[tuple[str, FeatureSlice]] = []

        def one(feature: Any, dim: int) -> Tensor:
            column = self.create_column(self.names.resolve(feature)[0])
            piece = self._slice(column, slice_name, dim, initializer, optimizer, compressor, learning_rate_fn)
            used.append((column.feature_name, piece))
            return self._pooled(column, piece)

        join_group = _JOINS[group_out_type]
        tensors = [
            one(*group[0]) if pair else join_group([one(feature, dim) for feature, dim in group])
            for pair, group in _requests(features, slice_dim)
        ]
        joined = ",".join(sorted(str(feature) for feature in features))
        digest = hashlib.md5(joined.encode(), usedforsecurity=False).hexdigest()
        self.lookups.append(
            Lookup(
                f"{slice_name}_{digest}",
                slice_name,
                tuple(name for name, _ in used),
                tuple(piece for _, piece in used),
                out_type,
                initializer,
                optimizer,
                compressor,
            )
        )
        return tensors if out_type is None else _JOINS[out_type](tensors)

    def _pooled(self, column: FeatureColumn, piece: FeatureSlice) -> Tensor:
        """The slice of what the column's combiner gives: [rows, dim], or [rows, n, dim] of a sequence."""
        name, tail = column.feature_name, (piece.dim,)
        if not column.combiner.max_seq_length:
            return self.graph.embedding(name, piece.start, tail)
        positions = range(column.combiner.max_seq_length)
        return stack([self.graph.embedding(name, piece.start, tail, position) for position in positions])

    def _slice(
        self,
        column: FeatureColumn,
        slice_name: str,
        dim: int,
        initializer: Initializer | None,
        optimizer: Optimizer | None,
        compressor: Compressor | None,
        learning_rate_fn: Any,
    ) -> FeatureSlice:
        slot = column.feature_slot
        known = self._slices.get((slot.name, slice_name))
        if known is None:
            made = slot.add_feature_slice(dim, initializer, optimizer, compressor, learning_rate_fn)
            self._slices[(slot.name, slice_name)] = made
            return made
        if "slice_redefinition_ignored" not in self.quirks:
            asked = slot.describe_slice(dim, initializer, optimizer, compressor, learning_rate_fn)
            if asked != known.definition():
                raise ConfigError(
                    f"feature {column.feature_name}: slice {slice_name!r} is asked for again with another dim, "
                    f"initializer, optimizer, compressor or learning rate (its dim is {known.dim}, now {dim})"
                )
        return known


def _requests(features: Any, slice_dim: int | None) -> list[tuple[bool, list[tuple[Any, int]]]]:
    """Per tensor of the result: (is it one slice, [(feature, dim) ...]). ArgumentError for forms that mean
    nothing."""
    wrong = ArgumentError(
        "lookup_embedding_slice takes a mapping of names to dims, a list of features with slice_dim, a list of groups "
        f"of slots with slice_dim, or a list of (name, dim) pairs; not {features!r} with slice_dim {slice_dim!r}"
    )
    if isinstance(features, Mapping):
        pairs: list[tuple[Any, Any]] = list(features.items())
    elif isinstance(features, str) or not isinstance(features, Sequence) or not features:
        raise wrong
    elif slice_dim is None:
        if not all(isinstance(entry, tuple | list) and len(entry) == 2 for entry in features):
            raise wrong
        pairs = [(entry[0], entry[1]) for entry in features]
    elif all(isinstance(entry, tuple | list) for entry in features):
        if not all(entry and all(isinstance(slot, int) for slot in entry) for entry in features):
            raise wrong
        return [(False, [(slot, _dim(slice_dim)) for slot in entry]) for entry in features]
    elif any(isinstance(entry, tuple | list) for entry in features):
        raise wrong
    else:
        pairs = [(entry, slice_dim) for entry in features]
    if not pairs:
        raise wrong
    return [(True, [(feature, _dim(dim))]) for feature, dim in pairs]


def _dim(dim: Any) -> int:
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
        raise ArgumentError(f"the dim of a slice must be an integer of at least 1, not {dim!r}")
    return dim
