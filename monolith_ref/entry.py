"""Configuration of table entries: segments, tables and their identity. Rule: entry 1.

The optimizers, initializers and compressors are defined in :mod:`monolith_ref.entry_parts` and named here too, so that
one import serves. Objects are checked when they are built: ConfigError names class, argument, value and expectation.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from monolith_protos.compressor_pb2 import FloatCompressorConfig
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig, EntryConfig
from monolith_protos.initializer_pb2 import InitializerConfig
from monolith_protos.optimizer_pb2 import OptimizerConfig
from numpy.typing import NDArray

from monolith_ref.entry_checks import checked_number, refused
from monolith_ref.entry_parts import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    AmsgradOptimizer,
    BatchSoftmaxInitializer,
    BatchSoftmaxOptimizer,
    Compressor,
    ConstantsInitializer,
    DynamicWdAdagradOptimizer,
    FixedR8Compressor,
    Fp16Compressor,
    Fp32Compressor,
    FtrlOptimizer,
    FTRLWithGroupSparsityOptimizer,
    Initializer,
    MomentumOptimizer,
    MovingAverageOptimizer,
    OneBitCompressor,
    Optimizer,
    RandomUniformInitializer,
    RmspropOptimizer,
    RmspropV2Optimizer,
    SgdOptimizer,
    StochasticRoundingFloat16OptimizerWrapper,
    ZerosInitializer,
)
from monolith_ref.learning_rate import LrProfile, rate_value, rate_vector

__all__ = [
    "AdaGradWithGroupLassoOptimizer",
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "AmsgradOptimizer",
    "BatchSoftmaxInitializer",
    "BatchSoftmaxOptimizer",
    "CombineAsSegment",
    "Compressor",
    "ConstantsInitializer",
    "CuckooHashTableConfig",
    "DynamicWdAdagradOptimizer",
    "FTRLWithGroupSparsityOptimizer",
    "FixedR8Compressor",
    "Fp16Compressor",
    "Fp32Compressor",
    "FtrlOptimizer",
    "HashTableConfig",
    "HashTableConfigInstance",
    "Initializer",
    "MomentumOptimizer",
    "MovingAverageOptimizer",
    "OneBitCompressor",
    "Optimizer",
    "RandomUniformInitializer",
    "RmspropOptimizer",
    "RmspropV2Optimizer",
    "SgdOptimizer",
    "StochasticRoundingFloat16OptimizerWrapper",
    "ZerosInitializer",
]


def _part_message(
    argument: str, value: Any, wrapper: type[Optimizer | Initializer | Compressor], message: type[Any]
) -> Any:
    if isinstance(value, wrapper):
        return value.as_proto()
    if isinstance(value, message):
        return value
    raise refused("CombineAsSegment", argument, value, f"a {wrapper.__name__} or a {message.DESCRIPTOR.name}")


def CombineAsSegment(
    dim_size: int,
    initializer: Initializer | InitializerConfig,
    optimizer: Optimizer | OptimizerConfig,
    compressor: Compressor | FloatCompressorConfig,
) -> EntryConfig.Segment:
    """One segment of a row: ``dim_size`` floats with their initializer, optimizer and compressor.

    Parts are configuration objects or ready messages (copied). Raises ConfigError for a missing, swapped or foreign
    part and for ``dim_size < 1``.
    """
    dim = checked_number("CombineAsSegment", "dim_size", dim_size, "int32")
    if dim < 1:
        raise refused("CombineAsSegment", "dim_size", dim_size, "at least 1")
    segment = EntryConfig.Segment(dim_size=int(dim))
    segment.init_config.CopyFrom(_part_message("initializer", initializer, Initializer, InitializerConfig))
    segment.opt_config.CopyFrom(_part_message("optimizer", optimizer, Optimizer, OptimizerConfig))
    segment.comp_config.CopyFrom(_part_message("compressor", compressor, Compressor, FloatCompressorConfig))
    return segment


class HashTableConfig(abc.ABC):
    """Base of table kinds."""

    @abc.abstractmethod
    def mutate_table(self, table_config: EmbeddingHashTableConfig) -> None:
        """Write this kind into a table's message."""


