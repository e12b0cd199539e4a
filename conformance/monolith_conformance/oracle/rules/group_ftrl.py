"""group_ftrl, which the original declares and refuses to build. Rule: optimizers 1, 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from monolith_conformance.oracle.rules import ftrl
from monolith_conformance.oracle.rules.floats import Array, F, fma, madd

DEFAULTS = {**ftrl.DEFAULTS, "beta": 1.0, "initial_accumulator_value": 0.0}
initial = ftrl.initial


def length(profile: str, zero: Array) -> np.float32:
    """Root of the sum of squares; avx adds whole blocks of 8 in a tree and the rest by fma."""
    whole = len(zero) // 8 * 8 if profile == "avx" else 0
    blocks = rest = F(0)
    for start in range(0, whole, 8):
        q = zero[start : start + 8] * zero[start : start + 8]
        blocks += ((q[0] + q[4]) + (q[2] + q[6])) + ((q[1] + q[5]) + (q[3] + q[7]))
    for value in zero[whole:]:
        rest = madd(profile, value, value, rest)
    root: np.float32 = np.sqrt(blocks + rest)
    return root


def update(profile: str, config: dict[str, Any], quirks: set[str], w: Array, state: dict[str, Any], g: Array,
           lr: np.float32, step: int) -> tuple[Array, dict[str, Any]]:  # fmt: skip
    l1, l2 = F(config["l1_regularization_strength"]), F(config["l2_regularization_strength"])
    beta = F(config["beta"])
    norm, zero = ftrl.accumulated(profile, w, state, g, lr)
    r = length(profile, zero)
    after = {"zero": zero, "norm": norm}
    if r < l1:
        return np.zeros_like(w), after
    bottom = madd(profile, l2, lr, beta + np.sqrt(norm))
    if profile == "avx":  # blocks have the wrong sign of l2
        block = slice(0, len(w) // 8 * 8)
        bottom[block] = fma(-l2, lr, np.sqrt(norm[block])) + beta
    return ((lr * zero) * ((l1 - r) / r)) / bottom, after
