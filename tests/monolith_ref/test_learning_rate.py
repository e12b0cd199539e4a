"""Schedules; their measured values are replayed in table/test_vectors.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monolith_ref.errors import ConfigError
from monolith_ref.learning_rate import LearningRateFunction, PolynomialDecay, polynomial_decay, rate_vector


def test_step_zero_is_not_exactly_the_initial_rate() -> None:
    assert float(PolynomialDecay(0.01, 10, 0.11)(0)).hex() == "0x1.47ae100000000p-7"
    assert float(np.float32(0.01)).hex() == "0x1.47ae140000000p-7"


def test_the_rewritten_cycle_starts_a_step_early() -> None:
    decay = PolynomialDecay(0.1, 30, cycle=True)
    assert float(decay(90)) == float(np.float32(0.0001))
    assert abs(float(decay(90, "rewritten")) - 0.0251) < 1e-3


def test_float64_initial_rates_are_computed_in_float64() -> None:
    wide = PolynomialDecay(np.float64(0.1), 100)(33)
    assert isinstance(wide, np.float64)
    assert np.float32(wide) != PolynomialDecay(0.1, 100)(33) or wide != np.float64(PolynomialDecay(0.1, 100)(33))


@pytest.mark.parametrize(
    "arguments",
    [
        {"decay_steps": 0},
        {"decay_steps": -5},
        {"decay_steps": "10"},
        {"decay_steps": math.nan},
        {"initial_learning_rate": math.inf},
        {"initial_learning_rate": True},
        {"power": None},
        {"cycle": 2},
        {"name": 3},
    ],
)
def test_bad_arguments(arguments: dict[str, object]) -> None:
    sound: dict[str, object] = {"initial_learning_rate": 0.1, "decay_steps": 10}
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        PolynomialDecay(**{**sound, **arguments})  # type: ignore[arg-type]


def test_decay_steps_zero_divides_in_the_bare_arithmetic() -> None:
    assert math.isnan(polynomial_decay(0, 0.1, 0, 0.0001, 1.0, False))


def test_integer_rates_are_converted() -> None:
    assert PolynomialDecay(1, 2, 0)(1) == np.float32(0.5)


def test_text_names_the_class_and_sorted_attributes() -> None:
    assert str(PolynomialDecay(0.0, decay_steps=10, end_learning_rate=0.1)) == (
        'LearningRateFunction("PolynomialDecay",Params:cycle=False,decay_steps=10,end_learning_rate=0.1,'
        "initial_learning_rate=0.0,name=None,power=1.0)"
    )


def test_own_functions_and_callables() -> None:
    class Constant(LearningRateFunction):
        def __init__(self) -> None:
            self.value = 2

        def __call__(self, global_step: int = 0) -> float:  # type: ignore[override]
            return 0.5 + global_step

    assert str(Constant()) == 'LearningRateFunction("Constant",Params:value=2)'
    rates = rate_vector([Constant(), lambda: 0.25, lambda step: step * 2.0, 1], global_step=3)
    assert rates.tolist() == [3.5, 0.25, 6.0, 1.0]
    assert rates.dtype == np.float32
    with pytest.raises(NotImplementedError):
        LearningRateFunction()()
