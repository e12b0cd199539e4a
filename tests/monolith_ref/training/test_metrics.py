"""Metrics against every pair counted and decimals of sixty digits; the split of the rows must not show."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_conformance.oracle import losses
from monolith_kernels.target import target

from monolith_ref.errors import SyncError
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.training.metrics import Evaluation, area_under_curve, judge
from tests.monolith_ref.training.threads import ThreadRanks

rows = st.lists(
    st.tuples(st.sampled_from([-3.0, -1.0, -0.0, 0.0, 0.25, 0.5, 2.0, 7.5]), st.booleans()), min_size=1, max_size=40
)


def arrays(pairs: list[tuple[float, bool]]) -> tuple[Any, Any]:
    return np.array([p for p, _ in pairs], np.float32), np.array([y for _, y in pairs], np.float32)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(rows)
def test_area_counts_every_pair(pairs: list[tuple[float, bool]]) -> None:
    predictions, labels = arrays(pairs)
    area, positives, total = area_under_curve(predictions, labels, SerialCommunicator())
    assert (positives, total) == (int(labels.sum()), len(pairs))
    if 0 < positives < total:
        assert area == losses.area_under_curve(predictions.tolist(), labels.tolist())
    else:
        assert area is None


def test_large_counts_are_counted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from monolith_ref.training import metrics

    predictions, labels = arrays([(0.5, True), (0.25, False), (2.0, True), (0.5, False)])
    expected = area_under_curve(predictions, labels, SerialCommunicator())
    monkeypatch.setattr(metrics, "_SMALL", 0)
    assert area_under_curve(predictions, labels, SerialCommunicator()) == expected


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_any_split_over_ranks_gives_the_same_bits(kind: Any) -> None:
    rng = np.random.default_rng(3)
    predictions = np.round(rng.normal(size=57) * 3, 1).astype(np.float32)
    labels = (rng.random(57) < 0.4).astype(np.float32)
    place = target("cpu")
    serial = judge(4, predictions, labels, kind, SerialCommunicator(), place)
    if kind == "bce":
        terms = [losses.cross_entropy(z, y) for z, y in zip(predictions, labels, strict=True)]
        means = [losses.sigmoid(z) for z in predictions]
    else:
        terms = [losses.squared_error(p, y) for p, y in zip(predictions, labels, strict=True)]
        means = list(predictions)
    assert serial.loss == losses.exact_mean(terms)
    assert serial.mean_prediction == losses.exact_mean(means)
    assert serial.mean_label == losses.exact_mean(list(labels))
    for cuts in ([0, 0, 57], [0, 20, 20, 57], [0, 1, 2, 57]):
        found: list[Evaluation] = ThreadRanks(len(cuts) - 1).run(
            lambda c, cuts=cuts: judge(
                4, predictions[cuts[c.rank] : cuts[c.rank + 1]], labels[cuts[c.rank] : cuts[c.rank + 1]], kind, c, place
            )
        )
        assert all(one == serial for one in found)


def test_predictions_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(SyncError, match="step 7: 1 of 2 predictions are not numbers"):
        judge(7, np.array([1, np.nan], np.float32), np.zeros(2, np.float32), "bce", SerialCommunicator(), target("cpu"))
    assert threading.active_count() >= 1
