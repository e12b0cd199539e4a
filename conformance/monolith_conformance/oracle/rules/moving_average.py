"""moving_average: no state, no rate. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

DEFAULTS = {"momentum": 0.9}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {}


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    mu = F(config["momentum"])
    return madd(profile, mu, w, (F(1) - mu) * g), {}
