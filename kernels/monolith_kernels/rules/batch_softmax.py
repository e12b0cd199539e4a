"""batch_softmax. Rule: optimizers 1, 1.2, 2. One int64 per row, kept as two words; the gradient is not used.

w[0] = (1-lr)*w[0] + lr*float32(global_step - state);  state = global_step

Elements past the first never change (dims above 1 need quirk ``batch_softmax_any_dim``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monolith_kernels.prim import bits, from_bits, madd, mul
from monolith_kernels.rules.base import Rule

__all__ = ["RULE", "BatchSoftmax"]

_ONE = np.float32(1)


class BatchSoftmax(NamedTuple):
    """No hyper-parameters."""


def begin(p: Any, h: Any, lr: Any, step: Any, r: Any) -> Any:
    last = (np.int64(bits(r[1])) << np.int64(32)) | (np.int64(bits(r[0])) & np.int64(0xFFFFFFFF))
    return _ONE - lr, mul(lr, np.float32(step - last))


def element(p: Any, h: Any, c: Any, w: Any, g: Any, s: Any, i: Any, in_block: Any) -> Any:
    return (madd(p, c[0], w, c[1]) if i == 0 else w), s


def finish(p: Any, h: Any, c: Any, step: Any, r: Any) -> Any:
    low = step & np.int64(0xFFFFFFFF)
    signed = low - np.int64(0x100000000) if low >= np.int64(0x80000000) else low
    return from_bits(np.int32(signed)), from_bits(np.int32(step >> np.int64(32)))


def words_to_fields(rule: Rule, words: NDArray[np.float32]) -> dict[str, Any]:
    return {"global_step": np.ascontiguousarray(words).view("<i8")[:, 0].copy()}


def fields_to_words(rule: Rule, words: NDArray[np.float32], fields: Mapping[str, Any]) -> NDArray[np.float32]:
    if "global_step" in fields:
        words.view("<i8")[:, 0] = fields["global_step"]
    return words


RULE = Rule(
    "batch_softmax",
    BatchSoftmax,
    {"learning_rate": 0.1},
    element,
    words=("global_step_low", "global_step_high"),
    word_fills=(0.0, 0.0),
    begin=begin,
    finish=finish,
    one_dimensional=True,
    needs_step=True,
    words_to_fields=words_to_fields,
    fields_to_words=fields_to_words,
)
