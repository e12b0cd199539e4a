"""sgd. Rule: optimizers 1.

w = w - lr*g
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monolith_kernels.prim import nmadd
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "Sgd"]


class Sgd(NamedTuple):
    """No hyper-parameters: the rate comes with the call."""


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    return nmadd(p, c[0], g, w), s


RULE = Rule("sgd", Sgd, {"learning_rate": 0.01, "warmup_steps": 0}, element)
