"""rmspropv2. Rule: optimizers 1, 2. As rmsprop, with n = float32(mu*n + dx*dx) and the rate of the call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, nmadd, sqrt
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "RmspropV2"]

_ONE = np.float32(1)


class RmspropV2(NamedTuple):
    """Hyper-parameters of rmspropv2."""

    weight_decay_factor: np.float32
    momentum: np.float32


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    mu = np.float64(h.momentum)
    dx = madd(p, np.float64(h.weight_decay_factor), np.float64(w), np.float64(g))
    n = np.float32(madd(p, mu, np.float64(s[0]), mul(dx, dx)))
    eta = np.float64(c[0]) / np.float64(sqrt(n) + _ONE)
    return np.float32(nmadd(p, eta, dx, np.float64(w))), (n,)


RULE = Rule(
    "rmspropv2",
    RmspropV2,
    {"learning_rate": 0.01, "weight_decay_factor": 0.0, "momentum": 0.9},
    element,
    state=("n",),
    fills=(0.0,),
    double=True,
)
