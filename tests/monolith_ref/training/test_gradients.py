"""What a step does to gradients between backward and update: not finite ones, clipping, norms, weight decay."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from monolith_ref.errors import SyncError
from monolith_ref.features.ragged import Ragged
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.training.clipping import clip_factor, exact_norm, exact_square_sum, local_norm
from monolith_ref.training.engine import Engine
from tests.monolith_ref.training.tasks import NAMES, Task, batch, same, table_rows


@pytest.mark.parametrize("policy", ["raise", "propagate", "skip"])
def test_gradients_that_are_not_finite(policy: Any) -> None:
    engine = Engine(Task(), non_finite=policy)
    engine.step(batch(0, 6))
    before, rows = engine.variables, table_rows(engine)
    bad = batch(1, 6)
    bad.dense["label"][2] = np.nan
    if policy == "raise":
        with pytest.raises(SyncError, match="step 1"):
            engine.step(bad)
    else:
        engine.step(bad)
    moved = any(
        (value.view(np.uint32) != before[name].view(np.uint32)).any() for name, value in engine.variables.items()
    )
    assert moved == (policy == "propagate")
    assert (sorted(table_rows(engine)) == sorted(rows)) == (policy != "propagate")


@pytest.mark.parametrize("reduction", ["sequential", "exact"])
def test_clipping_scales_every_gradient(reduction: Any) -> None:
    free, limited = Engine(Task(), reduction=reduction), Engine(Task(), reduction=reduction, clip_norm=0.05)
    far = Engine(Task(), reduction=reduction, clip_norm=1e9)
    b = batch(0, 6)
    plain, clipped, untouched = free.step(b), limited.step(b), far.step(b)
    total = 0.0
    for gradient in plain.dense_gradients.values():
        total += float((gradient.astype(np.float64) ** 2).sum())
    for name in NAMES:
        first, width = free.columns[name]
        part = plain.dx[:, first : first + width].astype(np.float64) ** 2
        total += float((part.sum(axis=1) * b.ragged[name].lengths()).sum())
    factor = np.float32(0.05) / np.float32(math.sqrt(total))
    assert factor < 1
    for name, gradient in plain.dense_gradients.items():
        same(clipped.dense_gradients[name], gradient * factor)
        same(untouched.dense_gradients[name], gradient)
    same(clipped.dx, plain.dx * factor)
    same(untouched.dx, plain.dx)


def test_norms() -> None:
    rng = np.random.default_rng(3)
    values = (rng.standard_normal((50, 4)) * 10.0 ** rng.integers(-44, 37, (50, 4))).astype(np.float32)
    counts = rng.integers(0, 30, 50)
    real = sum(
        (int(c) * Fraction(float(v)) ** 2 for row, c in zip(values, counts, strict=True) for v in row), Fraction(0)
    )
    assert Fraction(exact_square_sum(values, counts), 1 << 298) == real
    ragged = {"a": Ragged.from_lengths(np.zeros(counts.sum(), np.int64), counts)}
    columns = {"a": (0, 4)}
    dense = [np.array([3, 4], np.float32)]
    serial = SerialCommunicator()
    expected = np.float32(math.sqrt(float(real + 25)))
    same(exact_norm(serial, dense, values, ragged, columns), expected)
    small = np.ones((2, 4), np.float32)
    two = {"a": Ragged.from_lengths(np.zeros(3, np.int64), np.array([0, 3]))}
    same(local_norm(dense, small, two, columns), np.sqrt(np.float32(37)))
    small[1, 1] = np.inf
    assert np.isinf(exact_norm(serial, dense, small, two, columns))
    assert np.isinf(local_norm(dense, small, two, columns))
    small[1, 1] = np.nan
    assert np.isnan(exact_norm(serial, dense, small, two, columns))
    small[:] = [[np.nan] * 4, [1] * 4]
    same(exact_norm(serial, dense, small, two, columns), np.sqrt(np.float32(37)))
    assert clip_factor(2.0, np.float32(1)) is None
    assert clip_factor(2.0, np.float32(np.nan)) is None
    same(clip_factor(2.0, np.float32(np.inf)), 0)
    same(clip_factor(2.0, np.float32(3)), np.float32(2) / np.float32(3))


def test_weight_decay_is_added_after_the_reduction() -> None:
    free, decayed = Engine(Task()), Engine(Task(), dense_weight_decay=0.25)
    kernel = free.variables["dense_0/kernel"]
    a, b = free.step(batch(0, 6)), decayed.step(batch(0, 6))
    same(b.dense_gradients["dense_0/kernel"], a.dense_gradients["dense_0/kernel"] + np.float32(0.25) * kernel)
