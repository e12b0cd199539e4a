"""How often an id has to occur before it may get a row, by the v2 slot of the id. Rule: filters 5."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from google.protobuf.message import DecodeError
from monolith_protos.hash_table_pb2 import SlotOccurrenceThresholdConfig
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.fid import V2_MAX_SLOT
from monolith_ref.quirks import Quirks

__all__ = ["MAX_COUNT", "slot_thresholds", "threshold_array"]

MAX_COUNT = 15
"""Where the count of a hash filter saturates: greater thresholds would never admit."""


def slot_thresholds(thresholds: Mapping[int, int], default: int | None = None) -> SlotOccurrenceThresholdConfig:
    """The message that lists every slot of ``thresholds`` in order (the default only where given)."""
    message = SlotOccurrenceThresholdConfig()
    for slot, threshold in thresholds.items():
        try:
            message.slot_occurrence_thresholds.add(slot=slot, occurrence_threshold=threshold)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"threshold of slot {slot!r}: {threshold!r} is not allowed ({error})") from None
    if default is not None:
        try:
            message.default_occurrence_threshold = default
        except (TypeError, ValueError) as error:
            raise ConfigError(f"default_occurrence_threshold {default!r} is not allowed ({error})") from None
    return message


def threshold_array(
    config: SlotOccurrenceThresholdConfig | bytes | None, *, limited: bool, quirks: Quirks
) -> NDArray[np.int32]:
    """Thresholds of all slots, int32[32768]: the default, then the listed slots in order.

    ``limited``: thresholds above 15 are refused unless ``filter_threshold_overflow``. ConfigError for those, for slots
    above 32767 and for bytes that do not parse.
    """
    if isinstance(config, bytes):
        message = SlotOccurrenceThresholdConfig()
        try:
            message.ParseFromString(config)
        except DecodeError as error:
            raise ConfigError(f"not a SlotOccurrenceThresholdConfig: {error}") from None
        config = message
    if config is None:
        return np.zeros(V2_MAX_SLOT + 1, np.int32)
    values = np.full(V2_MAX_SLOT + 1, config.default_occurrence_threshold, np.uint32)
    for entry in config.slot_occurrence_thresholds:
        if entry.slot > V2_MAX_SLOT:
            raise ConfigError(f"occurrence threshold of slot {entry.slot}: slots go to {V2_MAX_SLOT}")
        values[entry.slot] = entry.occurrence_threshold
    if limited and "filter_threshold_overflow" not in quirks and int(values.max()) > MAX_COUNT:
        slot = int(np.argmax(values > MAX_COUNT))
        raise ConfigError(
            f"occurrence threshold {int(values[slot])} (slot {slot}) would never admit: counts stop at {MAX_COUNT}"
        )
    return values.view(np.int32)
