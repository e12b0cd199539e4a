"""Learning-rate functions of the global step, in the two roundings of the original. Rule: entry 5.2.

``plain`` is what local and parameter-server runs compute, ``rewritten`` what synchronous training computes, where the
graph rewriter divides by multiplying with a reciprocal and replaces some powers. Both are float32 throughout.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError

__all__ = ["LearningRateFunction", "LrProfile", "PolynomialDecay", "polynomial_decay", "rate_value", "rate_vector"]

LrProfile = Literal["plain", "rewritten"]
Float = np.float32 | np.float64


class LearningRateFunction:
    """Base of schedules. ``str()`` names the class and all attributes: tables merge by that text."""

    def __call__(self, global_step: int = 0, profile: LrProfile = "plain") -> Any:
        """The rate at ``global_step`` as a NumPy float."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its rate is")

    def __str__(self) -> str:
        params = ",".join(f"{key}={value}" for key, value in sorted(vars(self).items()))
        return f'LearningRateFunction("{type(self).__name__}",Params:{params})'


def _power(kind: type[Float], x: Float, p: Float) -> Float:
    # One rounding of the double power is what the original's float pow gives.
    return kind(np.power(np.float64(x), np.float64(p)))


def _rewritten_product(kind: type[Float], span: Float, x: Float, p: Float) -> Float:
    """``span`` times ``x`` to the ``p``, with the rewriter's replacements of common powers."""
    one = kind(1)
    if p == 3:
        return kind(kind(span * x) * kind(x * x))
    if p == 1:
        power = x
    elif p == 2:
        power = kind(x * x)
    elif p == 0.5:
        power = np.sqrt(x)
    elif p == 0:
        power = one
    elif p == -0.5:
        power = kind(one / np.sqrt(x))
    elif p == -1:
        power = kind(one / x)
    else:
        power = _power(kind, x, p)
    return kind(span * power)


def polynomial_decay(
    global_step: int,
    initial: float,
    decay_steps: float,
    end: float,
    power: float,
    cycle: bool,
    profile: LrProfile = "plain",
) -> Float:
    """The schedule's arithmetic, unchecked: float32, or float64 where ``initial`` is a NumPy float64.

    Every operation rounds, in this order: progress q, ``1 - q``, its power, times (initial - end), plus end.
    """
    kind: type[Float] = np.float64 if isinstance(initial, np.float64) else np.float32
    i, e, p, d, s = (kind(v) for v in (initial, end, power, decay_steps, global_step))
    one = kind(1)
    with np.errstate(all="ignore"):
        inverse = kind(one / d)
        if cycle:
            turns = one if s == 0 else np.ceil(kind(s / d) if profile == "plain" else kind(s * inverse))
            q = kind(s / kind(d * turns))
        elif profile == "plain":
            q = kind(min(s, d) / d)
        else:
            q = kind(min(s, d) * inverse)
        x = kind(one - q)
        span = kind(i - e)
        product = kind(span * _power(kind, x, p)) if profile == "plain" else _rewritten_product(kind, span, x, p)
        return kind(product + e)


@dataclass(frozen=True)
class PolynomialDecay(LearningRateFunction):
    """From ``initial_learning_rate`` to ``end_learning_rate`` over ``decay_steps`` global steps.

    Raises ConfigError when built with a value that is no finite number or with ``decay_steps <= 0``.
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str | None = None

    __str__ = LearningRateFunction.__str__

    def __post_init__(self) -> None:
        for argument in ("initial_learning_rate", "decay_steps", "end_learning_rate", "power"):
            value = getattr(self, argument)
            number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or abs(value) > float(np.finfo(np.float32).max):
                raise ConfigError(f"PolynomialDecay: {argument} must be a finite float32 number, got {value!r}")
        if self.decay_steps <= 0:
            raise ConfigError(f"PolynomialDecay: decay_steps must be positive, got {self.decay_steps!r}")
        if not isinstance(self.cycle, (bool, np.bool_)) and self.cycle not in (0, 1):
            raise ConfigError(f"PolynomialDecay: cycle must be a bool, got {self.cycle!r}")
        if self.name is not None and not isinstance(self.name, str):
            raise ConfigError(f"PolynomialDecay: name must be a string or None, got {self.name!r}")

    def __call__(self, global_step: int = 0, profile: LrProfile = "plain") -> Float:
        return polynomial_decay(
            int(global_step),
            self.initial_learning_rate,
            self.decay_steps,
            self.end_learning_rate,
            self.power,
            bool(self.cycle),
            profile,
        )


def _positional_count(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def rate_value(rate: Any, global_step: int = 0, profile: LrProfile = "plain") -> np.float32:
    """A given rate at a step: numbers are cast, schedules get the step, other callables get it if they take one."""
    if isinstance(rate, LearningRateFunction):
        return np.float32(rate(global_step, profile) if _positional_count(rate) > 1 else rate(global_step))
    if callable(rate):
        return np.float32(rate(global_step) if _positional_count(rate) else rate())
    return np.float32(rate)


def rate_vector(rates: Sequence[Any], global_step: int = 0, profile: LrProfile = "plain") -> NDArray[np.float32]:
    """The rates of all segments at a step, float32 ``[len(rates)]``."""
    return np.array([rate_value(rate, global_step, profile) for rate in rates], dtype=np.float32)
