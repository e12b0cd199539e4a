"""dynamic_wd_adagrad. Rule: optimizers 1, 2. The original declares it and refuses to build it (``unbuilt_rules``).

As adagrad; with decoupled decay norm takes the raw g and w = w - (e*g + (lr*wd)*w).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, nmadd, sqrt
from monolith_kernels.rules.base import Rule, raw_block

__all__ = ["RULE", "DynamicWdAdagrad"]


class DynamicWdAdagrad(NamedTuple):
    """Hyper-parameters of dynamic_wd_adagrad."""

    weight_decay_factor: np.float32
    initial_accumulator_value: np.float32
    decouple_weight_decay: bool


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    decayed = madd(p, h.weight_decay_factor, w, g)
    source = g if h.decouple_weight_decay else decayed
    norm = madd(p, source, source, s[0])
    e = c[0] / sqrt(norm)
    block = raw_block(p, in_block)
    coupled = nmadd(p, e, g if block else decayed, w)
    decay = mul(c[0], h.weight_decay_factor)
    apart_in_block = nmadd(p, decay, w, nmadd(p, e, g, w))
    apart = w - madd(p, e, g, mul(decay, w))
    decoupled = apart_in_block if block else apart
    return (decoupled if h.decouple_weight_decay else coupled), (norm,)


RULE = Rule(
    "dynamic_wd_adagrad",
    DynamicWdAdagrad,
    {
        "learning_rate": 0.001,
        "initial_accumulator_value": 0.1,
        "hessian_compression_times": 1,
        "weight_decay_factor": 0.0,
        "warmup_steps": 0,
        "decouple_weight_decay": False,
        "enable_dynamic_wd": False,
        "dynamic_wd_temperature": 1.0,
        "flip_direction": False,
    },
    element,
    state=("norm",),
    fills=("initial_accumulator_value",),
    buildable=False,
)