@dataclass(frozen=True)
class CuckooHashTableConfig(HashTableConfig):
    """The one kind of table: initial capacity (at least 1) and eviction every so many hours (0 or less: never)."""

    initial_capacity: int = 1
    feature_evict_every_n_hours: int = 0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        capacity = checked_number(owner, "initial_capacity", self.initial_capacity, "uint64")
        if capacity < 1:
            raise refused(owner, "initial_capacity", self.initial_capacity, "at least 1")
        hours = checked_number(owner, "feature_evict_every_n_hours", self.feature_evict_every_n_hours, "int32")
        object.__setattr__(self, "initial_capacity", capacity)
        object.__setattr__(self, "feature_evict_every_n_hours", hours)

    def mutate_table(self, table_config: EmbeddingHashTableConfig) -> None:
        table_config.initial_capacity = self.initial_capacity
        table_config.cuckoo.SetInParent()
        if self.feature_evict_every_n_hours > 0:
            table_config.enable_feature_eviction = True
            table_config.feature_evict_every_n_hours = self.feature_evict_every_n_hours


class HashTableConfigInstance:
    """A table's message (kept by reference), the learning rate of each segment, and extra names to restore from.

    ``str()`` is the identity by which tables merge. Raises ConfigError unless there is one rate (a number or
    a callable) for each segment, at least one.
    """

    def __init__(
        self,
        table_config: EmbeddingHashTableConfig,
        learning_rate_fns: Sequence[Any],
        extra_restore_names: Sequence[str] | None = None,
    ) -> None:
        owner = type(self).__name__
        if not isinstance(table_config, EmbeddingHashTableConfig):
            raise refused(owner, "table_config", table_config, "an EmbeddingHashTableConfig")
        if isinstance(learning_rate_fns, str) or not isinstance(learning_rate_fns, Sequence):
            raise refused(owner, "learning_rate_fns", learning_rate_fns, "a list of numbers or callables")
        segments = len(table_config.entry_config.segments)
        if not learning_rate_fns or len(learning_rate_fns) != segments:
            expected = f"one rate for each of the {segments} segments, and at least one"
            raise refused(owner, "learning_rate_fns", list(learning_rate_fns), expected)
        for rate in learning_rate_fns:
            if not callable(rate):
                checked_number(owner, "learning_rate_fns", rate, "float")
        names = list(extra_restore_names or [])
        if isinstance(extra_restore_names, str) or not all(isinstance(name, str) for name in names):
            raise refused(owner, "extra_restore_names", extra_restore_names, "a list of strings")
        self._table_config = table_config
        self._learning_rate_fns = list(learning_rate_fns)
        self._extra_restore_names = names

    @property
    def table_config(self) -> EmbeddingHashTableConfig:
        """The table's message, not a copy."""
        return self._table_config

    @property
    def learning_rate_fns(self) -> list[Any]:
        """One number or callable per segment."""
        return self._learning_rate_fns

    @property
    def extra_restore_names(self) -> list[str]:
        """Further names under which a checkpoint may hold this table."""
        return self._extra_restore_names

    def call_learning_rate_fns(self, global_step: int = 0, profile: LrProfile = "plain") -> NDArray[np.float32]:
        """The rates at ``global_step``, float32 ``[segments]``."""
        return rate_vector(self._learning_rate_fns, global_step, profile)

    def call_learning_rate_fns_fewer_ops(self, global_step: int = 0, profile: LrProfile = "plain") -> list[np.float32]:
        """The same rates as a list."""
        return [rate_value(rate, global_step, profile) for rate in self._learning_rate_fns]

    def __str__(self) -> str:
        rates = ", ".join(str(rate) for rate in self._learning_rate_fns)
        return f"TableConfigPB: {self._table_config.SerializeToString()!r}, LearningRateFns: [{rates}]"
