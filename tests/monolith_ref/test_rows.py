"""Row calls: what is refused, and that nobody's arrays change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monolith_ref.errors import ArgumentError, ConfigError, DtypeError, ShapeError
from monolith_ref.row_codec import CodecSegment, RowCodec
from monolith_ref.rows import RowRule, Rows, RowSegment

ONES = np.ones((2, 3), np.float32)


@pytest.fixture
def rule() -> RowRule:
    return RowRule([RowSegment(3, "adagrad")])


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        (RowSegment(3, "adagard"), ["'adagard'", "'adagrad'"]),
        (RowSegment(3, "dc"), ["dc_lambda"]),
        (RowSegment(0, "sgd"), ["dim", "0"]),
        (RowSegment(2.0, "sgd"), ["dim", "2.0"]),  # type: ignore[arg-type]
        (RowSegment(3, "adam", {"beta": 0.9}), ["adam", "'beta'", "nearest"]),
        (RowSegment(3, "adam", {"epsilon": -1.0}), ["epsilon", "-1.0"]),
        (RowSegment(3, "adam", {"beta1": float("nan")}), ["beta1", "nan"]),
        (RowSegment(3, "sgd", initializer="normal"), ["'normal'"]),
        (RowSegment(3, "sgd", compressor="fp8"), ["'fp8'", "nearest"]),
        (RowSegment(3, "sgd", compressor="fixed_r8", compressor_config={"r": 0.0}), ["r", "0.0"]),
        (RowSegment(3, "sgd", compressor="one_bit", compressor_config={"step_size": 0}), ["step_size", "0"]),
    ],
)
def test_segments_that_cannot_be_built(segment: RowSegment, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        RowRule([segment])
    assert all(word in str(caught.value) for word in words)


def test_batch_softmax_is_refused_above_one_element_in_the_clean_preset() -> None:
    with pytest.raises(ConfigError, match="batch_softmax_any_dim"):
        RowRule([RowSegment(2, "batch_softmax")], quirks="clean")
    assert RowRule([RowSegment(2, "batch_softmax")]).dim == 2


def test_unknown_targets_and_profiles() -> None:
    for arguments in ({"target": "tpu"}, {"profile": "sse"}):
        with pytest.raises(ConfigError, match="must be"):
            RowRule([RowSegment(1)], **arguments)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="segment"):
        RowRule([])


@pytest.mark.parametrize(
    ("gradients", "rates", "step", "error"),
    [
        (ONES.astype(np.float64), [0.1], 0, DtypeError),
        (ONES.tolist(), [0.1], 0, DtypeError),
        (np.ones((2, 4), np.float32), [0.1], 0, ShapeError),
        (np.ones((3, 3), np.float32), [0.1], 0, ShapeError),
        (np.ones((3, 2), np.float32).T, [0.1], 0, ShapeError),
        (ONES, [], 0, ConfigError),
        (ONES, [0.1, 0.1], 0, ConfigError),
        (ONES, ["a"], 0, DtypeError),
        (ONES, [0.1], 1.5, DtypeError),
        (ONES, [0.1], 2**63, ArgumentError),
    ],
)
def test_bad_steps_change_nothing(rule: RowRule, gradients: Any, rates: Any, step: Any, error: type) -> None:
    rows = rule.create(2)
    before = rows.weights.copy(), rows.states[0]["norm"].copy()
    with pytest.raises(error, match=r"gradients|rates|global_step"):
        rule.optimize(rows, gradients, rates, step)
    assert np.array_equal(rows.weights, before[0])
    assert np.array_equal(rows.states[0]["norm"], before[1])


def test_negative_steps_where_steps_count() -> None:
    rule = RowRule([RowSegment(1, "batch_softmax")])
    with pytest.raises(ArgumentError, match="-1"):
        rule.optimize(rule.create(1), np.zeros((1, 1), np.float32), [0.1], -1)


def test_states_are_checked(rule: RowRule) -> None:
    for state, error in (
        ({"m": ONES}, ConfigError),
        ({"norm": ONES[:1]}, ShapeError),
        ({"norm": ONES.astype(np.float64)}, DtypeError),
    ):
        with pytest.raises(error, match="segment 0"):
            rule.rows(ONES, [state])
    with pytest.raises(ConfigError, match="one mapping per segment"):
        rule.rows(ONES, [])


def test_counts_are_checked(rule: RowRule) -> None:
    with pytest.raises(ArgumentError, match="-1"):
        rule.create(-1)
    assert len(rule.create(0)) == 0
    assert len(rule.optimize(rule.create(0), np.zeros((0, 3), np.float32), [0.1])) == 0


def test_given_arrays_are_never_changed() -> None:
    segment = RowSegment(3, "adam", compressor="one_bit", dc_lambda=0.5)
    rule = RowRule([segment])
    rows = rule.rows(ONES * np.float32(0.5))
    gradient, latest = ONES.copy(), np.zeros_like(ONES)
    kept = [a.copy() for a in (rows.weights, gradient, latest, rows.states[0]["m"])]
    after = rule.optimize(rows, gradient, [0.1], 200, latest=latest)
    for array, copy in zip((rows.weights, gradient, latest, rows.states[0]["m"]), kept, strict=True):
        assert np.array_equal(array, copy)
    assert not np.array_equal(after.weights, rows.weights)


def test_latest_needs_the_decoration(rule: RowRule) -> None:
    with pytest.raises(ConfigError, match="dc_lambda"):
        rule.optimize(rule.create(2), ONES, [0.1], latest=ONES)


def test_codec_refuses_other_arrays() -> None:
    codec = RowCodec([CodecSegment(2, "fp16"), CodecSegment(1, "fixed_r8")])
    assert codec.row_bytes == 5
    with pytest.raises(DtypeError, match="uint8"):
        codec.decompress(np.zeros((1, 5), np.int8))
    with pytest.raises(ShapeError, match=r"\[n, 5\]"):
        codec.decompress(np.zeros((1, 4), np.uint8))
    with pytest.raises(ShapeError, match=r"\[n, 3\]"):
        codec.compress(np.zeros((1, 4), np.float32))
    with pytest.raises(ConfigError, match="segment"):
        RowCodec([])


def test_restore_takes_what_is_there() -> None:
    rule = RowRule([RowSegment(1, "adam")], quirks="original")
    powers = {"beta1_power": np.array([0.5], np.float32), "beta2_power": np.array([0.25], np.float32)}
    state = rule.restore(Rows(np.zeros((1, 1), np.float32), [powers])).states[0]
    assert (state["beta1_power"][0], state["beta2_power"][0]) == (np.float32(0.25), np.float32(0.99))
