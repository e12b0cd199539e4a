"""adam. Rule: optimizers 1, 2.

Once per row, alpha = float32(double(lr)*sqrt(double(1 - beta2_power)) / double(1 - beta1_power)); the roots are the
*double* ones, so is the last line, which rounds once:

g' = g + wd*w;  m = m + (g' - m)*(1-beta1);  v = v + (g'*g' - v)*(1-beta2)
top = m*alpha, or with nesterov (g'*(1-beta1) + beta1*m)*alpha
w = float32(double(w) - double(top) / (sqrt(double(v)) + double(eps)))
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, sqrt
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "Adam"]

_ONE = np.float32(1)


class Adam(NamedTuple):
    """Hyper-parameters of adam."""

    beta1: np.float32
    beta2: np.float32
    weight_decay_factor: np.float32
    use_nesterov: bool
    epsilon: np.float32


def begin(p: Any, h: Any, lr: Any, step: Any, r: Any) -> Any:
    return (np.float32(np.float64(lr) * sqrt(np.float64(_ONE - r[1])) / np.float64(_ONE - r[0])),)


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    rest = _ONE - h.beta1
    decayed = madd(p, h.weight_decay_factor, w, g)
    m = madd(p, decayed - s[0], rest, s[0])
    v = madd(p, madd(p, decayed, decayed, -s[1]), _ONE - h.beta2, s[1])
    ahead = madd(p, decayed, rest, mul(h.beta1, m))
    top = mul(ahead if h.use_nesterov else m, c[0])
    quotient = np.float64(top) / (sqrt(np.float64(v)) + np.float64(h.epsilon))
    return np.float32(np.float64(w) - quotient), (m, v)


def finish(p: Any, h: Any, c: Any, step: Any, r: Any) -> Any:
    return mul(r[0], h.beta1), mul(r[1], h.beta2)


DEFAULTS: dict[str, float | bool | int] = {
    "learning_rate": 0.01,
    "beta1": 0.9,
    "beta2": 0.99,
    "use_beta1_warmup": False,
    "weight_decay_factor": 0.0,
    "use_nesterov": False,
    "epsilon": 0.01,
    "warmup_steps": 0,
}

RULE = Rule(
    "adam",
    Adam,
    DEFAULTS,
    element,
    state=("m", "v"),
    fills=(0.0, 0.0),
    words=("beta1_power", "beta2_power"),
    word_fills=("beta1", "beta2"),
    begin=begin,
    finish=finish,
    double=True,
)
