"""Hash filters and sliding hash filters: counts in cells found by a stable hash of the id. Rule: filters 2 to 4."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from monolith_kernels.cpu import filter as kernels
from monolith_protos.hash_table_pb2 import SlotOccurrenceThresholdConfig
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, ConfigError, StateError
from monolith_ref.fid import to_signed
from monolith_ref.quirks import Quirks
from monolith_ref.table.filter_base import (
    ALL_ABSENT,
    AdmissionFilter,
    Contains,
    FilterState,
    checked_count,
    one_threshold,
)
from monolith_ref.table.thresholds import MAX_COUNT

__all__ = ["HashFilter", "SlidingHashFilter", "size_byte", "sliding_size_byte"]

SPARE_CELLS = 64
HASH_PROBES = 64
SLIDING_FILL_RATE = 1.2
_U32 = (1 << 32) - 1
HashName = Literal["splitmix64", "identity"]


def _capacity(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ConfigError(f"a filter's capacity must be a positive integer, got {value!r}")
    return int(value)


def _options(hash_name: str, quirks: Quirks) -> int:
    if hash_name not in ("splitmix64", "identity"):
        raise ConfigError(f"unknown hash {hash_name!r}: splitmix64 or identity")
    return (
        (kernels.IDENTITY_HASH if hash_name == "identity" else 0)
        | (kernels.SIGNATURE_HASH if "filter_signature_hash" in quirks else 0)
        | (kernels.COUNT_ZERO if "filter_zero_count" in quirks else 0)
    )


class _CountingFilter(AdmissionFilter):
    """What the two filters of cells share: checked counts and thresholds, one kernel call per batch."""

    limited = True

    @property
    def idle(self) -> bool:
        return not (self.thresholds > 0).any()

    def admit(
        self,
        ids: NDArray[np.int64],
        present: NDArray[np.uint8] = ALL_ABSENT,
        counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        if counts is None:
            counts = np.ones(len(ids), np.int64)
        filtered = np.empty(len(ids), np.uint8)
        with self._lock:
            self._ask(ids, counts, self.thresholds, present, filtered)
        return np.asarray(filtered == 0)

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: Contains | None = None) -> bool:
        if threshold > MAX_COUNT and "filter_threshold_overflow" not in self.quirks:
            raise ArgumentError(f"threshold {threshold} would never admit: counts stop at {MAX_COUNT}")
        counted = np.array([checked_count(count, self.quirks)], np.int64)
        limit = one_threshold(threshold)
        filtered = np.empty(1, np.uint8)
        with self._lock:
            self._ask(np.array([to_signed(fid)], np.int64), counted, limit, ALL_ABSENT, filtered)
        return bool(filtered[0])

    def add(self, fid: int, count: int = 1) -> int:
        out = np.empty(1, np.int32)
        counted = np.array([checked_count(count, self.quirks)], np.int64)
        with self._lock:
            self._add(np.array([to_signed(fid)], np.int64), counted, out)
        return int(out[0])

    def get(self, fid: int) -> int:
        out = np.empty(1, np.int32)
        with self._lock:
            self._get(np.array([to_signed(fid)], np.int64), out)
        return int(out[0])

    def _ask(self, ids: Any, counts: Any, thresholds: Any, present: Any, filtered: Any) -> None:
        raise NotImplementedError

    def _add(self, ids: Any, counts: Any, out: Any) -> None:
        raise NotImplementedError

    def _get(self, ids: Any, out: Any) -> None:
        raise NotImplementedError


class HashFilter(_CountingFilter):
    """One array of cells, ``signature << 4 | count``; stand-alone, probes of 64 cells. Rule: filters 3."""

    kind = "hash"

    def __init__(
        self,
        capacity: int,
        fill_rate: float = 1.5,
        config: SlotOccurrenceThresholdConfig | bytes | None = None,
        *,
        bits: int = 16,
        hash: HashName = "splitmix64",
        quirks: str | Quirks | None = None,
        name: str = "",
    ) -> None:
        super().__init__(config, quirks=quirks, name=name)
        if bits not in (8, 16):
            raise ConfigError(f"cells have 8 or 16 bits, not {bits!r}")
        self.capacity = _capacity(capacity)
        self.fill_rate = float(fill_rate)
        self.total_size = int(self.capacity * self.fill_rate)
        if self.total_size < 1:
            raise ConfigError(f"capacity {capacity} times fill rate {fill_rate} leaves no cell")
        self.hash = hash
        self._flags = _options(hash, self.quirks)
        self.cells: NDArray[Any] = np.zeros(self.total_size + SPARE_CELLS, np.uint16 if bits == 16 else np.uint8)
        self._state = np.zeros(3, np.int64)

    def _ask(self, ids: Any, counts: Any, thresholds: Any, present: Any, filtered: Any) -> None:
        cells, state = self.cells, self._state
        kernels.hash_admit(
            cells, state, self.capacity, HASH_PROBES, self._flags, ids, counts, thresholds, present, filtered
        )

    def _add(self, ids: Any, counts: Any, out: Any) -> None:
        kernels.hash_add(self.cells, self._state, self.capacity, HASH_PROBES, self._flags, ids, counts, out)

    def _get(self, ids: Any, out: Any) -> None:
        kernels.hash_get(self.cells, HASH_PROBES, self._flags, ids, out)

    @property
    def num_elements(self) -> int:
        """Cells claimed, clamped at the capacity."""
        return int(self._state[0])

    @property
    def failure_count(self) -> int:
        """Probes that found no cell."""
        return int(self._state[1])

    @property
    def full(self) -> bool:
        """One below its capacity or more."""
        return self.num_elements >= self.capacity - 1

    @property
    def exceed_limit(self) -> bool:
        """At its capacity."""
        return self.num_elements >= self.capacity

    @property
    def estimated_total_element(self) -> int:
        """As :attr:`num_elements`."""
        return self.num_elements

    @property
    def size_mb(self) -> int:
        """Whole megabytes of cells."""
        return self.cells.nbytes // (1 << 20)

    def clear(self) -> None:
        """Forget all counts."""
        self.cells.fill(0)
        self._state.fill(0)

    def clone(self) -> HashFilter:
        """An independent filter with the same counts."""
        bits = 8 * self.cells.itemsize
        twin = HashFilter(self.capacity, self.fill_rate, bits=bits, hash=self.hash, quirks=self.quirks, name=self.name)
        twin.thresholds = self.thresholds.copy()
        twin.cells[:] = self.cells
        twin._state[:] = self._state
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashFilter):
            return NotImplemented
        same = (self.total_size, self.num_elements, self.capacity, self.fill_rate)
        others = (other.total_size, other.num_elements, other.capacity, other.fill_rate)
        return same == others and np.array_equal(self.cells, other.cells)

    __hash__ = None  # type: ignore[assignment]

    def export_state(self) -> FilterState:
        return FilterState(
            self.kind,
            capacity=self.capacity,
            total_size=self.total_size,
            fill_rate=self.fill_rate,
            cells=[self.cells.copy()],
            num_elements=[self.num_elements],
            failures=[self.failure_count],
            failure_count=self.failure_count,
            hash=self.hash,
            signature_hash="filter_signature_hash" in self.quirks,
        )

    def import_state(self, state: FilterState) -> None:
        super().import_state(state)
        _check_same_hash(state, self.hash, self.quirks)
        if [len(cells) for cells in state.cells] != [len(self.cells)]:
            raise StateError(f"the filter has {len(self.cells)} cells, the state {[len(c) for c in state.cells]}")
        self.cells[:] = state.cells[0]
        self._state[:] = (state.num_elements[0], state.failures[0], 0)


def _check_same_hash(state: FilterState, hash_name: str, quirks: Quirks) -> None:
    if state.hash != hash_name:
        raise StateError(f"counts made with hash {state.hash!r} mean nothing to a filter that uses {hash_name!r}")
    if state.signature_hash != ("filter_signature_hash" in quirks):
        raise StateError("the state's signatures were made the other way (filter_signature_hash)")


class SlidingHashFilter(_CountingFilter):
    """A ring of hash filters that forgets the oldest insertions. Rule: filters 4."""

    kind = "sliding"

    def __init__(
        self,
        capacity: int = 300_000_000,
        split_num: int = 7,
        config: SlotOccurrenceThresholdConfig | bytes | None = None,
        *,
        hash: HashName = "splitmix64",
        quirks: str | Quirks | None = None,
        name: str = "",
    ) -> None:
        super().__init__(config, quirks=quirks, name=name)
        self.capacity = max(_capacity(capacity), 300)
        if isinstance(split_num, bool) or not isinstance(split_num, (int, np.integer)):
            raise ConfigError(f"split_num must be an integer, got {split_num!r}")
        self.splits = max(int(split_num), 5)
        small = "filter_split_num_small" in self.quirks
        self._split_num = int(split_num) if small else self.splits
        self.split_capacity = self.capacity // (self.splits - 1)
        self.total_size = int(self.split_capacity * SLIDING_FILL_RATE)
        if self.total_size < 1:
            raise ConfigError(f"capacity {self.capacity} in {self.splits} splits leaves no cell in a split")
        self.hash = hash
        self._flags = _options(hash, self.quirks)
        self.cells = np.zeros((self.splits, self.total_size + SPARE_CELLS), np.uint16)
        self.elements = np.zeros(self.splits, np.int64)
        self._state = np.zeros(3, np.int64)

    def _ask(self, ids: Any, counts: Any, thresholds: Any, present: Any, filtered: Any) -> None:
        cells, elements, state = self.cells, self.elements, self._state
        kernels.sliding_admit(
            cells, elements, state, self.split_capacity, self._flags, ids, counts, thresholds, present, filtered
        )

    def _add(self, ids: Any, counts: Any, out: Any) -> None:
        cells, elements, state = self.cells, self.elements, self._state
        kernels.sliding_add(cells, elements, state, self.split_capacity, self._flags, ids, counts, out)

    def _get(self, ids: Any, out: Any) -> None:
        kernels.sliding_get(self.cells, self._state, self._flags, ids, out)

    @property
    def split_num(self) -> int:
        return self._split_num

    @property
    def head(self) -> int:
        """The split that takes new ids."""
        return int(self._state[0])

    @property
    def head_increment(self) -> int:
        """How often the head moved."""
        return int(self._state[1])

    @property
    def failure_count(self) -> int:
        """Probes that found no cell in either forward split."""
        return int(self._state[2])

    @property
    def estimated_total_element(self) -> int:
        """Elements of all splits; an id that lives on counts once per split."""
        return int(self.elements.sum())

    @property
    def exceed_limit(self) -> bool:
        """Never: the oldest split is forgotten instead."""
        return False

    @property
    def size_mb(self) -> int:
        """Whole megabytes of one split, times the splits."""
        return int(self.cells[0].nbytes) // (1 << 20) * self.splits

    def clone(self) -> SlidingHashFilter:
        """An independent filter with the same counts, head and split number."""
        twin = SlidingHashFilter(self.capacity, self._split_num, hash=self.hash, quirks=self.quirks, name=self.name)
        twin.thresholds = self.thresholds.copy()
        twin.cells[:] = self.cells
        twin.elements[:] = self.elements
        twin._state[:] = self._state
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SlidingHashFilter):
            return NotImplemented
        k = self.splits
        same = (self.capacity, k, self.head, self.head_increment % k)
        return (
            same == (other.capacity, other.splits, other.head, other.head_increment % other.splits)
            and np.array_equal(self.elements, other.elements)
            and np.array_equal(self.cells, other.cells)
        )

    __hash__ = None  # type: ignore[assignment]

    def export_state(self) -> FilterState:
        return FilterState(
            self.kind,
            capacity=self.capacity,
            split_num=self._split_num,
            total_size=self.total_size,
            fill_rate=SLIDING_FILL_RATE,
            cells=[split.copy() for split in self.cells],
            num_elements=[int(n) for n in self.elements],
            failures=[0] * self.splits,
            head=self.head,
            head_increment=self.head_increment,
            failure_count=self.failure_count,
            hash=self.hash,
            signature_hash="filter_signature_hash" in self.quirks,
        )

    def import_state(self, state: FilterState) -> None:
        super().import_state(state)
        _check_same_hash(state, self.hash, self.quirks)
        shape = (len(state.cells), len(state.cells[0]) if state.cells else 0)
        if shape != self.cells.shape or any(len(c) != shape[1] for c in state.cells):
            raise StateError(f"the filter has splits of shape {self.cells.shape}, the state {shape}")
        if not 0 <= state.head < self.splits:
            raise StateError(f"the state's head {state.head} is no split of {self.splits}")
        for number, cells in enumerate(state.cells):
            self.cells[number] = cells
        self.elements[:] = state.num_elements
        self._state[:] = (state.head, state.head_increment, state.failure_count)


def size_byte(capacity: int, fill_rate: float = 1.5, cell_bytes: int = 2) -> int:
    """The original's estimate of a hash filter's bytes."""
    return int(capacity * cell_bytes * fill_rate + SPARE_CELLS)


def sliding_size_byte(capacity: int, split_num: int = 7) -> int:
    """The original's estimate of a sliding filter's bytes, which wraps at 4 GiB."""
    split_capacity = max(capacity, 300) // (max(split_num, 5) - 1)
    return (size_byte(split_capacity, SLIDING_FILL_RATE) * split_num) & _U32
