"""adagrad. Rule: optimizers 1, 2.

g' = g + wd*w;  norm = norm + g'*g';  e = lr/sqrt(norm);  w = w - e*g'

``avx``: in whole blocks of 8 the weight takes the raw g, so decay reaches only the accumulator there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, nmadd, sqrt
from monolith_kernels.rules.base import Rule, raw_block

__all__ = ["RULE", "Adagrad"]


class Adagrad(NamedTuple):
    """Hyper-parameters of adagrad."""

    weight_decay_factor: np.float32
    initial_accumulator_value: np.float32


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    decayed = madd(p, h.weight_decay_factor, w, g)
    norm = madd(p, decayed, decayed, s[0])
    used = g if raw_block(p, in_block) else decayed
    return nmadd(p, c[0] / sqrt(norm), used, w), (norm,)


RULE = Rule(
    "adagrad",
    Adagrad,
    {
        "learning_rate": 0.001,
        "initial_accumulator_value": 0.1,
        "hessian_compression_times": 1,
        "weight_decay_factor": 0.0,
        "warmup_steps": 0,
    },
    element,
    state=("norm",),
    fills=("initial_accumulator_value",),
)
