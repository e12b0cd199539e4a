"""Admission filters, one id at a time. Rules: filters 2 to 7.

The functions run in Python, in CPU kernels and in CUDA kernels. Cells are flat; the state arrays are those of
``cpu.filter``. Counts are int64 in [0, 2**32).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from monolith_kernels.hashing import splitmix64
from monolith_kernels.prim import both, shared

__all__ = [
    "COUNT_ZERO",
    "IDENTITY_HASH",
    "SIGNATURE_HASH",
    "SPARE",
    "accepts",
    "draw",
    "hash_add_one",
    "hash_get_one",
    "sliding_add_one",
    "sliding_get_one",
    "threshold_of",
]

IDENTITY_HASH = 1
SIGNATURE_HASH = 2
COUNT_ZERO = 4

SPARE = 64
"""Cells behind the last position, so that a probe never wraps."""

_FULL = 15
_SLIDING_STEPS = 16
_FORWARD = 2
_MASK = (1 << 64) - 1
_DRAWS = 4294967295.0


def position_of(key: Any, total: Any, options: Any) -> Any:
    """First cell of an id: its hash modulo ``total`` (unsigned)."""
    mixed = int(key) & _MASK if options & IDENTITY_HASH else splitmix64(key)
    return mixed % int(total)


def _position_of(key: Any, total: Any, options: Any) -> Any:
    mixed = np.uint64(key) if options & IDENTITY_HASH else splitmix64(key)
    return np.int64(mixed % np.uint64(total))


@both(position_of)
def _position_of_compiled(key: Any, total: Any, options: Any) -> Any:
    return _position_of


def top_bits(key: Any, count: Any) -> Any:
    """The ``count`` high bits of an id's hash."""
    return splitmix64(key) >> (64 - int(count))


def _top_bits(key: Any, count: Any) -> Any:
    return np.int64(splitmix64(key) >> np.uint64(64 - count))


@both(top_bits)
def _top_bits_compiled(key: Any, count: Any) -> Any:
    return _top_bits


@shared
def signature_of(key: Any, bits: Any, options: Any) -> Any:
    """Signature of an id: ``bits`` bits from bit 17 of the id on, or of the hash."""
    if options & SIGNATURE_HASH:
        return top_bits(key, bits)
    return (key >> 17) & ((1 << bits) - 1)


@shared
def threshold_of(thresholds: Any, key: Any) -> Any:
    """Occurrence threshold of an id: by its slot, or the only one."""
    if len(thresholds) == 1:
        return thresholds[0]
    return thresholds[(key >> 48) & 0x7FFF]


@shared
def cell_for(cells: Any, start: Any, signature: Any, steps: Any) -> Any:
    """The first cell from ``start`` on that is free or has the signature, -1 if there is none within ``steps``."""
    for step in range(steps):
        cell = np.int64(cells[start + step])
        if cell == 0 or (cell >> 4) == signature:
            return start + step
    return -1


@shared
def raise_count(cells: Any, index: Any, count: Any) -> Any:
    """Add to the count of a used cell, up to 15; returns the count before."""
    cell = np.int64(cells[index])
    old = cell & _FULL
    cells[index] = cell - old + min(old + min(count, _FULL), _FULL)
    return old


@shared
def hash_get_one(cells: Any, total: Any, steps: Any, bits: Any, options: Any, key: Any) -> Any:
    """HashFilter.get."""
    index = cell_for(cells, position_of(key, total, options), signature_of(key, bits, options), steps)
    if index < 0:
        return _FULL
    return np.int64(cells[index]) & _FULL


@shared
def hash_add_one(
    cells: Any, state: Any, capacity: Any, total: Any, steps: Any, bits: Any, options: Any, key: Any, count: Any
) -> Any:
    """HashFilter.add; ``state`` = [elements, failures, 0]."""
    if count == 0 and not options & COUNT_ZERO:
        return hash_get_one(cells, total, steps, bits, options, key)
    signature = signature_of(key, bits, options)
    index = cell_for(cells, position_of(key, total, options), signature, steps)
    if index < 0:
        state[1] += 1
        return _FULL
    if cells[index] != 0:
        return raise_count(cells, index, count)
    state[0] = min(state[0] + 1, capacity)
    cells[index] = (signature << 4) + min(count, _FULL)
    return 0


