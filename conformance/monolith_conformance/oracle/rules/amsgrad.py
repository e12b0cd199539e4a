"""amsgrad: adam with the largest v so far. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules import adam
from monolith_conformance.oracle.rules.floats import Array, F

DEFAULTS = {name: value for name, value in adam.DEFAULTS.items() if name != "use_beta1_warmup"}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {**adam.initial(config, dim), "vhat": np.zeros(dim, F)}


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    m, v, top = adam.moments(profile, config, w, state, g, lr)
    vhat = np.where(state["vhat"] < v, v, state["vhat"])
    return adam.moved(config, w, top, vhat), {"m": m, "v": v, "vhat": vhat, **adam.powers(config, state)}
