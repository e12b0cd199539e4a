"""ftrl. Rule: optimizers 1, 1.2, 2; entry 5.2.

norm' = norm + g*g;  sigma = (sqrt(norm') - sqrt(norm))/lr;  zero = zero + (g - sigma*w)
abs(zero) > l1: w = (lr*(s*l1 - zero)) / ((sqrt(norm') + beta) + l2*lr), else (also for NaN) w = +0

s is the sign of zero; quirk ``ftrl_l1_sign``: 1 where its sign bit is set, else 0.
At rate 0 nothing changes; quirk ``zero_lr_division``: the division happens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import bits, madd, nmadd, sqrt
from monolith_kernels.rules.base import Rule

__all__ = ["DEFAULTS", "RULE", "Ftrl"]

_ZERO = np.float32(0)
_ONE = np.float32(1)


class Ftrl(NamedTuple):
    """Hyper-parameters and quirks of ftrl."""

    beta: np.float32
    initial_accumulator_value: np.float32
    l1_regularization_strength: np.float32
    l2_regularization_strength: np.float32
    ftrl_l1_sign: bool
    zero_lr_division: bool


def begin(p: Any, h: Any, lr: Any, step: Any, r: Any) -> Any:
    return lr, lr == _ZERO and not h.zero_lr_division


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    lr, l1 = c[0], h.l1_regularization_strength
    norm = madd(p, g, g, s[1])
    root = sqrt(norm)
    sigma = (root - sqrt(s[1])) / lr
    zero = s[0] + nmadd(p, sigma, w, g)
    original_sign = _ONE if bits(zero) < 0 else _ZERO
    published_sign = _ONE if zero > _ZERO else (-_ONE if zero < _ZERO else _ZERO)
    sign = original_sign if h.ftrl_l1_sign else published_sign
    moved = (lr * madd(p, sign, l1, -zero)) / madd(p, h.l2_regularization_strength, lr, root + h.beta)
    weight = moved if abs(zero) > l1 else _ZERO
    frozen = c[1]
    return (w if frozen else weight), ((s[0] if frozen else zero), (s[1] if frozen else norm))


DEFAULTS: dict[str, float | bool | int] = {
    "learning_rate": 0.01,
    "beta": 0.0,
    "initial_accumulator_value": 0.1,
    "l1_regularization_strength": 0.0,
    "l2_regularization_strength": 0.0,
    "warmup_steps": 0,
}

RULE = Rule(
    "ftrl",
    Ftrl,
    DEFAULTS,
    element,
    state=("zero", "norm"),
    fills=(0.0, "initial_accumulator_value"),
    begin=begin,
)
