"""momentum. Rule: optimizers 1, 2.

dx = lr*(g + wd*w);  n' = mu*n - dx;  w = w + n', or with nesterov w = w + ((-mu)*n + (1+mu)*n') with the old n
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, nmadd
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "Momentum"]

_ONE = np.float32(1)


class Momentum(NamedTuple):
    """Hyper-parameters of momentum."""

    weight_decay_factor: np.float32
    use_nesterov: bool
    momentum: np.float32


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    decayed = madd(p, h.weight_decay_factor, w, g)
    n = nmadd(p, c[0], decayed, mul(h.momentum, s[0]))
    ahead = madd(p, _ONE + h.momentum, n, mul(-h.momentum, s[0]))
    return w + (ahead if h.use_nesterov else n), (n,)


RULE = Rule(
    "momentum",
    Momentum,
    {
        "learning_rate": 0.01,
        "weight_decay_factor": 0.0,
        "use_nesterov": False,
        "momentum": 0.9,
        "warmup_steps": 0,
    },
    element,
    state=("n",),
    fills=(0.0,),
)
