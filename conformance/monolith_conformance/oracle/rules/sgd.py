"""sgd: w = w - lr*g. Rule: optimizers 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

DEFAULTS = {"learning_rate": 0.01, "warmup_steps": 0}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {}


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    return madd(profile, F(-lr), g, w), {}
