"""adam: single-precision moments, and a last line in double. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, D, F, madd

DEFAULTS = {
    "learning_rate": 0.01,
    "beta1": 0.9,
    "beta2": 0.99,
    "use_beta1_warmup": False,
    "weight_decay_factor": 0.0,
    "use_nesterov": False,
    "epsilon": 0.01,
    "warmup_steps": 0,
}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    zeros = {"m": np.zeros(dim, F), "v": np.zeros(dim, F)}
    return {**zeros, "beta1_power": F(config["beta1"]), "beta2_power": F(config["beta2"])}


def moments(profile: str, config: dict[str, Any], w: Array, state: dict[str, Any], g: Array,
            lr: np.float32) -> tuple[Array, Array, Array]:  # fmt: skip
    """New m and v, and what the weight moves by before the denominator."""
    beta1, beta2 = F(config["beta1"]), F(config["beta2"])
    bias1, bias2 = F(1) - state["beta1_power"], F(1) - state["beta2_power"]
    alpha = F(D(lr) * np.sqrt(D(bias2)) / D(bias1))
    decayed = madd(profile, F(config["weight_decay_factor"]), w, g)
    m = madd(profile, decayed - state["m"], F(1) - beta1, state["m"])
    v = madd(profile, madd(profile, decayed, decayed, -state["v"]), F(1) - beta2, state["v"])
    if config["use_nesterov"]:
        return m, v, madd(profile, decayed, F(1) - beta1, beta1 * m) * alpha
    return m, v, m * alpha


def powers(config: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    return {
        "beta1_power": state["beta1_power"] * F(config["beta1"]),
        "beta2_power": state["beta2_power"] * F(config["beta2"]),
    }


def moved(config: dict[str, Any], w: Array, top: Array, v: Array) -> Array:
    return (w.astype(D) - top.astype(D) / (np.sqrt(v.astype(D)) + D(F(config["epsilon"])))).astype(F)


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    m, v, top = moments(profile, config, w, state, g, lr)
    return moved(config, w, top, v), {"m": m, "v": v, **powers(config, state)}
