"""The two random streams that rows depend on: mt19937 (initializers) and the rounding generator. Rule: optimizers 3, 5.

Streams are order-dependent by definition, so both are drawn on the host, in order, for either target. Their states are
plain arrays that the caller keeps: pass one in, it is advanced in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_kernels.jit import kernel
from monolith_kernels.prim import at, put

__all__ = ["MT_WORDS", "mt19937", "rounding_draws", "rounding_generator", "uniforms"]

MT_WORDS = 625
"""Length of an mt19937 state: 624 words and the position."""

_N = 624
_M = 397
_LAST_BELOW_ONE = np.float32(1.0 - 2.0**-24)
_SCALE = np.float32(2.0**-32)


def mt19937(seed: int = 5489) -> NDArray[np.uint32]:
    """A fresh mt19937 state ``uint32[625]``: the words, then the position (624: the block is used up)."""
    state = np.empty(MT_WORDS, np.uint32)
    word = seed & 0xFFFFFFFF
    state[0] = word
    for number in range(1, _N):
        word = (1812433253 * (word ^ (word >> 30)) + number) & 0xFFFFFFFF
        state[number] = word
    state[_N] = _N
    return state


def rounding_generator(stuck: bool) -> NDArray[np.uint32]:
    """A fresh state ``uint32[2]`` (z, w) of the stochastic-rounding generator.

    ``stuck`` is quirk ``sr_stuck_generator``: z starts at 0 and stays there.
    """
    return np.array([0, 1] if stuck else [362436069, 521288629], np.uint32)


@kernel
def _regenerate(state: Any) -> None:
    upper, lower, matrix = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
    for i in range(_N):
        y = (at(state, i) & upper) | (at(state, (i + 1) % _N) & lower)
        word = at(state, (i + _M) % _N) ^ (y >> np.uint32(1))
        put(state, i, word ^ (matrix if y & np.uint32(1) else np.uint32(0)))


@kernel
def _uniforms(state: Any, out: Any) -> None:
    position = np.int64(state[_N])
    for k in range(len(out)):
        if position == _N:
            _regenerate(state)
            position = np.int64(0)
        y = at(state, position)
        position += 1
        y ^= y >> np.uint32(11)
        y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
        y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
        y ^= y >> np.uint32(18)
        u = np.float32(y) * _SCALE
        put(out, k, u if u < np.float32(1) else _LAST_BELOW_ONE)
    state[_N] = np.uint32(position)


def uniforms(state: NDArray[np.uint32], count: int) -> NDArray[np.float32]:
    """The next ``count`` draws in [0, 1) as float32; ``state`` (``uint32[625]``) is advanced."""
    out = np.empty(count, np.float32)
    _uniforms(state, out)
    return out


@kernel
def _rounding_draws(state: Any, out: Any) -> None:
    z, w = np.int64(state[0]), np.int64(state[1])
    for k in range(len(out)):
        z = (36969 * (z & 0xFFFF) + (z >> 16)) & 0xFFFFFFFF
        w = (18000 * (w & 0xFFFF) + (w >> 16)) & 0xFFFFFFFF
        mixed = (((z & 0xFFFF) << 16) + w) & 0xFFFFFFFF
        put(out, k, np.float32(np.uint32(mixed)) * _SCALE)
    state[0], state[1] = np.uint32(z), np.uint32(w)


def rounding_draws(state: NDArray[np.uint32], count: int) -> NDArray[np.float32]:
    """The next ``count`` draws of the rounding generator as float32; ``state`` (``uint32[2]``) is advanced."""
    out = np.empty(count, np.float32)
    _rounding_draws(state, out)
    return out
