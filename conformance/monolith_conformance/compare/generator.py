"""The reproducible workload of the comparison: ids, labels and kernels out of Philox streams.

Every number is a word of a counter-based stream named by (tag, a, b), so that any rank can draw exactly the rows it
needs and the data never depends on how many ranks there are. Rule: sync_training 6.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.features.ragged import Batch, Ragged

__all__ = [
    "FEATURES",
    "ID_SPACE",
    "MAX_LENGTH",
    "SLOT_SHIFT",
    "GeneratedSource",
    "feature_names",
    "generate",
    "hi",
    "kernel",
    "stream",
]

FEATURES = 17
MAX_LENGTH = 24
ID_SPACE = 100_000
SLOT_SHIFT = 48
SEED_LIMIT = 1 << 64

_LENGTH, _ID, _LABEL, _KERNEL = 1, 2, 3, 4
_WORDS_PER_BLOCK = 4


def stream(seed: int, tag: int, a: int, b: int, count: int, first: int = 0) -> NDArray[np.uint64]:
    """Words ``first`` to ``first + count - 1`` of stream (tag, a, b), uint64 [count]. Rule: sync_training 6.1."""
    if not 0 <= seed < SEED_LIMIT:
        raise ConfigError(f"seed must be in 0..2^64-1, not {seed}")
    block, lane = divmod(first, _WORDS_PER_BLOCK)
    # NumPy counts up before it draws, so a counter of 0 gives block 1 first.
    generator = np.random.Philox(key=np.array([seed, tag], np.uint64), counter=np.array([block, a, b, 0], np.uint64))
    return np.asarray(generator.random_raw(lane + count)[lane:], np.uint64)


def hi(words: NDArray[np.uint64], limit: int | NDArray[np.uint64]) -> NDArray[np.int64]:
    """floor(word * limit / 2^64) without a 128-bit product, for limits below 2^32."""
    m = np.asarray(limit, np.uint64)
    half = np.uint64(32)
    low = (words & np.uint64(0xFFFFFFFF)) * m >> half
    return (((words >> half) * m + low) >> half).astype(np.int64)


def feature_names(count: int = FEATURES) -> list[str]:
    """``feature0``, ``feature1`` ...: the features in the order of their columns in x."""
    return [f"feature{i}" for i in range(count)]


def generate(seed: int, step: int, first: int, last: int, *, global_rows: int, with_slot: bool = True) -> Batch:
    """Rows ``first`` to ``last - 1`` of the global batch of a step. Rule: sync_training 6.1.

    With ``with_slot`` an id is a fid, (feature index + 1) << 48 | id; else the raw id.
    """
    count = last - first
    ragged = {}
    for feature, name in enumerate(feature_names()):
        lengths = 1 + hi(stream(seed, _LENGTH, step, feature, count, first), MAX_LENGTH)
        words = stream(seed, _ID, step, feature, MAX_LENGTH * count, MAX_LENGTH * first)
        grid = hi(words, ID_SPACE).reshape(count, MAX_LENGTH)
        ids = grid[np.arange(MAX_LENGTH) < lengths[:, None]]
        if with_slot:
            ids += np.int64(feature + 1) << SLOT_SHIFT
        splits = np.zeros(count + 1, np.int64)
        np.cumsum(lengths, out=splits[1:])
        ragged[name] = Ragged(ids, splits)
    labels = (stream(seed, _LABEL, step, 0, count, first) >> np.uint64(63)).astype(np.float32)
    return Batch(ragged, {"label": labels}, count, global_rows, first)


@dataclass(frozen=True)
class GeneratedSource:
    """The endless workload as a source of global batches of ``batch_size`` rows."""

    seed: int = 42
    batch_size: int = 455
    with_slot: bool = True

    def global_rows(self, step: int) -> int:
        """Rows of any global batch: the data never ends."""
        return self.batch_size

    def rows(self, step: int, low: int, high: int) -> Batch:
        """Rows ``low`` to ``high - 1`` of global batch ``step``."""
        return generate(self.seed, step, low, high, global_rows=self.batch_size, with_slot=self.with_slot)


def kernel(seed: int, layer: int, fan_in: int, fan_out: int, head: int = 0) -> NDArray[np.float32]:
    """Glorot-uniform kernel [fan_in, fan_out] from stream (4, head, layer). Rule: sync_training 6.1."""
    limit = np.float32(math.sqrt(6 / (fan_in + fan_out)))
    words = stream(seed, _KERNEL, head, layer, fan_in * fan_out)
    # 24 random bits scaled to [-1, 1) are exact in float32; only the product with the limit rounds.
    unit = (words >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0
    return (unit.astype(np.float32) * limit).reshape(fan_in, fan_out)