@shared
def old_count(cells: Any, state: Any, splits: Any, total: Any, start: Any, signature: Any) -> Any:
    """Look back: the count of an id in the most recent earlier split that has it, else 0."""
    for back in range(1, min(state[1], splits - _FORWARD) + 1):
        split = (state[0] + splits - back) % splits
        index = cell_for(cells, split * (total + SPARE) + start, signature, _SLIDING_STEPS)
        if index >= 0 and cells[index] != 0:
            return np.int64(cells[index]) & _FULL
    return 0


@shared
def forward_cell(cells: Any, state: Any, splits: Any, total: Any, start: Any, signature: Any) -> Any:
    """The cell in the head split, or else in the next, that is free or has the signature; -1 if neither has room."""
    index = -1
    for ahead in range(_FORWARD):
        if index < 0:
            split = (state[0] + ahead) % splits
            index = cell_for(cells, split * (total + SPARE) + start, signature, _SLIDING_STEPS)
    return index


@shared
def sliding_get_one(cells: Any, state: Any, splits: Any, total: Any, options: Any, key: Any) -> Any:
    """SlidingHashFilter.get."""
    start = position_of(key, total, options)
    signature = signature_of(key, 12, options)
    index = forward_cell(cells, state, splits, total, start, signature)
    if index < 0:
        return _FULL
    if cells[index] != 0:
        return np.int64(cells[index]) & _FULL
    return old_count(cells, state, splits, total, start, signature)


@shared
def sliding_add_one(
    cells: Any,
    elements: Any,
    state: Any,
    capacity: Any,
    splits: Any,
    total: Any,
    options: Any,
    key: Any,
    count: Any,
) -> Any:
    """SlidingHashFilter.add; ``state`` = [head, head_increment, failures], ``capacity`` that of one split."""
    if count == 0 and not options & COUNT_ZERO:
        return sliding_get_one(cells, state, splits, total, options, key)
    start = position_of(key, total, options)
    signature = signature_of(key, 12, options)
    index = forward_cell(cells, state, splits, total, start, signature)
    if index < 0:
        state[2] += 1
        return _FULL
    if cells[index] != 0:
        return raise_count(cells, index, count)
    old = old_count(cells, state, splits, total, start, signature)
    split = index // (total + SPARE)
    elements[split] = min(elements[split] + 1, capacity)
    cells[index] = (signature << 4) + min(old + count, _FULL)
    if elements[state[0]] >= capacity - 1:
        state[0] = (state[0] + 1) % splits
        state[1] += 1
        following = (state[0] + 1) % splits
        elements[following] = 0
        for c in range(total + SPARE):
            cells[following * (total + SPARE) + c] = 0
    return old


def draw(state: Any) -> Any:
    """Next 32-bit draw of xorshift128+ (``state`` uint64[2], advanced)."""
    a, b = int(state[0]), int(state[1])
    a ^= (a << 23) & _MASK
    a ^= a >> 17
    a ^= b ^ (b >> 26)
    state[0], state[1] = b, a
    return (a + b) & 0xFFFFFFFF


def _draw(state: Any) -> Any:
    a = state[0]
    b = state[1]
    a ^= a << np.uint64(23)
    a ^= a >> np.uint64(17)
    a ^= b ^ (b >> np.uint64(26))
    state[0] = b
    state[1] = a
    return np.int64((a + b) & np.uint64(0xFFFFFFFF))


@both(draw)
def _draw_compiled(state: Any) -> Any:
    return _draw


@shared
def accepts(drawn: Any, equal: Any, threshold: Any, count: Any) -> Any:
    """Whether a probabilistic filter admits at this draw."""
    if not equal:
        # beyond 2**31 the right side exceeds every left one, and would not fit 64 bits
        return count >= (1 << 31) or drawn * np.int64(threshold) < 4294967295 * np.int64(count)
    rest = np.float32(0.0)
    if threshold != 0:
        root = math.pow(np.float64(np.float32(0.05)), np.float64(np.float32(1.0) / np.float32(threshold)))
        rest = np.float32(1.0) - (np.float32(1.0) - np.float32(root))
    return np.float64(drawn) < _DRAWS * (1.0 - math.pow(np.float64(rest), np.float64(count)))
