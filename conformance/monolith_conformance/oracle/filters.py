"""Admission filters, naively: Python integers and lists, one id at a time. Rule: filters 2 to 7."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

__all__ = ["OracleHashFilter", "OracleProbabilisticFilter", "OracleSlidingFilter", "accept_below", "splitmix64"]

U64 = (1 << 64) - 1


def splitmix64(fid: int) -> int:
    """The stable hash of a fid."""
    z = (fid + 0x9E3779B97F4A7C15) & U64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & U64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & U64
    return z ^ (z >> 31)


class _Cells:
    """One array of cells with its probe."""

    def __init__(self, capacity: int, fill_rate: float, bits: int, probes: int, hash_name: str, quirks: Any) -> None:
        self.capacity, self.probes = capacity, probes
        self.total_size = int(capacity * fill_rate)
        self.cells = [0] * (self.total_size + 64)
        self.num_elements = self.failure_count = 0
        self.bits, self.hash_name, self.quirks = bits, hash_name, set(quirks)

    def clear(self) -> None:
        self.cells = [0] * len(self.cells)
        self.num_elements = self.failure_count = 0

    def signature(self, fid: int) -> int:
        width = self.bits - 4
        if "filter_signature_hash" in self.quirks:
            hashed = (fid & U64) if self.hash_name == "identity" else splitmix64(fid & U64)
            return hashed >> (64 - width)
        return (fid >> 17) & ((1 << width) - 1)

    def probe(self, fid: int) -> int:
        """The cell of a fid: free or its own; -1 where the probe fails."""
        hashed = (fid & U64) if self.hash_name == "identity" else splitmix64(fid & U64)
        position = hashed % self.total_size
        for step in range(self.probes):
            cell = self.cells[position + step]
            if cell == 0 or cell >> 4 == self.signature(fid):
                return position + step
        return -1

    def bump(self, at: int, fid: int, count: int) -> int:
        """Count at a cell; the count before."""
        count = min(count, 15)
        if self.cells[at] == 0:
            self.num_elements = min(self.num_elements + 1, self.capacity)
            self.cells[at] = self.signature(fid) << 4 | count
            return 0
        old = self.cells[at] & 15
        self.cells[at] = (self.cells[at] & ~15) | (15 if old + count >= 15 else old + count)
        return old

    @property
    def full(self) -> bool:
        return self.num_elements >= self.capacity - 1


class _Counting:
    quirks: set[str]

    def add(self, fid: int, count: int) -> int:
        raise NotImplementedError

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: Any = None) -> bool:
        """Whether the update has to be dropped."""
        if threshold <= 0:
            return False
        return self.add(fid, count) < threshold


class OracleHashFilter(_Counting):
    """The stand-alone filter."""

    def __init__(
        self,
        capacity: int,
        fill_rate: float = 1.5,
        bits: int = 16,
        hash_name: str = "splitmix64",
        quirks: Collection[str] = (),
    ) -> None:
        self.quirks = set(quirks)
        self.split = _Cells(capacity, fill_rate, bits, 64, hash_name, quirks)

    def get(self, fid: int) -> int:
        """The count of a fid."""
        at = self.split.probe(fid)
        return 15 if at < 0 else self.split.cells[at] & 15

    def add(self, fid: int, count: int) -> int:
        """Count, and return the count before."""
        count &= (1 << 32) - 1
        at = self.split.probe(fid)
        if count == 0 and "filter_zero_count" not in self.quirks:
            return self.get(fid)
        if at < 0:
            self.split.failure_count += 1
            return 15
        return self.split.bump(at, fid, count)


class OracleSlidingFilter(_Counting):
    """The ring of splits."""

    def __init__(
        self, capacity: int, split_num: int, hash_name: str = "splitmix64", quirks: Collection[str] = ()
    ) -> None:
        self.quirks = set(quirks)
        self.capacity = max(capacity, 300)
        self.k = max(split_num, 5)
        self.split_num = split_num if "filter_split_num_small" in self.quirks else self.k
        self.splits = [_Cells(self.capacity // (self.k - 1), 1.2, 16, 16, hash_name, quirks) for _ in range(self.k)]
        self.head = self.head_increment = self.failure_count = 0

    def _forward(self, fid: int) -> tuple[int, int]:
        for step in range(2):
            number = (self.head + step) % self.k
            at = self.splits[number].probe(fid)
            if at >= 0:
                return number, at
        return -1, -1

    def _backward(self, fid: int) -> int:
        for step in range(1, min(self.head_increment, self.k - 2) + 1):
            split = self.splits[(self.head - step) % self.k]
            at = split.probe(fid)
            if at >= 0 and split.cells[at] != 0:
                return split.cells[at] & 15
        return 0

    def get(self, fid: int) -> int:
        """The count of a fid; nothing moves."""
        number, at = self._forward(fid)
        if number < 0:
            return 15
        cell = self.splits[number].cells[at]
        return cell & 15 if cell else self._backward(fid)

    def add(self, fid: int, count: int) -> int:
        """Count, and return the count before."""
        count &= (1 << 32) - 1
        if count == 0 and "filter_zero_count" not in self.quirks:
            return self.get(fid)
        number, at = self._forward(fid)
        if number < 0:
            self.failure_count += 1
            return 15
        split = self.splits[number]
        if split.cells[at]:
            return split.bump(at, fid, count)
        old = self._backward(fid)
        split.bump(at, fid, old + count)
        if self.splits[self.head].full:
            self.head = (self.head + 1) % self.k
            self.head_increment += 1
            self.splits[(self.head + 1) % self.k].clear()
        return old


def accept_below(equal: bool, threshold: int, count: int) -> int:
    """How many of the 2^32 draws admit."""
    if equal:
        base = np.float32(0.05)
        with np.errstate(all="ignore"):
            exponent = np.float32(1) / np.float32(threshold)
            p = np.float32(1) - np.float32(np.float64(base) ** np.float64(exponent))
            q = np.float64(np.float32(1) - p)
        limit: float = 4294967295.0 * (1.0 - float(q) ** float(count))
        return min(max(math.ceil(limit), 0), 1 << 32)
    if threshold <= 0:
        return 1 << 32 if count > 0 else 0
    return min(-(-((1 << 32) - 1) * int(count) // int(threshold)), 1 << 32)


class OracleProbabilisticFilter:
    """Admission by a draw."""

    def __init__(self, equal: bool = False, seed: int = 0x9E3779B97F4A7C15) -> None:
        self.equal = equal
        words, x = [], seed & U64
        for _ in range(2):
            x ^= x >> 12
            x ^= (x << 25) & U64
            x ^= x >> 27
            words.append((x * 2685821657736338717) & U64)
        self.state = words

    def draw(self) -> int:
        """The next 32-bit draw."""
        a, b = self.state
        a ^= (a << 23) & U64
        a ^= a >> 17
        a ^= b ^ (b >> 26)
        self.state = [b, a]
        return (a + b) & 0xFFFFFFFF

    def should_be_filtered(self, fid: int, count: int, threshold: int, table: Any = None) -> bool:
        """Whether the update has to be dropped; an id with a row is not asked."""
        if table is None or table.has(fid):
            return False
        return self.draw() >= accept_below(self.equal, threshold, count)
