"""rmsprop and rmspropv2: in double, but for the root and its + 1. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, D, F, madd

DEFAULTS = {"learning_rate": 0.01, "weight_decay_factor": 0.0, "momentum": 0.9}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {"n": np.zeros(dim, F)}


def direction(profile: str, config: dict[str, Any], w: Array, g: Array) -> Array:
    dx: Array = madd(profile, D(F(config["weight_decay_factor"])), w.astype(D), g.astype(D))
    return dx


def moved(profile: str, rate: Any, w: Array, n: Array, dx: Array) -> Array:
    eta = D(F(rate)) / (np.sqrt(n) + F(1)).astype(D)
    out: Array = madd(profile, -eta, dx, w.astype(D)).astype(F)
    return out


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    mu = D(F(config["momentum"]))
    dx = direction(profile, config, w, g)
    n = madd(profile, mu, state["n"].astype(D), ((1 - mu) * dx) * dx).astype(F)
    return moved(profile, config["learning_rate"], w, n, dx), {"n": n}
