"""Feature names and slots of one model. Rule: entry 4, features 1.

A name has the slot that it was registered with, else the number after ``slot_`` or ``fc_slot_``, else none: its
ids are taken as they are, and thresholds and expiry by slot do not apply. (The original numbers such names 1, 2, 3
... in order of first request in the process: quirk ``auto_slot_numbers``, here per model.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from monolith_ref.errors import ArgumentError, ConfigError
from monolith_ref.fid import V2_MAX_SLOT
from monolith_ref.quirks import Quirks, as_quirks

__all__ = ["NO_SLOT", "FeatureNames"]

NO_SLOT = -1
"""Slot of a feature whose name says none."""

_NUMBERED = re.compile(r"^(?:fc_)?slot_(?:.*_)?(\d+)$")


class FeatureNames:
    """Which slot a feature has, and what a slot's feature is called."""

    def __init__(self, quirks: str | Quirks | None = None) -> None:
        self._quirks = as_quirks(quirks)
        self._slots: dict[str, int] = {}
        self._numbered: dict[str, int] = {}

    def register(self, slots: Mapping[str, int]) -> None:
        """Give names their slots. ConfigError for a slot outside 0..32767 or a name that has another one already."""
        for name, slot in slots.items():
            if isinstance(slot, bool) or not isinstance(slot, int) or not 0 <= slot <= V2_MAX_SLOT:
                raise ConfigError(f"feature {name}: slot must be an integer in 0..{V2_MAX_SLOT}, not {slot!r}")
            if self._slots.get(name, slot) != slot:
                raise ConfigError(f"feature {name} has slot {self._slots[name]} already, not {slot}")
            self._slots[name] = slot

    def resolve(self, feature: Any) -> tuple[str, int]:
        """(name, slot) of a name, a slot number, or an object with ``feature_name``; slot ``NO_SLOT`` where there
        is none."""
        if isinstance(feature, bool) or not isinstance(feature, int | str):
            name = getattr(feature, "feature_name", None)
            if not isinstance(name, str):
                raise ArgumentError(f"a feature is a name, a slot number or a column, not {feature!r}")
            feature = name
        if isinstance(feature, int):
            if not 0 <= feature <= V2_MAX_SLOT:
                raise ArgumentError(f"slot must be in 0..{V2_MAX_SLOT}, not {feature}")
            for name, slot in self._slots.items():
                if slot == feature:
                    return name, slot
            return f"fc_slot_{feature}", feature
        if not feature:
            raise ArgumentError("a feature needs a name")
        return feature, self._slot(feature)

    def _slot(self, name: str) -> int:
        if name in self._slots:
            return self._slots[name]
        match = _NUMBERED.match(name)
        if match:
            return int(match.group(1))
        if "auto_slot_numbers" in self._quirks:
            return self._numbered.setdefault(name, len(self._numbered) + 1)
        return NO_SLOT
