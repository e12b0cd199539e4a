"""group_adagrad. Rule: optimizers 1, 1.2, 2; entry 5.2.

g'[i] = g[i] + wd*w[i];  grad_square_sum += max(0, g'[i]*g'[i] over i), NaNs skipped
alpha = lr/(beta + sqrt(grad_square_sum));  z[i] = g'[i] - w[i]/alpha;  r = sqrt(sum of z[i]*z[i] in index order)
r < l2: w = 0, else c = ((-alpha)*(r - l2))/r, w[i] = c*z[i]

A row with r = 0 becomes 0; quirk ``group_adagrad_zero_row_nan``: 0/0 when l2 is 0.
At rate 0 nothing changes; quirk ``zero_lr_division``: the division happens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, sqrt
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "GroupAdagrad"]

_ZERO = np.float32(0)


class GroupAdagrad(NamedTuple):
    """Hyper-parameters and quirks of group_adagrad."""

    beta: np.float32
    initial_accumulator_value: np.float32
    l2_regularization_strength: np.float32
    weight_decay_factor: np.float32
    group_adagrad_zero_row_nan: bool
    zero_lr_division: bool


def begin(p: Any, h: Any, lr: Any, step: Any, r: Any) -> Any:
    # rate, new grad_square_sum, alpha, factor of z, whether the row becomes 0, whether it stays as it is
    return lr, r[0], _ZERO, _ZERO, False, lr == _ZERO and not h.zero_lr_division


def fold_start(h: Any, k: Any) -> Any:
    return _ZERO


def fold(p: Any, h: Any, k: Any, c: Any, acc: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    decayed = madd(p, h.weight_decay_factor, w, g)
    square = mul(decayed, decayed)
    largest = square if square > acc else acc
    z = decayed - w / c[2]
    return largest if k == 0 else madd(p, z, z, acc)


def between(p: Any, h: Any, k: Any, c: Any, acc: Any, r: Any) -> Any:
    total = r[0] + acc if k == 0 else c[1]
    alpha = c[0] / (h.beta + sqrt(total))
    length = sqrt(acc)
    factor = mul(-alpha, length - h.l2_regularization_strength) / length
    vanishes = length < h.l2_regularization_strength or (length == _ZERO and not h.group_adagrad_zero_row_nan)
    return c[0], total, alpha, factor, vanishes, c[5]


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    z = madd(p, h.weight_decay_factor, w, g) - w / c[2]
    weight = _ZERO if c[4] else c[3] * z
    return (w if c[5] else weight), s


def finish(p: Any, h: Any, c: Any, step: Any, r: Any) -> Any:
    return ((r[0] if c[5] else c[1]),)


RULE = Rule(
    "group_adagrad",
    GroupAdagrad,
    {
        "learning_rate": 0.01,
        "beta": 0.0,
        "initial_accumulator_value": 0.1,
        "l2_regularization_strength": 0.0,
        "weight_decay_factor": 0.0,
        "warmup_steps": 0,
    },
    element,
    words=("grad_square_sum",),
    word_fills=("initial_accumulator_value",),
    begin=begin,
    finish=finish,
    folds=2,
    fold_start=fold_start,
    fold=fold,
    between=between,
)
