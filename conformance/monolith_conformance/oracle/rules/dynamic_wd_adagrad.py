"""dynamic_wd_adagrad, which the original declares and refuses to build. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules import adagrad
from monolith_conformance.oracle.rules.floats import Array, F, fma, madd

DEFAULTS = {
    **adagrad.DEFAULTS,
    "decouple_weight_decay": False,
    "enable_dynamic_wd": False,
    "dynamic_wd_temperature": 1.0,
    "flip_direction": False,
}
initial = adagrad.initial


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    if not config["decouple_weight_decay"]:
        return adagrad.update(profile, config, quirks, w, state, g, lr, step)
    decay = lr * F(config["weight_decay_factor"])
    norm = madd(profile, g, g, state["norm"])
    e = lr / np.sqrt(norm)
    out = w - madd(profile, e, g, decay * w)
    if profile == "avx":
        for i in range(len(w) // 8 * 8):
            out[i] = fma(-decay, w[i], fma(-e[i], g[i], w[i]))
    return out, {"norm": norm}
