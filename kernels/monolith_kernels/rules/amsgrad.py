"""amsgrad. Rule: optimizers 1, 2.

adam with vhat = (vhat < v ? v : vhat) in the denominator: a NaN v leaves vhat, a NaN vhat stays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, sqrt
from monolith_kernels.rules import adam
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "Amsgrad"]

_ONE = np.float32(1)


class Amsgrad(NamedTuple):
    """Hyper-parameters of amsgrad."""

    beta1: np.float32
    beta2: np.float32
    weight_decay_factor: np.float32
    use_nesterov: bool
    epsilon: np.float32


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    rest = _ONE - h.beta1
    decayed = madd(p, h.weight_decay_factor, w, g)
    m = madd(p, decayed - s[0], rest, s[0])
    v = madd(p, madd(p, decayed, decayed, -s[1]), _ONE - h.beta2, s[1])
    vhat = v if s[2] < v else s[2]
    ahead = madd(p, decayed, rest, mul(h.beta1, m))
    top = mul(ahead if h.use_nesterov else m, c[0])
    quotient = np.float64(top) / (sqrt(np.float64(vhat)) + np.float64(h.epsilon))
    return np.float32(np.float64(w) - quotient), (m, v, vhat)


RULE = Rule(
    "amsgrad",
    Amsgrad,
    {name: value for name, value in adam.DEFAULTS.items() if name != "use_beta1_warmup"},
    element,
    state=("m", "v", "vhat"),
    fills=(0.0, 0.0, 0.0),
    words=("beta1_power", "beta2_power"),
    word_fills=("beta1", "beta2"),
    begin=adam.begin,
    finish=adam.finish,
    double=True,
)
