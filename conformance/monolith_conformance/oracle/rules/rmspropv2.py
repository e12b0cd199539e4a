"""rmspropv2: rmsprop with dx*dx and the rate of the call. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules import rmsprop
from monolith_conformance.oracle.rules.floats import Array, D, F, madd

DEFAULTS = rmsprop.DEFAULTS
initial = rmsprop.initial


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    dx = rmsprop.direction(profile, config, w, g)
    n = madd(profile, D(F(config["momentum"])), state["n"].astype(D), dx * dx).astype(F)
    return rmsprop.moved(profile, lr, w, n, dx), {"n": n}
