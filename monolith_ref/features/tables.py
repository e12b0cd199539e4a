"""From the features that a model asked for to the tables that hold them.

Rule: features 1, entry 6, sync_training 2.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig, EntryConfig, SlotExpireTimeConfig

from monolith_ref.entry import HashTableConfigInstance
from monolith_ref.errors import ConfigError
from monolith_ref.features.collection import FeatureCollection
from monolith_ref.features.combiners import Combiner
from monolith_ref.features.names import NO_SLOT
from monolith_ref.features.slots import FeatureColumn, FeatureSlot
from monolith_ref.table.naming import merge_tables

__all__ = ["Layout", "TableSpec", "assign_columns", "plan_tables"]

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
        Slot of each feature (-1: none), parallel to ``features``.
    slice_dims : tuple of int
        The user's slices, in creation order; their sum is ``dim``.
    combiners : tuple of Combiner
        Parallel to ``features``.
    config : HashTableConfigInstance
        Segments (neighbours merged), initializers, optimizers, learning rates.
    occurrence_thresholds, expire_times : tuple of int
        Parallel to ``features``; days.
    slot_names : tuple of str
        Parallel to ``features``: the FeatureSlot that each reads; features of one slot share rows on purpose.
    """

    name: str
    features: tuple[str, ...]
    slots: tuple[int, ...]
    slice_dims: tuple[int, ...]
    combiners: tuple[Combiner, ...]
    config: HashTableConfigInstance
    occurrence_thresholds: tuple[int, ...]
    expire_times: tuple[int, ...]
    slot_names: tuple[str, ...]

    @property
    def dim(self) -> int:
        """Floats of an embedding."""
        return sum(self.slice_dims)


def _expiry(collection: FeatureCollection) -> SlotExpireTimeConfig:
    """One message of all slots, which every table gets."""
    config = SlotExpireTimeConfig()
    seen: set[int] = set()
    for name, column in sorted(collection.columns.items()):
        slot = collection.slots_of[name]
        if slot != NO_SLOT and slot not in seen:
            seen.add(slot)
            config.slot_expire_times.add(slot=slot, expire_time=column.feature_slot.config.expire_time)
    return config


def _table_config(slot: FeatureSlot, expiry: SlotExpireTimeConfig) -> HashTableConfigInstance:
    segments, rates = slot.segments()
    message = EmbeddingHashTableConfig()
    message.entry_config.entry_type = EntryConfig.TRAINING
    message.entry_config.segments.extend(segments)
    slot.config.hashtable_config.mutate_table(message)
    message.slot_expire_time_config.CopyFrom(expiry)
    message.entry_type = EmbeddingHashTableConfig.RAW
    return HashTableConfigInstance(message, rates)


def _spec(
    name: str, columns: list[FeatureColumn], config: HashTableConfigInstance, collection: FeatureCollection
) -> TableSpec:
    columns = sorted(columns, key=lambda column: column.feature_name)
    return TableSpec(
        name,
        tuple(column.feature_name for column in columns),
        tuple(collection.slots_of[column.feature_name] for column in columns),
        tuple(piece.dim for piece in columns[0].feature_slot.slices),
        tuple(column.combiner for column in columns),
        config,
        tuple(column.feature_slot.config.occurrence_threshold for column in columns),
        tuple(column.feature_slot.config.expire_time for column in columns),
        tuple(column.feature_slot.name for column in columns),
    )


def plan_tables(collection: FeatureCollection, layout: Layout) -> tuple[TableSpec, ...]:
    """The tables of a model's features, in string order of their names.

    ConfigError for a model without features or another layout; StateError for a column that was never looked up.
    """
    if layout not in ("multi", "merged"):
        raise ConfigError(f"layout must be 'multi' or 'merged', not {layout!r}")
    if not collection.columns:
        raise ConfigError("the model looks up no embedding")
    expiry = _expiry(collection)
    readers: dict[str, list[FeatureColumn]] = {}
    for column in collection.columns.values():
        readers.setdefault(column.feature_slot.name, []).append(column)
    configs = {name: _table_config(columns[0].feature_slot, expiry) for name, columns in readers.items()}
    if layout == "multi":
        return tuple(_spec(name, readers[name], configs[name], collection) for name in sorted(readers))
    merged = merge_tables(configs, quirks=collection.quirks)
    specs = []
    for table in merged:
        columns = [column for name in table.features for column in readers[name]]
        specs.append(_spec(table.name, columns, table.config, collection))
    return tuple(sorted(specs, key=lambda spec: spec.name))


def assign_columns(collection: FeatureCollection) -> dict[str, tuple[int, int]]:
    """Where each feature's pooled embedding lies in x: feature -> (first column, width), in order of first lookup."""
    columns: dict[str, tuple[int, int]] = {}
    cursor = 0
    for lookup in collection.lookups:
        for name in lookup.features:
            if name in columns:
                continue
            column = collection.columns[name]
            width = column.feature_slot.dim * max(column.combiner.max_seq_length, 1)
            columns[name] = (cursor, width)
            cursor += width
    return columns
