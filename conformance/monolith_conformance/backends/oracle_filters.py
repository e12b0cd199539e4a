"""The oracle's filters behind the protocol: made from their description, with bad input refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from monolith_conformance.backends.filters import FilterSpec
from monolith_conformance.oracle import filters
from monolith_ref.errors import ArgumentError, ConfigError

__all__ = ["Checked", "make_filter"]

MOST, LAST_SLOT, LAST_COUNT = 15, 32_767, (1 << 32) - 1


def make_filter(spec: FilterSpec, quirks: Collection[str]) -> Any:
    """An oracle filter; thresholds and slots that the rules refuse are a ConfigError."""
    if max(spec.thresholds, default=0) > LAST_SLOT:
        raise ConfigError(f"a threshold of slot {max(spec.thresholds)}: slots go to {LAST_SLOT}")
    counting = spec.kind in ("hash", "hash_u8", "sliding")
    most = max(spec.default, *spec.thresholds.values(), 0)
    if counting and most > MOST and "filter_threshold_overflow" not in quirks:
        raise ConfigError(f"a threshold of {most} would never admit")
    if counting and spec.capacity < 1:
        raise ConfigError("a filter needs a capacity of at least 1")
    if spec.kind in ("hash", "hash_u8"):
        return filters.OracleHashFilter(spec.capacity, bits=16 if spec.kind == "hash" else 8, quirks=quirks)
    if spec.kind == "sliding":
        return filters.OracleSlidingFilter(spec.capacity, spec.split_num, quirks=quirks)
    if spec.kind == "dummy":
        return _Dummy()
    if spec.kind in ("probabilistic", "probabilistic_equal"):
        return filters.OracleProbabilisticFilter(equal=spec.kind.endswith("equal"))
    raise ConfigError(f"filter kind {spec.kind!r}")


class Checked:
    """A filter asked directly: counts outside of 32 bits and thresholds that never admit are refused."""

    def __init__(self, made: Any, quirks: Collection[str]) -> None:
        self._made = made
        self._free = "filter_threshold_overflow" in quirks
        self._counting = hasattr(made, "add")

    def add(self, fid: int, count: int) -> int:
        self._check(count)
        return int(self._made.add(fid, count)) if self._counting else MOST

    def get(self, fid: int) -> int:
        return int(self._made.get(fid)) if self._counting else MOST

    def should_be_filtered(self, fid: int, count: int, threshold: int) -> bool:
        if not self._counting:
            return False  # A draw is made for a table's id only.
        if threshold > MOST and not self._free:
            raise ArgumentError(f"threshold {threshold} would never admit")
        self._check(count)
        return bool(self._made.should_be_filtered(fid, count, threshold))

    def _check(self, count: int) -> None:
        if self._counting and not 0 <= count <= LAST_COUNT and not self._free:
            raise ArgumentError(f"a count must be in 0..{LAST_COUNT}, got {count}")


class _Dummy:
    """Lets everything in; asked by a table as other filters are."""

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: Any = None) -> bool:
        return False
