"""group_ftrl. Rule: optimizers 1, 2. The original declares it and refuses to build it (``unbuilt_rules``).

norm', zero as ftrl;  r = sqrt(sum of zero*zero in index order)
r < l1: w = 0, else w = ((lr*zero)*((l1 - r)/r)) / ((beta + sqrt(norm')) + l2*lr)

``avx``: whole blocks of 8 are summed as ((q0+q4)+(q2+q6)) + ((q1+q5)+(q3+q7)), block by block; the remainder is summed
by fma on its own and added last. In blocks l2 enters the denominator with the wrong sign.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, mul, nmadd, shared, sqrt
from monolith_kernels.rules import ftrl
from monolith_kernels.rules.base import Rule, raw_block

__all__ = ["RULE", "GroupFtrl"]

_ZERO = np.float32(0)


class GroupFtrl(NamedTuple):
    """Hyper-parameters of group_ftrl."""

    beta: np.float32
    initial_accumulator_value: np.float32
    l1_regularization_strength: np.float32
    l2_regularization_strength: np.float32


def begin(p: Any, h: Any, lr: Any, step: Any, r: Any) -> Any:
    # rate, factor of lr*zero, whether the row becomes 0
    return lr, _ZERO, False


@shared
def advance(p: Any, lr: Any, w: Any, g: Any, s: Any) -> Any:
    """New (zero, norm, sqrt(norm)) of one element."""
    norm = madd(p, g, g, s[1])
    root = sqrt(norm)
    sigma = (root - sqrt(s[1])) / lr
    return s[0] + nmadd(p, sigma, w, g), norm, root


def fold_start(h: Any, k: Any) -> Any:
    # sum of blocks, sum of the remainder, squares of the current block
    return _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO


def fold(p: Any, h: Any, k: Any, c: Any, acc: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    zero = advance(p, c[0], w, g, s)[0]
    square = mul(zero, zero)
    lane = i & 7
    q0 = square if lane == 0 else acc[2]
    q1 = square if lane == 1 else acc[3]
    q2 = square if lane == 2 else acc[4]
    q3 = square if lane == 3 else acc[5]
    q4 = square if lane == 4 else acc[6]
    q5 = square if lane == 5 else acc[7]
    q6 = square if lane == 6 else acc[8]
    block = ((q0 + q4) + (q2 + q6)) + ((q1 + q5) + (q3 + square))
    whole = raw_block(p, in_block)
    blocks = acc[0] + block if whole and lane == 7 else acc[0]
    rest = acc[1] if whole else madd(p, zero, zero, acc[1])
    return blocks, rest, q0, q1, q2, q3, q4, q5, q6


def between(p: Any, h: Any, k: Any, c: Any, acc: Any, r: Any) -> Any:
    length = sqrt(acc[0] + acc[1])
    factor = (h.l1_regularization_strength - length) / length
    return c[0], factor, length < h.l1_regularization_strength


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    zero, norm, root = advance(p, c[0], w, g, s)
    plain = madd(p, h.l2_regularization_strength, c[0], h.beta + root)
    block = nmadd(p, h.l2_regularization_strength, c[0], root) + h.beta
    moved = mul(mul(c[0], zero), c[1]) / (block if raw_block(p, in_block) else plain)
    return (_ZERO if c[2] else moved), (zero, norm)


RULE = Rule(
    "group_ftrl",
    GroupFtrl,
    {**ftrl.DEFAULTS, "beta": 1.0, "initial_accumulator_value": 0.0},
    element,
    state=("zero", "norm"),
    fills=(0.0, "initial_accumulator_value"),
    begin=begin,
    folds=1,
    fold_start=fold_start,
    fold=fold,
    between=between,
    buildable=False,
)
