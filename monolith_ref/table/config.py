"""A table's message, checked: segments, expiry, kind of rows. Rule: entry 7, tables 12.

Everything that the original only discovers while building (or never) is a ConfigError here that names the segment.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError
from monolith_protos.hash_table_pb2 import (
    EmbeddingHashTableConfig,
    EntryConfig,
    MultiEmbeddingHashTableConfig,
    SlotExpireTimeConfig,
)
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.fid import V2_MAX_SLOT, slot_of_v2
from monolith_ref.quirks import Quirks

__all__ = [
    "SECONDS_PER_DAY",
    "Expiry",
    "TablePlan",
    "check_table_config",
    "infer_dim_size",
    "parse_multi_config",
    "parse_table_config",
]

SECONDS_PER_DAY = 86400
_UNBUILT = frozenset(["group_ftrl", "dynamic_wd_adagrad"])


class Expiry:
    """Days until a row is stale, by the v2 slot of its id. Rule: tables 5.

    ``days`` is int64[32768]. The last entry of a slot wins; slots above 32767 never match (a warning says so).
    """

    def __init__(self, config: SlotExpireTimeConfig) -> None:
        self.config = config
        self.days = np.full(V2_MAX_SLOT + 1, config.default_expire_time, np.int64)
        for entry in config.slot_expire_times:
            if entry.slot <= V2_MAX_SLOT:
                self.days[entry.slot] = entry.expire_time
            else:
                warnings.warn(
                    f"slot {entry.slot} in the expiry never matches an id: slots go to {V2_MAX_SLOT}", stacklevel=3
                )

    def stale(self, ids: NDArray[np.int64], times: NDArray[np.uint32], reference: int) -> NDArray[np.bool_]:
        """Which rows are stale: ``reference - time >= days * 86400`` in int64."""
        limit = self.days[slot_of_v2(ids)] * SECONDS_PER_DAY
        return np.asarray(np.int64(reference) - times.astype(np.int64) >= limit)


@dataclass(frozen=True)
class TablePlan:
    """A checked table message.

    Attributes
    ----------
    config : EmbeddingHashTableConfig
        A copy of what was given.
    serving : bool
        Rows are compressed and cannot be trained.
    dims : tuple of int
        Floats per segment.
    skip_zero : bool
        Assigning a zero row erases it (serving only).
    evict_hours : int
        Hours between evictions; 0 = never.
    """

    config: EmbeddingHashTableConfig
    serving: bool
    dims: tuple[int, ...]
    skip_zero: bool
    evict_hours: int

    @property
    def dim(self) -> int:
        """Floats of a row."""
        return sum(self.dims)

    @property
    def segments(self) -> list[EntryConfig.Segment]:
        """The segments' messages."""
        return list(self.config.entry_config.segments)


def infer_dim_size(config: EmbeddingHashTableConfig) -> int:
    """Sum of the segments' dims, unchecked (0 for none)."""
    return sum(segment.dim_size for segment in config.entry_config.segments)


def parse_table_config(data: bytes) -> EmbeddingHashTableConfig:
    """A table message from bytes; ConfigError where they do not parse."""
    message = EmbeddingHashTableConfig()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ConfigError(f"not an EmbeddingHashTableConfig: {error}") from None
    return message


def parse_multi_config(data: bytes) -> dict[str, EmbeddingHashTableConfig]:
    """Tables by name from the bytes of a MultiEmbeddingHashTableConfig; ConfigError where names and configs differ."""
    message = MultiEmbeddingHashTableConfig()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ConfigError(f"not a MultiEmbeddingHashTableConfig: {error}") from None
    if len(message.names) != len(message.configs):
        raise ConfigError(f"a multi table has {len(message.names)} names and {len(message.configs)} configs")
    if len(set(message.names)) != len(message.names):
        raise ConfigError(f"a multi table names a table twice: {sorted(message.names)}")
    return dict(zip(message.names, message.configs, strict=True))


def _check_part(segment: EntryConfig.Segment, number: int, part: str, needed_for: str | None) -> None:
    if not segment.HasField(part):  # type: ignore[arg-type]
        if needed_for:
            raise ConfigError(f"segment {number} has no {part}, which a {needed_for} table needs")
        return
    message = getattr(segment, part)
    if message.WhichOneof("type") is None:
        raise ConfigError(f"segment {number}: {part} ({message.DESCRIPTOR.name}) has no type")


def _check_rule(segment: EntryConfig.Segment, number: int, quirks: Quirks) -> None:
    rule = segment.opt_config.WhichOneof("type")
    if rule == "dc":
        raise ConfigError(f"segment {number}: dc has no base rule of its own and cannot be built into a table")
    if rule in _UNBUILT and "unbuilt_rules" not in quirks:
        raise ConfigError(f"segment {number}: {rule} is built into tables only with quirks '+unbuilt_rules'")
    if rule == "batch_softmax" and segment.dim_size != 1 and "batch_softmax_any_dim" not in quirks:
        raise ConfigError(f"segment {number}: batch_softmax needs dim_size 1, got {segment.dim_size}")


def check_table_config(config: EmbeddingHashTableConfig, quirks: Quirks) -> TablePlan:
    """The plan of a table; ConfigError for what cannot be built (naming the segment)."""
    if not isinstance(config, EmbeddingHashTableConfig):
        raise ConfigError(f"a table needs an EmbeddingHashTableConfig, got {type(config).__name__}")
    if config.WhichOneof("type") is None:
        raise ConfigError("unknown type of hash table: the config sets no table type (cuckoo)")
    entry_type = config.entry_config.entry_type
    if entry_type not in (EntryConfig.TRAINING, EntryConfig.SERVING):
        raise ConfigError("unknown entry type: a table's entry_type is TRAINING or SERVING")
    serving = entry_type == EntryConfig.SERVING
    segments = config.entry_config.segments
    if not segments:
        raise ConfigError("a table needs at least one segment")
    kind = "serving" if serving else "training"
    for number, segment in enumerate(segments):
        if segment.dim_size <= 0:
            raise ConfigError(f"segment {number}: dim_size must be at least 1, got {segment.dim_size}")
        _check_part(segment, number, "init_config", None if serving else kind)
        _check_part(segment, number, "opt_config", None if serving else kind)
        _check_part(segment, number, "comp_config", kind if serving else None)
        if not serving:
            _check_rule(segment, number, quirks)
    if config.skip_zero_embedding and not serving:
        raise ConfigError("Only EntryConfig_EntryType_SERVING supports skip_zero_embedding!")
    hours = config.feature_evict_every_n_hours if config.enable_feature_eviction else 0
    if config.enable_feature_eviction and hours <= 0:
        raise ConfigError(f"feature_evict_every_n_hours must be positive where eviction is enabled, got {hours}")
    copy = EmbeddingHashTableConfig()
    copy.CopyFrom(config)
    dims = tuple(segment.dim_size for segment in segments)
    return TablePlan(copy, serving, dims, bool(config.skip_zero_embedding), hours)
