"""Admission filters: whether an id that has no row yet may get one. Rule: filters.

A filter stands in front of the write path of all tables of one shard. It counts occurrences by a hash of the id; an id
is let in by the first call at which it has already been counted T times, T being the threshold of its slot. Positions
come from SplitMix64, so that counts mean the same in every process.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from monolith_kernels.cpu import filter as kernels
from monolith_protos.hash_table_pb2 import SlotOccurrenceThresholdConfig
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, ConfigError, StateError
from monolith_ref.fid import to_signed
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.table.thresholds import MAX_COUNT, threshold_array

__all__ = [
    "AdmissionFilter",
    "DummyFilter",
    "FilterState",
    "HashFilter",
    "ProbabilisticFilter",
    "SlidingHashFilter",
    "size_byte",
    "sliding_size_byte",
]

SPARE_CELLS = 64
HASH_PROBES = 64
SLIDING_PROBES = 16
SLIDING_FILL_RATE = 1.2
FORWARD_SPLITS = 2
DEFAULT_SEED = 0x9E3779B97F4A7C15
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_ALL_ABSENT = np.empty(0, np.uint8)
HashName = Literal["splitmix64", "identity"]


class _Contains(Protocol):
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
        present: NDArray[np.uint8] = _ALL_ABSENT,
        counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        """Which positions may be written: int64[n] ids asked in order, each with its slot's threshold.

        ``present`` uint8[n] is non-zero where the id has a row (those are not asked; empty: none has), ``counts`` the
        occurrences that each position stands for (None: 1).
        """
        return np.ones(len(ids), np.bool_)

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: _Contains | None = None) -> bool:
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


def _count(value: int, quirks: Quirks) -> int:
    if not 0 <= value <= _U32 and "filter_threshold_overflow" not in quirks:
        raise ArgumentError(f"a count must be in 0..{_U32}, got {value}")
    return value & _U32


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
        present: NDArray[np.uint8] = _ALL_ABSENT,
        counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        if counts is None:
            counts = np.ones(len(ids), np.int64)
        filtered = np.empty(len(ids), np.uint8)
        with self._lock:
            self._ask(ids, counts, self.thresholds, present, filtered)
        return filtered == 0

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: _Contains | None = None) -> bool:
        if threshold > MAX_COUNT and "filter_threshold_overflow" not in self.quirks:
            raise ArgumentError(f"threshold {threshold} would never admit: counts stop at {MAX_COUNT}")
        counted = np.array([_count(count, self.quirks)], np.int64)
        limit = np.array([max(min(threshold, 2**31 - 1), -(2**31))], np.int32)
        filtered = np.empty(1, np.uint8)
        with self._lock:
            self._ask(np.array([to_signed(fid)], np.int64), counted, limit, _ALL_ABSENT, filtered)
        return bool(filtered[0])

    def add(self, fid: int, count: int = 1) -> int:
        out = np.empty(1, np.int32)
        counted = np.array([_count(count, self.quirks)], np.int64)
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
        self.cells = np.zeros(self.total_size + SPARE_CELLS, np.uint16 if bits == 16 else np.uint8)
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
        return self.cells[0].nbytes // (1 << 20) * self.splits

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


def _seed_words(seed: int) -> tuple[int, int]:
    x = seed & _U64
    words = []
    for _ in range(2):
        x ^= x >> 12
        x ^= (x << 25) & _U64
        x ^= x >> 27
        words.append((x * 2685821657736338717) & _U64)
    return words[0], words[1]


class ProbabilisticFilter(AdmissionFilter):
    """Admits by a draw, so that T occurrences suffice on average; holds no counts. Rule: filters 7."""

    kind = "probabilistic"

    def __init__(
        self,
        equal_probability: bool = False,
        config: SlotOccurrenceThresholdConfig | bytes | None = None,
        *,
        seed: int = DEFAULT_SEED,
        quirks: str | Quirks | None = None,
        name: str = "",
    ) -> None:
        super().__init__(config, quirks=quirks, name=name)
        if not isinstance(seed, int) or seed & _U64 == 0:
            raise ConfigError(f"a probabilistic filter's seed must not be 0 modulo 2^64, got {seed!r}")
        self.equal_probability = bool(equal_probability)
        self._state = np.array(_seed_words(seed), np.uint64)

    @property
    def idle(self) -> bool:
        return False

    def admit(
        self,
        ids: NDArray[np.int64],
        present: NDArray[np.uint8] = _ALL_ABSENT,
        counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        if counts is None:
            counts = np.ones(len(ids), np.int64)
        filtered = np.empty(len(ids), np.uint8)
        with self._lock:
            kernels.probabilistic_admit(
                self._state, self.equal_probability, ids, counts, self.thresholds, present, filtered
            )
        return filtered == 0

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: _Contains | None = None) -> bool:
        if table is None:
            return False
        ids = np.array([to_signed(fid)], np.int64)
        if bool(table.contains(ids)[0]):
            return False
        counted = np.array([_count(count, self.quirks)], np.int64)
        limit = np.array([max(min(threshold, 2**31 - 1), -(2**31))], np.int32)
        filtered = np.empty(1, np.uint8)
        with self._lock:
            kernels.probabilistic_admit(self._state, self.equal_probability, ids, counted, limit, _ALL_ABSENT, filtered)
        return bool(filtered[0])

    def export_state(self) -> FilterState:
        return FilterState(self.kind, generator=(int(self._state[0]), int(self._state[1])))

    def import_state(self, state: FilterState) -> None:
        super().import_state(state)
        if state.generator is None:
            raise StateError("the state has no generator")
        self._state[:] = state.generator


def size_byte(capacity: int, fill_rate: float = 1.5, cell_bytes: int = 2) -> int:
    """The original's estimate of a hash filter's bytes."""
    return int(capacity * cell_bytes * fill_rate + SPARE_CELLS)


def sliding_size_byte(capacity: int, split_num: int = 7) -> int:
    """The original's estimate of a sliding filter's bytes, which wraps at 4 GiB."""
    split_capacity = max(capacity, 300) // (max(split_num, 5) - 1)
    return (size_byte(split_capacity, SLIDING_FILL_RATE) * split_num) & _U32


def create_hash_filters(
    ps_num: int,
    enable_hash_filter: bool,
    config: SlotOccurrenceThresholdConfig | bytes | None = None,
    hash_filter_capacity: int = 300_000_000,
    hash_filter_split_num: int = 7,
    hash_filter_equal_probability: bool = False,
    hash_filter_type: str = "sliding_hash_filter",
    *,
    quirks: str | Quirks | None = None,
) -> Sequence[AdmissionFilter]:
    """One filter per shard (one without suffix for ``ps_num`` 0), named as the original's resources. Rule: filters 8.

    Disabled, or of type ``no_filter``: dummies. ConfigError for an unknown type.
    """
    switches = as_quirks(quirks)
    equal = hash_filter_equal_probability and "filter_equal_probability_ignored" not in switches
    suffixes = [""] if ps_num == 0 else [f"_{i}" for i in range(ps_num)]
    if enable_hash_filter is not True or hash_filter_type == "no_filter":
        return [DummyFilter(quirks=switches, name=f"DummyHashFilter{s}") for s in suffixes]
    if hash_filter_type == "sliding_hash_filter":
        return [
            SlidingHashFilter(
                hash_filter_capacity, hash_filter_split_num, config, quirks=switches, name=f"MonolithHashFilter{s}"
            )
            for s in suffixes
        ]
    if hash_filter_type == "probabilistic_filter":
        return [
            ProbabilisticFilter(equal, config, quirks=switches, name=f"MonolithProbabilisticFilter{s}")
            for s in suffixes
        ]
    raise ConfigError(
        f"unknown filter type {hash_filter_type!r}: sliding_hash_filter, probabilistic_filter or no_filter"
    )
