"""From cell text to fids: SplitMix64 of FNV-1a-64 over the UTF-8 bytes, the slot above 48 bits of it. Rule: job 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError
from monolith_ref.fid import V2_MAX_SLOT

__all__ = ["fids_of_texts", "fnv1a64", "hash_texts", "splitmix64"]

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SIGNATURE = np.uint64((1 << 48) - 1)


def fnv1a64(texts: Sequence[bytes]) -> NDArray[np.uint64]:
    """FNV-1a-64 of each byte string, uint64 [n]; one array operation per byte position, not per string."""
    lengths = np.array([len(text) for text in texts], np.int64)
    longest_first = np.argsort(-lengths, kind="stable")
    lengths = lengths[longest_first]
    data = np.frombuffer(b"".join(texts[i] for i in longest_first), np.uint8)
    starts = np.cumsum(lengths) - lengths
    hashes = np.full(len(texts), _OFFSET, np.uint64)
    # Strings are ordered by length, so those that still have a byte at this position are a prefix.
    for position in range(int(lengths[0]) if len(texts) else 0):
        alive = int(np.searchsorted(-lengths, -position, side="left"))
        hashes[:alive] ^= data[starts[:alive] + position]
        hashes[:alive] *= _PRIME
    result = np.empty_like(hashes)
    result[longest_first] = hashes
    return result


def splitmix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 of each word (filters 2), uint64."""
    z = values + _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def hash_texts(texts: Sequence[str]) -> NDArray[np.uint64]:
    """The hash of each text, uint64 [n]."""
    return splitmix64(fnv1a64([text.encode() for text in texts]))


def fids_of_texts(texts: Sequence[str], slot: int) -> NDArray[np.int64]:
    """The fid of each text under ``slot``, int64 [n]. ArgumentError for slots outside 0..32767."""
    if not 0 <= slot <= V2_MAX_SLOT:
        raise ArgumentError(f"slot must be in 0..{V2_MAX_SLOT}, not {slot}")
    signatures = hash_texts(texts) & _SIGNATURE
    return (signatures | np.uint64(slot << 48)).view(np.int64)
