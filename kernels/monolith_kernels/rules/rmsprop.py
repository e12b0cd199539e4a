"""rmsprop. Rule: optimizers 1, 2. In double except for the root and its sum; the rate of the call is ignored.

dx = g + wd*w;  n = float32(mu*n + ((1-mu)*dx)*dx);  eta = config.learning_rate / double(sqrt(n) + 1)
w = float32(w - eta*dx)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, nmadd, sqrt
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "Rmsprop"]

_ONE = np.float32(1)


class Rmsprop(NamedTuple):
    """Hyper-parameters of rmsprop."""

    learning_rate: np.float32
    weight_decay_factor: np.float32
    momentum: np.float32


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    mu = np.float64(h.momentum)
    dx = madd(p, np.float64(h.weight_decay_factor), np.float64(w), np.float64(g))
    n = np.float32(madd(p, mu, np.float64(s[0]), mul(mul(np.float64(1) - mu, dx), dx)))
    eta = np.float64(h.learning_rate) / np.float64(sqrt(n) + _ONE)
    return np.float32(nmadd(p, eta, dx, np.float64(w))), (n,)


RULE = Rule(
    "rmsprop",
    Rmsprop,
    {"learning_rate": 0.01, "weight_decay_factor": 0.0, "momentum": 0.9},
    element,
    state=("n",),
    fills=(0.0,),
    double=True,
)
