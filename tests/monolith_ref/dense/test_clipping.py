"""Clipping by the table of its odd norms."""

from __future__ import annotations

import numpy as np
import pytest

from monolith_ref.dense.clipping import clip_by_global_norm, clip_by_value, global_norm
from monolith_ref.errors import ArgumentError, DtypeError

INF, NAN = np.float32(np.inf), np.float32(np.nan)


def vector(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_below_the_limit_the_same_objects_come_back() -> None:
    given = [vector(3, 4), vector(0)]
    clipped, norm = clip_by_global_norm(given, 5.0)
    assert norm == 5
    assert all(a is b for a, b in zip(clipped, given, strict=True))


def test_above_the_limit_one_factor_scales_all() -> None:
    given = [vector(3, 4), vector(-12)]
    kept = [tensor.copy() for tensor in given]
    clipped, norm = clip_by_global_norm(given, 1.0)
    factor = np.float32(1) / np.float32(13)
    assert norm == 13
    for tensor, before, after in zip(given, kept, clipped, strict=True):
        assert np.array_equal(tensor, before)
        assert np.array_equal(after, before * factor)


def test_an_infinite_norm_clears_and_a_nan_norm_is_let_through() -> None:
    clipped, norm = clip_by_global_norm([vector(1, -2), vector(np.inf)], 1.0)
    assert np.isinf(norm)
    assert clipped[0].view(np.uint32).tolist() == [0, 0x80000000]
    assert np.isnan(clipped[1][0])
    given = [vector(1, np.nan)]
    assert clip_by_global_norm(given, 1.0)[0][0] is given[0]
    for bad in (vector(np.inf), vector(np.nan)):
        with pytest.raises(ArgumentError, match="global norm"):
            clip_by_global_norm([bad], 1.0, check_finite=True)


def test_limits_of_zero_and_below() -> None:
    assert clip_by_global_norm([vector(1, 2)], 0.0)[0][0].tolist() == [0, 0]
    assert clip_by_global_norm([vector(3, 4)], -1.0)[0][0][0] < 0


def test_the_norm_is_summed_in_double() -> None:
    many = np.full(1 << 20, 1e-4, np.float32)
    assert global_norm([many]) == np.float32(np.sqrt(np.sum(many.astype(np.float64) ** 2)))
    assert clip_by_global_norm([], 1.0) == ([], np.float32(0))


def test_values_and_bad_input() -> None:
    assert clip_by_value(vector(-3, np.inf, 0.5), 1.0).tolist() == [-1, 1, 0.5]
    assert np.isnan(clip_by_value(vector(np.nan), 1.0)[0])
    with pytest.raises(DtypeError, match="list"):
        clip_by_global_norm(vector(1), 1.0)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="tensor 0"):
        global_norm([np.zeros(2)])  # type: ignore[list-item]
