"""Inputs and comparisons that the kernel tests share: special floats, awkward ids, bit equality."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

SPECIAL_FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    1e-45,
    -1e-45,
    1.1754942e-38,
    1.1754944e-38,
    3.4028235e38,
    -3.4028235e38,
    1e20,
    -1e20,
    16777216.0,
    float("inf"),
    float("-inf"),
    float("nan"),
)

SPECIAL_IDS = (0, 1, -1, 2**63 - 1, -(2**63), 7 << 48, 2**31, -(2**31), 4096, 8192)

examples = settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
few_examples = settings(examples, max_examples=6)


def floats(rng: np.random.Generator, shape: Any, special: float) -> NDArray[np.float32]:
    """float32 over many magnitudes; a share of them special (zeros, subnormals, huge, inf, NaN)."""
    plain = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 6, shape)
    odd = np.array(SPECIAL_FLOATS, np.float32)[rng.integers(0, len(SPECIAL_FLOATS), shape)]
    return np.where(rng.random(shape) < special, odd, plain.astype(np.float32))


def ids(rng: np.random.Generator, count: int, distinct: int) -> NDArray[np.int64]:
    """int64 ids drawn from ``distinct`` values, extreme ones among them."""
    pool = rng.integers(-(2**63), 2**63 - 1, max(distinct, 1))
    pool[: len(SPECIAL_IDS)] = SPECIAL_IDS[: len(pool)]
    return pool[rng.integers(0, len(pool), count)]


seeds = st.integers(0, 2**32 - 1)
special_shares = st.sampled_from([0.0, 0.05, 0.5])


def splits(rng: np.random.Generator, rows: int, longest: int) -> NDArray[np.int64]:
    """Row splits of a ragged batch with empty rows in it."""
    lengths = rng.integers(0, longest + 1, rows)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def assert_same_bits(got: Any, want: Any) -> None:
    """Equal bit patterns; any NaN equals any NaN."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    kind = np.uint32 if got.dtype == np.float32 else np.uint64
    same = (got.view(kind) == want.view(kind)) | (np.isnan(got) & np.isnan(want))
    if not same.all():
        where = tuple(int(axis[0]) for axis in np.nonzero(~same))
        raise AssertionError(f"first difference at {where}: {got[where]!r}, want {want[where]!r}")
