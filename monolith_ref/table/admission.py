"""Admission filters: whether an id that has no row yet may get one. Rule: filters.

A filter stands in front of the write path of all tables of one shard. It counts occurrences by a hash of the id; an id
is let in by the first call at which it has already been counted T times, T being the threshold of its slot. Positions
come from SplitMix64, so that counts mean the same in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from monolith_kernels.cpu import filter as kernels
from monolith_protos.hash_table_pb2 import SlotOccurrenceThresholdConfig
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError, ShapeError, StateError
from monolith_ref.fid import to_signed
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.table.arrays import as_floats, as_ids
from monolith_ref.table.filter_base import (
    ALL_ABSENT,
    AdmissionFilter,
    Contains,
    DummyFilter,
    FilterState,
    checked_count,
    one_threshold,
)
from monolith_ref.table.filter_cells import HashFilter, SlidingHashFilter, size_byte, sliding_size_byte

__all__ = [
    "AdmissionFilter",
    "DummyFilter",
    "FilterState",
    "HashFilter",
    "ProbabilisticFilter",
    "SlidingHashFilter",
    "create_hash_filters",
    "intercept_gradient",
    "size_byte",
    "sliding_size_byte",
]

DEFAULT_SEED = 0x9E3779B97F4A7C15
_U64 = (1 << 64) - 1


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
        present: NDArray[np.uint8] = ALL_ABSENT,
        counts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        if counts is None:
            counts = np.ones(len(ids), np.int64)
        filtered = np.empty(len(ids), np.uint8)
        with self._lock:
            kernels.probabilistic_admit(
                self._state, self.equal_probability, ids, counts, self.thresholds, present, filtered
            )
        return np.asarray(filtered == 0)

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: Contains | None = None) -> bool:
        if table is None:
            return False
        ids = np.array([to_signed(fid)], np.int64)
        if bool(table.contains(ids)[0]):
            return False
        counted = np.array([checked_count(count, self.quirks)], np.int64)
        limit = one_threshold(threshold)
        filtered = np.empty(1, np.uint8)
        with self._lock:
            kernels.probabilistic_admit(self._state, self.equal_probability, ids, counted, limit, ALL_ABSENT, filtered)
        return bool(filtered[0])

    def export_state(self) -> FilterState:
        return FilterState(self.kind, generator=(int(self._state[0]), int(self._state[1])))

    def import_state(self, state: FilterState) -> None:
        super().import_state(state)
        if state.generator is None:
            raise StateError("the state has no generator")
        self._state[:] = state.generator


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


def intercept_gradient(
    hash_filter: AdmissionFilter, ids: Any, embeddings: Any
) -> tuple[NDArray[np.float32], Callable[[Any], NDArray[np.float32]]]:
    """The identity forward, and its backward: rows of ids that the filter holds back get gradient 0.0. Rule: filters 6.

    ``ids`` int64[n], ``embeddings`` of n equal rows. Every call of ``backward(gradient)`` counts every id once per
    occurrence and returns float32 ``[n, numel / n]``; other rows are copied bit for bit. ShapeError where the floats do
    not divide among the ids.
    """
    keys = as_ids(ids).reshape(-1)
    values = as_floats(embeddings, "embeddings")

    def backward(gradient: Any) -> NDArray[np.float32]:
        grads = as_floats(gradient, "gradient")
        if grads.size != values.size or (len(keys) and grads.size % len(keys)) or (grads.size and not len(keys)):
            raise ShapeError(f"a gradient of {grads.size} floats does not divide among {len(keys)} ids")
        out = grads.reshape(len(keys), grads.size // len(keys) if len(keys) else 0).copy()
        if hash_filter.kind != "probabilistic":
            out[~hash_filter.admit(keys)] = 0
        return out

    return values, backward
