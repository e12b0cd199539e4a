"""What an admission filter is, and what a checkpoint keeps of it. Rule: filters 1, 5, 8."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from monolith_protos.hash_table_pb2 import SlotOccurrenceThresholdConfig
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, StateError
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.table.thresholds import MAX_COUNT, threshold_array

__all__ = ["ALL_ABSENT", "AdmissionFilter", "Contains", "DummyFilter", "FilterState", "checked_count", "one_threshold"]

ALL_ABSENT = np.empty(0, np.uint8)
"""Presence flags that say: no id has a row."""

_U32 = (1 << 32) - 1


class Contains(Protocol):
    """A table, as far as filters ask."""

    def contains(self, ids: Any) -> NDArray[np.bool_]: ...


@dataclass
class FilterState:
    """What a checkpoint keeps of a filter.

    Attributes
    ----------
    kind : str
        ``"none"``, ``"hash"``, ``"sliding"`` or ``"probabilistic"``.
    capacity, split_num : int
        As given (capacity after its minimum of 300 for sliding filters).
    total_size, fill_rate
        Of each split.
    cells : list of uint16[total_size + 64], one per split (uint8 for 8-bit filters)
    num_elements, failures : list of int, one per split
    head, head_increment, failure_count : int
        Of a sliding filter.
    hash : str
    signature_hash : bool
        Signatures from the hash (extension ``filter_signature_hash``).
    generator : (s0, s1) or None
        Of a probabilistic filter.
    """

    kind: str
    capacity: int = 0
    split_num: int = 0
    total_size: int = 0
    fill_rate: float = 0.0
    cells: list[NDArray[Any]] = field(default_factory=list)
    num_elements: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    head: int = 0
    head_increment: int = 0
    failure_count: int = 0
    hash: str = "splitmix64"
    signature_hash: bool = False
    generator: tuple[int, int] | None = None


class AdmissionFilter:
    """What tables ask. ``thresholds`` int32[32768] holds T per slot."""

    kind = "none"
    limited = False

    def __init__(
        self,
        config: SlotOccurrenceThresholdConfig | bytes | None = None,
        *,
        quirks: str | Quirks | None = None,
        name: str = "",
    ) -> None:
        self.quirks = as_quirks(quirks)
        self.name = name
        self.thresholds = threshold_array(config, limited=self.limited, quirks=self.quirks)
        self._lock = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether no question can ever filter or change anything, so that tables need not ask."""
        return True

    def admit(
        self,
        ids: NDArray[np.int64],
        present: NDArray[np.uint8] = ALL_ABSENT,
        counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        """Which positions may be written: int64[n] ids asked in order, each with its slot's threshold.

        ``present`` uint8[n] is non-zero where the id has a row (those are not asked; empty: none has), ``counts`` the
        occurrences that each position stands for (None: 1).
        """
        return np.ones(len(ids), np.bool_)

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: Contains | None = None) -> bool:
        """One question with an explicit threshold."""
        return False

    def add(self, fid: int, count: int = 1) -> int:
        """Count occurrences of an id; returns the count before (15: as many or more)."""
        return MAX_COUNT

    def get(self, fid: int) -> int:
        """The count of an id."""
        return MAX_COUNT

    @property
    def split_num(self) -> int:
        """Number of files that a checkpoint has of it."""
        return 0

    def export_state(self) -> FilterState:
        """Copies of everything that a checkpoint keeps."""
        return FilterState(self.kind)

    def import_state(self, state: FilterState) -> None:
        """Continue from an exported state; StateError (nothing changed) where the filter is of another shape."""
        if state.kind != self.kind:
            raise StateError(f"a {state.kind} filter's state does not fit a {self.kind} filter")


class DummyFilter(AdmissionFilter):
    """Lets everything through."""


def checked_count(value: int, quirks: Quirks) -> int:
    """A count of occurrences modulo 2^32; ArgumentError outside of it unless ``filter_threshold_overflow``."""
    if not 0 <= value <= _U32 and "filter_threshold_overflow" not in quirks:
        raise ArgumentError(f"a count must be in 0..{_U32}, got {value}")
    return value & _U32


def one_threshold(threshold: int) -> NDArray[np.int32]:
    """One threshold for all slots, as kernels take it."""
    return np.array([max(min(threshold, 2**31 - 1), -(2**31))], np.int32)
