"""adadelta. Rule: optimizers 1, 2.

g' = g + wd*w;  a = accum*rho + (g'*g')*(1-rho);  u = (sqrt(accum_update + eps) / sqrt(a + eps))*g'
w = w - u*lr;  accum_update = accum_update*rho + (u*u)*(1-rho);  accum = a
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, nmadd, sqrt
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "Adadelta"]

_ONE = np.float32(1)


class Adadelta(NamedTuple):
    """Hyper-parameters of adadelta."""

    weight_decay_factor: np.float32
    averaging_ratio: np.float32
    epsilon: np.float32


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    rest = _ONE - h.averaging_ratio
    decayed = madd(p, h.weight_decay_factor, w, g)
    accum = madd(p, s[0], h.averaging_ratio, mul(mul(decayed, decayed), rest))
    update = mul(sqrt(s[1] + h.epsilon) / sqrt(accum + h.epsilon), decayed)
    accum_update = madd(p, s[1], h.averaging_ratio, mul(mul(update, update), rest))
    return nmadd(p, update, c[0], w), (accum, accum_update)


RULE = Rule(
    "adadelta",
    Adadelta,
    {
        "learning_rate": 0.01,
        "weight_decay_factor": 0.0,
        "averaging_ratio": 0.9,
        "epsilon": 0.01,
        "warmup_steps": 0,
    },
    element,
    state=("accum", "accum_update"),
    fills=(0.0, 0.0),
)
