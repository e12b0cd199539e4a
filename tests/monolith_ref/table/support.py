"""Small tables and what tests say about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig, EntryConfig

from monolith_ref.entry import (
    AdagradOptimizer,
    CombineAsSegment,
    CuckooHashTableConfig,
    Fp32Compressor,
    HashTableConfigInstance,
    SgdOptimizer,
    ZerosInitializer,
)
from monolith_ref.table.core import Table
from monolith_ref.table.hash_table import HashTable, hash_table_from_config
from monolith_ref.table.multi import MultiHashTable
from monolith_ref.table.names import NameScope

DAY = 86400


def part(dim: int = 2, optimizer: Any = None, initializer: Any = None, compressor: Any = None) -> EntryConfig.Segment:
    """One segment: zeros, sgd, fp32 unless said otherwise."""
    return CombineAsSegment(
        dim, initializer or ZerosInitializer(), optimizer or SgdOptimizer(), compressor or Fp32Compressor()
    )


def message(*segments: EntryConfig.Segment, days: dict[int, int] | None = None, default_days: int | None = None,
            serving: bool = False, skip_zero: bool = False) -> EmbeddingHashTableConfig:  # fmt: skip
    """A table message."""
    config = EmbeddingHashTableConfig()
    for segment in segments or (part(),):
        config.entry_config.segments.append(segment)
    for slot, expire in (days or {}).items():
        config.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=expire)
    if default_days is not None:
        config.slot_expire_time_config.default_expire_time = default_days
    if serving:
        config.entry_config.entry_type = EntryConfig.SERVING
    if skip_zero:
        config.skip_zero_embedding = True
    CuckooHashTableConfig().mutate_table(config)
    return config


def instance(config: EmbeddingHashTableConfig | None = None, rates: Sequence[Any] = (1.0,), extra: Any = None) -> Any:
    """A configuration instance."""
    return HashTableConfigInstance(config if config is not None else message(), list(rates), extra)


def single(config: EmbeddingHashTableConfig | None = None, rates: Sequence[Any] = (1.0,), **options: Any) -> HashTable:
    """A single table in a scope of its own."""
    return hash_table_from_config(instance(config, rates), scope=NameScope(), **options)


def multi(configs: dict[str, Any], **options: Any) -> MultiHashTable:
    """Tables of these configurations in a scope of their own."""
    return MultiHashTable.from_configs(configs, scope=NameScope(), **options)


def adagrad(dim: int = 2) -> EntryConfig.Segment:
    """Default adagrad from zeros."""
    return part(dim, AdagradOptimizer())


def core(table: Any) -> Table:
    """The core of a public single table."""
    return table.table if isinstance(table, HashTable) else table  # type: ignore[no-any-return]


def content(table: Any) -> Any:
    """Everything that a table holds, as comparable data."""
    if isinstance(table, MultiHashTable):
        return {name: content(one) for name, one in table.tables.items()}
    kept = core(table)
    ids, rows = kept.store.items()
    values = kept.lookup(ids)[0].view(np.uint32).tolist()
    state: Any = None
    if not kept.serving:
        dump = kept.training_store.export(rows, ids)
        state = [{k: np.asarray(v).tobytes() for k, v in segment.items()} for segment in dump.state]
    draws = kept.streams.export_state()
    return ids.tolist(), values, state, kept.store.times(rows).tolist(), kept.max_ts, draws


def hexes(values: Any) -> list[str]:
    """Floats in C99 hex without trailing zeros of the mantissa."""
    out = []
    for value in np.asarray(values, np.float32).reshape(-1):
        text = float(value).hex()
        mantissa, exponent = text.split("p")
        mantissa = mantissa.rstrip("0") if "." in mantissa else mantissa
        out.append(f"{mantissa.rstrip('.')}p{exponent}")
    return out


def entry_of(table: Any, fid: int) -> Any:
    """(num, state of every segment, time) of one row."""
    kept = core(table)
    ids = np.array([fid], np.int64)
    rows = np.array(kept.store.find(ids))
    assert rows[0] >= 0, f"id {fid} has no row"
    dump = kept.training_store.export(rows, ids)
    return dump.weights[0], [{k: v[0] for k, v in segment.items()} for segment in dump.state], int(dump.update_time[0])
