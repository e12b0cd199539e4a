"""Slots, slices and columns: what a model says about its embedding tables before they exist. Rule: features 1,
entry 5, 6.

| thing | meaning |
|---|---|
| FeatureSlot | one embedding table as users see it; owns slices |
| FeatureSlice | a stretch [start, end) of its row |
| FeatureColumn | an input feature that reads a slot, with its combiner; several columns may share a slot |
| FeatureFactory | makes slots; two slots of one name are an error |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from monolith_protos.hash_table_pb2 import EntryConfig

from monolith_ref.entry import (
    AdagradOptimizer,
    CombineAsSegment,
    Compressor,
    CuckooHashTableConfig,
    Fp16Compressor,
    Fp32Compressor,
    FtrlOptimizer,
    HashTableConfig,
    Initializer,
    Optimizer,
    RandomUniformInitializer,
    ZerosInitializer,
)
from monolith_ref.errors import ConfigError, StateError
from monolith_ref.features.combiners import Combiner, ReduceSum
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.table.naming import default_learning_rate, merge_segments

__all__ = ["FeatureColumn", "FeatureFactory", "FeatureSlice", "FeatureSlot", "FeatureSlotConfig"]


@dataclass(frozen=True)
class FeatureSlotConfig:
    """A slot's name, what its slices get unless they say otherwise, and its table's kind, threshold and expiry
    (days)."""

    name: str | None = None
    has_bias: bool = False
    bias_learning_rate_fn: Any = None
    bias_initializer: Initializer = field(default_factory=ZerosInitializer)
    bias_optimizer: Optimizer = field(default_factory=lambda: FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0))
    bias_compressor: Compressor = field(default_factory=Fp32Compressor)
    default_vec_learning_rate_fn: Any = None
    default_vec_initializer: Initializer = field(default_factory=RandomUniformInitializer)
    default_vec_optimizer: Optimizer = field(default_factory=lambda: AdagradOptimizer(initial_accumulator_value=1.0))
    default_vec_compressor: Compressor = field(default_factory=Fp16Compressor)
    hashtable_config: HashTableConfig = field(default_factory=CuckooHashTableConfig)
    slot_id: int | None = None
    occurrence_threshold: int = 0
    expire_time: int = 36500

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", str(self.slot_id))


@dataclass(frozen=True, eq=False)
class FeatureSlice:
    """Columns ``start`` to ``end`` of a slot's row, their segment message and learning rate."""

    feature_slot: FeatureSlot
    start: int
    end: int
    segment: EntryConfig.Segment
    learning_rate: Any

    @property
    def dim(self) -> int:
        """Number of columns."""
        return self.end - self.start

    def definition(self) -> tuple[bytes, str]:
        """What two slices must have in common to be the same."""
        return self.segment.SerializeToString(), str(self.learning_rate)


class FeatureSlot:
    """One embedding table as users see it. Made by :meth:`FeatureFactory.create_feature_slot`."""

    def __init__(self, config: FeatureSlotConfig, quirks: Quirks) -> None:
        self.config = config
        self.slices: list[FeatureSlice] = []
        self._quirks = quirks
        self._bias: FeatureSlice | None = None
        if config.has_bias:
            segment = CombineAsSegment(1, config.bias_initializer, config.bias_optimizer, config.bias_compressor)
            rate = default_learning_rate(segment, config.bias_learning_rate_fn, quirks=quirks)
            self._bias = self._append(segment, rate)

    @property
    def name(self) -> str:
        """The table's name."""
        assert self.config.name is not None
        return self.config.name

    @property
    def slot(self) -> int:
        """The name as a number; ConfigError where it is none."""
        try:
            return int(self.name)
        except ValueError:
            raise ConfigError(f"slot {self.name!r} is not named by a number") from None

    @property
    def dim(self) -> int:
        """Columns of all slices."""
        return self.slices[-1].end if self.slices else 0

    def add_feature_slice(
        self,
        dim: int,
        initializer: Initializer | None = None,
        optimizer: Optimizer | None = None,
        compressor: Compressor | None = None,
        learning_rate_fn: Any = None,
    ) -> FeatureSlice:
        """Append ``dim`` columns; what is not given comes from the slot's defaults, part by part."""
        segment, rate = self._resolved(dim, initializer, optimizer, compressor, learning_rate_fn)
        return self._append(segment, rate)

    def describe_slice(
        self,
        dim: int,
        initializer: Initializer | None = None,
        optimizer: Optimizer | None = None,
        compressor: Compressor | None = None,
        learning_rate_fn: Any = None,
    ) -> tuple[bytes, str]:
        """The :meth:`FeatureSlice.definition` that :meth:`add_feature_slice` would give; nothing is appended."""
        segment, rate = self._resolved(dim, initializer, optimizer, compressor, learning_rate_fn)
        return segment.SerializeToString(), str(rate)

    def _resolved(
        self,
        dim: int,
        initializer: Initializer | None,
        optimizer: Optimizer | None,
        compressor: Compressor | None,
        learning_rate_fn: Any,
    ) -> tuple[EntryConfig.Segment, Any]:
        defaults = self.config
        segment = CombineAsSegment(
            dim,
            initializer or defaults.default_vec_initializer,
            optimizer or defaults.default_vec_optimizer,
            compressor or defaults.default_vec_compressor,
        )
        given = defaults.default_vec_learning_rate_fn if learning_rate_fn is None else learning_rate_fn
        return segment, default_learning_rate(segment, given, quirks=self._quirks)

    def _append(self, segment: EntryConfig.Segment, rate: Any) -> FeatureSlice:
        made = FeatureSlice(self, self.dim, self.dim + segment.dim_size, segment, rate)
        self.slices.append(made)
        return made

    def get_bias(self) -> FeatureSlice:
        """The bias slice [0, 1); StateError without ``has_bias``."""
        if self._bias is None:
            raise StateError(f"slot {self.name} was made without has_bias")
        return self._bias

    def segments(self) -> tuple[list[EntryConfig.Segment], list[Any]]:
        """The table's segments (equal neighbours merged) and their learning rates. StateError without any slice."""
        if not self.slices:
            raise StateError(f"slot {self.name} has no slice: nothing was looked up from it")
        segments, rates, _ = merge_segments([s.segment for s in self.slices], [s.learning_rate for s in self.slices])
        return segments, rates


@dataclass(frozen=True, eq=False)
class FeatureColumn:
    """An input feature that reads a slot."""

    feature_slot: FeatureSlot
    feature_name: str
    combiner: Combiner = field(default_factory=ReduceSum)


class FeatureFactory:
    """Makes slots and remembers them by name."""

    def __init__(self, quirks: str | Quirks | None = None) -> None:
        self._quirks = as_quirks(quirks)
        self.slots: dict[str, FeatureSlot] = {}

    def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
        """A new slot; ConfigError if the name is taken."""
        assert config.name is not None
        if config.name in self.slots:
            raise ConfigError(f"there is a slot named {config.name!r} already")
        made = self.slots[config.name] = FeatureSlot(config, self._quirks)
        return made
