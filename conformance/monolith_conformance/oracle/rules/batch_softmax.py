"""batch_softmax: steps since the row was last seen, averaged into its first element. Rule: optimizers 1, 1.2, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

DEFAULTS = {"learning_rate": 0.1}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {"global_step": 0}


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    difference = np.array([step - int(state["global_step"])], np.int64).astype(F)[0]
    out = w.copy()
    out[0] = madd(profile, F(1) - lr, w[0], lr * difference)
    return out, {"global_step": step}
