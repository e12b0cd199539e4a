"""momentum: the rate is inside the velocity. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, fma, madd

DEFAULTS = {
    "learning_rate": 0.01,
    "weight_decay_factor": 0.0,
    "use_nesterov": False,
    "momentum": 0.9,
    "warmup_steps": 0,
}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {"n": np.zeros(dim, F)}


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    mu, old = F(config["momentum"]), state["n"]
    decayed = madd(profile, F(config["weight_decay_factor"]), w, g)
    n = fma(-lr, decayed, mu * old) if profile == "avx" else mu * old - lr * decayed
    if config["use_nesterov"]:
        return w + madd(profile, F(1) + mu, n, -mu * old), {"n": n}
    return w + n, {"n": n}
