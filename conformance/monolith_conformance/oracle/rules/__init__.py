"""Naive truth of the row arithmetic: one screenful per rule, nothing shared with the kernels.

A rule module has ``DEFAULTS`` (config fields with their proto defaults), ``initial(config, dim)`` and
``update(profile, config, quirks, w, state, g, lr, step)``: one row (1-D float32 arrays) in, a new one out.
:func:`update` below is the front door: it fills in defaults and rounds config numbers to float32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from monolith_conformance.oracle.rules import (
    adadelta,
    adagrad,
    adam,
    amsgrad,
    batch_softmax,
    dynamic_wd_adagrad,
    ftrl,
    group_adagrad,
    group_ftrl,
    momentum,
    moving_average,
    rmsprop,
    rmspropv2,
    sgd,
)
from monolith_conformance.oracle.rules.floats import Array, F, madd

__all__ = ["RULES", "compensated", "initial", "update"]

RULES: dict[str, ModuleType] = {
    module.__name__.rsplit(".", 1)[1]: module
    for module in (
        adadelta, adagrad, adam, amsgrad, batch_softmax, dynamic_wd_adagrad, ftrl, group_adagrad, group_ftrl,
        momentum, moving_average, rmsprop, rmspropv2, sgd,
    )
}  # fmt: skip
"""Every rule by the name of its config message field."""


def _filled(rule: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {**RULES[rule].DEFAULTS, **config}


def initial(rule: str, config: Mapping[str, Any], dim: int) -> dict[str, Any]:
    """State of a new row by dump field."""
    state: dict[str, Any] = RULES[rule].initial(_filled(rule, config), dim)
    return state


def update(
    rule: str,
    config: Mapping[str, Any],
    w: Array,
    state: Mapping[str, Any],
    g: Array,
    lr: Any,
    step: int = 0,
    *,
    profile: str = "ieee",
    quirks: Collection[str] = (),
) -> tuple[Array, dict[str, Any]]:
    """One step of one row: (new w, new state). Arguments are left alone."""
    with np.errstate(all="ignore"):
        out: tuple[Array, dict[str, Any]] = RULES[rule].update(
            profile, _filled(rule, config), set(quirks), w.copy(), dict(state), g.copy(), F(lr), step
        )
    return out


def compensated(factor: Any, w: Array, g: Array, latest: Array, *, profile: str = "ieee") -> Array:
    """dc: the gradient that the base rule gets. Rule: optimizers 1, 2."""
    with np.errstate(all="ignore"):
        out: Array = madd(profile, (F(factor) * g) * g, w - latest, g)
    return out
