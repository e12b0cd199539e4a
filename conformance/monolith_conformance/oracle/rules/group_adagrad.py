"""group_adagrad: one accumulator per row, and a whole row that may vanish. Rule: optimizers 1, 1.2, 2; entry 5.2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

DEFAULTS = {
    "learning_rate": 0.01,
    "beta": 0.0,
    "initial_accumulator_value": 0.1,
    "l2_regularization_strength": 0.0,
    "weight_decay_factor": 0.0,
    "warmup_steps": 0,
}


def initial(config: dict[str, Any], dim: int) -> dict[str, Any]:
    return {"grad_square_sum": F(config["initial_accumulator_value"])}


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    if lr == 0 and "zero_lr_division" not in quirks:
        return w, state
    l2 = F(config["l2_regularization_strength"])
    decayed = madd(profile, F(config["weight_decay_factor"]), w, g)
    largest = F(0)
    for square in decayed * decayed:
        largest = square if square > largest else largest
    total = state["grad_square_sum"] + largest
    alpha = lr / (F(config["beta"]) + np.sqrt(total))
    z = decayed - w / alpha
    squares = F(0)
    for value in z:
        squares = madd(profile, value, value, squares)
    r = np.sqrt(squares)
    if r < l2 or (r == 0 and "group_adagrad_zero_row_nan" not in quirks):
        return np.zeros_like(w), {"grad_square_sum": total}
    return ((-alpha * (r - l2)) / r) * z, {"grad_square_sum": total}
