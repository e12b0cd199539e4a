"""Bit-exact reference of ByteDance Monolith's embedding training.

Public names are imported on first use, so that ``import monolith_ref`` costs next to nothing: it loads neither Numba
nor mpi4py, compiles nothing and reads no settings.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "2026.11.0"

_EXPORTS: dict[str, str] = {
    "MonolithRefError": "monolith_ref.errors",
    "AdaGradWithGroupLassoOptimizer": "monolith_ref.entry",
    "AdadeltaOptimizer": "monolith_ref.entry",
    "AdagradOptimizer": "monolith_ref.entry",
    "AdamOptimizer": "monolith_ref.entry",
    "AmsgradOptimizer": "monolith_ref.entry",
    "BatchSoftmaxInitializer": "monolith_ref.entry",
    "BatchSoftmaxOptimizer": "monolith_ref.entry",
    "CombineAsSegment": "monolith_ref.entry",
    "Compressor": "monolith_ref.entry",
    "ConstantsInitializer": "monolith_ref.entry",
    "CuckooHashTableConfig": "monolith_ref.entry",
    "DynamicWdAdagradOptimizer": "monolith_ref.entry",
    "FTRLWithGroupSparsityOptimizer": "monolith_ref.entry",
    "FixedR8Compressor": "monolith_ref.entry",
    "Fp16Compressor": "monolith_ref.entry",
    "Fp32Compressor": "monolith_ref.entry",
    "FtrlOptimizer": "monolith_ref.entry",
    "HashTableConfig": "monolith_ref.entry",
    "HashTableConfigInstance": "monolith_ref.entry",
    "Initializer": "monolith_ref.entry",
    "MomentumOptimizer": "monolith_ref.entry",
    "MovingAverageOptimizer": "monolith_ref.entry",
    "OneBitCompressor": "monolith_ref.entry",
    "Optimizer": "monolith_ref.entry",
    "RandomUniformInitializer": "monolith_ref.entry",
    "RmspropOptimizer": "monolith_ref.entry",
    "RmspropV2Optimizer": "monolith_ref.entry",
    "SgdOptimizer": "monolith_ref.entry",
    "StochasticRoundingFloat16OptimizerWrapper": "monolith_ref.entry",
    "ZerosInitializer": "monolith_ref.entry",
    "LearningRateFunction": "monolith_ref.learning_rate",
    "PolynomialDecay": "monolith_ref.learning_rate",
    "Quirks": "monolith_ref.quirks",
    "HashTable": "monolith_ref.table.hash_table",
    "hash_table_from_config": "monolith_ref.table.hash_table",
    "test_hash_table": "monolith_ref.table.small",
    "vocab_hash_table": "monolith_ref.table.small",
    "MultiHashTable": "monolith_ref.table.multi",
    "MergedMultiTypeHashTable": "monolith_ref.table.multi_type",
    "MultiTypeHashTable": "monolith_ref.table.multi_type",
    "fused_apply_gradient": "monolith_ref.table.multi_type",
    "fused_lookup": "monolith_ref.table.multi_type",
    "DistributedHashTable": "monolith_ref.table.sharded",
    "DistributedMultiTypeHashTable": "monolith_ref.table.sharded",
    "PartitionedHashTable": "monolith_ref.table.sharded",
    "TouchedKeySet": "monolith_ref.table.touched",
    "RandomStreams": "monolith_ref.table.streams",
    "DummyFilter": "monolith_ref.table.admission",
    "HashFilter": "monolith_ref.table.admission",
    "ProbabilisticFilter": "monolith_ref.table.admission",
    "SlidingHashFilter": "monolith_ref.table.admission",
    "create_hash_filters": "monolith_ref.table.admission",
    "intercept_gradient": "monolith_ref.table.admission",
    "EvictionPolicy": "monolith_ref.table.eviction",
    "slot_thresholds": "monolith_ref.table.thresholds",
    "extract_slot_from_entry": "monolith_ref.table.entries",
    "iterate_table_and_apply": "monolith_ref.table.entries",
    "Batch": "monolith_ref.features.ragged",
    "Ragged": "monolith_ref.features.ragged",
    "FirstN": "monolith_ref.features.combiners",
    "ReduceMean": "monolith_ref.features.combiners",
    "ReduceSum": "monolith_ref.features.combiners",
    "DistributedCpuTrainingConfig": "monolith_ref.training.config",
    "distributed_sync_train": "monolith_ref.training.distributed",
    "Engine": "monolith_ref.training.engine",
    "EngineOptions": "monolith_ref.training.options",
    "EstimatorSpec": "monolith_ref.training.model",
    "MonolithModel": "monolith_ref.training.model",
    "ServingInputReceiver": "monolith_ref.training.model",
    "Observer": "monolith_ref.training.observer",
    "Settings": "monolith_ref.training.settings",
    "Callback": "monolith_ref.training.callbacks",
    "Evaluation": "monolith_ref.training.metrics",
    "TrainConfig": "monolith_ref.training.recipe.load",
    "TrainResult": "monolith_ref.training.trainer",
    "Trainer": "monolith_ref.training.trainer",
    "load_train_config": "monolith_ref.training.recipe.load",
    "dense": "",
    "errors": "",
    "fid": "",
    "entry": "",
    "model_dump": "",
}
"""Public name → module that defines it (empty: the name is a sub-package or module)."""

__all__ = sorted(["__version__", *_EXPORTS])


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'monolith_ref' has no attribute {name!r}")
    home = _EXPORTS[name]
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"monolith_ref.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
