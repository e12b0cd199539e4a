"""Initializers: zeros, ones, constants, random_uniform. Rule: optimizers 5.

random_uniform draws from one mt19937 stream, rows in order of creation, elements in index order:
u = float32(x)/2^32 (1 becomes 1 - 2^-24), value = u*(max - min) + min (``avx``: one fma).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from monolith_kernels.prim import madd, shared

__all__ = ["DEFAULTS", "Constants", "Initializer", "Ones", "RandomUniform", "Zeros", "make", "uniform"]


class Zeros(NamedTuple):
    """All elements 0."""

    def constant_value(self) -> np.float32 | None:
        """The value of every element, None where it is drawn."""
        return np.float32(0)


class Ones(NamedTuple):
    """All elements 1."""

    def constant_value(self) -> np.float32 | None:
        """The value of every element, None where it is drawn."""
        return np.float32(1)


class Constants(NamedTuple):
    """All elements ``constant``."""

    constant: np.float32

    def constant_value(self) -> np.float32 | None:
        """The value of every element, None where it is drawn."""
        return self.constant


class RandomUniform(NamedTuple):
    """One draw per element, in [minval, maxval)."""

    minval: np.float32
    maxval: np.float32

    def constant_value(self) -> np.float32 | None:
        """The value of every element, None where it is drawn."""
        return None


Initializer = Zeros | Ones | Constants | RandomUniform

DEFAULTS: dict[str, dict[str, float]] = {
    "zeros": {},
    "ones": {},
    "constants": {"constant": 0.0},
    "random_uniform": {"minval": -0.05, "maxval": 0.05},
}
_CLASSES: dict[str, Any] = {
    "zeros": Zeros,
    "ones": Ones,
    "constants": Constants,
    "random_uniform": RandomUniform,
}


def make(kind: str, config: Mapping[str, Any] | None = None) -> Initializer:
    """The initializer of a kind from the fields of its message (absent: proto default).

    Raises ``ValueError`` for an unknown kind or field.
    """
    config = config or {}
    if kind not in _CLASSES:
        raise ValueError(f"there is no initializer {kind!r} (there are {', '.join(_CLASSES)})")
    unknown = sorted(set(config) - set(DEFAULTS[kind]))
    if unknown:
        raise ValueError(f"{kind} has no config field {unknown[0]!r}")
    values = {name: np.float32(config.get(name, value)) for name, value in DEFAULTS[kind].items()}
    made: Initializer = _CLASSES[kind](**values)
    return made


@shared
def uniform(p: Any, u: Any, low: Any, high: Any) -> Any:
    """The element of a draw u in [0, 1)."""
    return madd(p, u, high - low, low)
