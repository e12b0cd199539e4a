"""moving_average. Rule: optimizers 1, 2. No state, no dump element; the rate is not used.

w = mu*w + (1-mu)*g
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "MovingAverage"]

_ONE = np.float32(1)


class MovingAverage(NamedTuple):
    """Hyper-parameters of moving_average."""

    momentum: np.float32


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    return madd(p, h.momentum, w, mul(_ONE - h.momentum, g)), s


RULE = Rule("moving_average", MovingAverage, {"momentum": 0.9}, element)
