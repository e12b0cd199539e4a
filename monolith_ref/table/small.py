"""Small tables of one segment, made without a configuration. Rule: tables 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.entry import (
    AdagradOptimizer,
    CombineAsSegment,
    CuckooHashTableConfig,
    Fp32Compressor,
    HashTableConfigInstance,
    SgdOptimizer,
    ZerosInitializer,
)
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.table.admission import SlidingHashFilter
from monolith_ref.table.hash_table import HashTable, hash_table_from_config
from monolith_ref.table.names import NameScope, default_scope
from monolith_ref.table.thresholds import slot_thresholds
from monolith_ref.table.touched import TouchedKeySet

__all__ = ["make_test_hash_table", "test_hash_table", "vocab_hash_table"]


def make_test_hash_table(
    dim_size: int,
    enable_hash_filter: bool = False,
    name_suffix: str | None = None,
    learning_rate: Any = 1.0,
    occurrence_threshold: int = 0,
    use_adagrad: bool = False,
    expire_time: int = 36500,
    sync_client: TouchedKeySet | None = None,
    extra_restore_names: Sequence[str] | None = None,
    use_gpu: bool = False,
    *,
    target: Target | None = None,
    quirks: str | Quirks | None = None,
    scope: NameScope | None = None,
) -> HashTable:
    """A table of one segment for tests: zeros, fp32, sgd or default adagrad; ``use_gpu`` puts it on CUDA."""
    optimizer = AdagradOptimizer() if use_adagrad else SgdOptimizer()
    message = EmbeddingHashTableConfig()
    segment = CombineAsSegment(dim_size, ZerosInitializer(), optimizer, Fp32Compressor())
    message.entry_config.segments.append(segment)
    message.slot_expire_time_config.default_expire_time = expire_time
    CuckooHashTableConfig().mutate_table(message)
    hash_filter = None
    if enable_hash_filter:
        thresholds = slot_thresholds({}, occurrence_threshold)
        hash_filter = SlidingHashFilter(config=thresholds, quirks=as_quirks(quirks), capacity=300)
    names = scope or default_scope
    suffix = names.fresh("test_") if name_suffix is None else name_suffix
    return hash_table_from_config(
        HashTableConfigInstance(message, [learning_rate], extra_restore_names),
        hash_filter,
        suffix,
        sync_client,
        target=make_target("cuda") if use_gpu and target is None else target,
        quirks=quirks,
        scope=names,
    )


test_hash_table = make_test_hash_table
"""The name that users know."""


def vocab_hash_table(
    vocab_size: int,
    dim_size: int,
    enable_hash_filter: bool = False,
    learning_rate: Any = 1.0,
    *,
    target: Target | None = None,
    quirks: str | Quirks | None = None,
    scope: NameScope | None = None,
) -> HashTable:
    """As :func:`make_test_hash_table`; ``vocab_size`` is not used."""
    return make_test_hash_table(
        dim_size, enable_hash_filter, learning_rate=learning_rate, target=target, quirks=quirks, scope=scope
    )
