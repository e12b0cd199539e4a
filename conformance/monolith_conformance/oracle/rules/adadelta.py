"""adadelta. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

DEFAULTS = {
    "learning_rate": 0.01,
    "weight_decay_factor": 0.0,
    "averaging_ratio": 0.9,
    "epsilon": 0.01,
    "warmup_steps": 0,
}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {"accum": np.zeros(dim, F), "accum_update": np.zeros(dim, F)}


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    rho, eps = F(config["averaging_ratio"]), F(config["epsilon"])
    rest = F(1) - rho
    decayed = madd(profile, F(config["weight_decay_factor"]), w, g)
    accum = madd(profile, state["accum"], rho, (decayed * decayed) * rest)
    u = (np.sqrt(state["accum_update"] + eps) / np.sqrt(accum + eps)) * decayed
    accum_update = madd(profile, state["accum_update"], rho, (u * u) * rest)
    return madd(profile, -u, lr, w), {"accum": accum, "accum_update": accum_update}
