"""adagrad: the accumulator adds the square of the decayed gradient. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

DEFAULTS = {
    "learning_rate": 0.001,
    "initial_accumulator_value": 0.1,
    "hessian_compression_times": 1,
    "weight_decay_factor": 0.0,
    "warmup_steps": 0,
}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {"norm": np.full(dim, F(config["initial_accumulator_value"]))}


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    decayed = madd(profile, F(config["weight_decay_factor"]), w, g)
    norm = madd(profile, decayed, decayed, state["norm"])
    e = lr / np.sqrt(norm)
    used = decayed.copy()
    if profile == "avx":  # the hand-written path takes the raw gradient in whole blocks of 8
        used[: len(w) // 8 * 8] = g[: len(w) // 8 * 8]
    return madd(profile, -e, used, w), {"norm": norm}
