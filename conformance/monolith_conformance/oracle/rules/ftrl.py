"""ftrl. Rule: optimizers 1, 1.2, 2; entry 5.2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

DEFAULTS = {
    "learning_rate": 0.01,
    "beta": 0.0,
    "initial_accumulator_value": 0.1,
    "l1_regularization_strength": 0.0,
    "l2_regularization_strength": 0.0,
    "warmup_steps": 0,
}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {"zero": np.zeros(dim, F), "norm": np.full(dim, F(config["initial_accumulator_value"]))}


def accumulated(profile: str, w: Array, state: dict[str, Any], g: Array, lr: np.float32) -> tuple[Array, Array]:
    """New norm and zero."""
    norm = madd(profile, g, g, state["norm"])
    sigma = (np.sqrt(norm) - np.sqrt(state["norm"])) / lr
    return norm, state["zero"] + madd(profile, -sigma, w, g)


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    if lr == 0 and "zero_lr_division" not in quirks:
        return w, state
    l1, l2 = F(config["l1_regularization_strength"]), F(config["l2_regularization_strength"])
    norm, zero = accumulated(profile, w, state, g, lr)
    if "ftrl_l1_sign" in quirks:
        s = np.signbit(zero).astype(F)
    else:
        s = np.where(zero > 0, F(1), np.where(zero < 0, F(-1), F(0)))
    top = lr * madd(profile, s, l1, -zero)
    bottom = madd(profile, l2, lr, np.sqrt(norm) + F(config["beta"]))
    return np.where(np.abs(zero) > l1, top / bottom, F(0)), {"zero": zero, "norm": norm}
