"""The two random streams and what they do to rows. Rule: optimizers 3, 5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

__all__ = ["DEFAULTS", "RoundingGenerator", "UniformStream", "rounded"]

DEFAULTS: dict[str, dict[str, Any]] = {
    "zeros": {},
    "ones": {},
    "constants": {"constant": 0.0},
    "random_uniform": {"minval": -0.05, "maxval": 0.05},
}


class UniformStream:
    """mt19937 from the default seed, 32 bits a draw."""

    def __init__(self) -> None:
        self._bits = np.random.MT19937()
        self._bits._legacy_seeding(5489)

    def values(self, profile: str, kind: str, config: Mapping[str, Any], dim: int) -> Array:
        """A new row's segment of an initializer."""
        if kind != "random_uniform":
            return np.full(dim, F({"zeros": 0, "ones": 1}.get(kind, config.get("constant", 0.0))))
        u = self._bits.random_raw(dim).astype(np.uint32).astype(F) * F(2.0**-32)
        u = np.minimum(u, F(1 - 2.0**-24))
        low, high = F(config["minval"]), F(config["maxval"])
        values: Array = madd(profile, u, high - low, low)
        return values


class RoundingGenerator:
    """Two multiply-with-carry generators; ``stuck``: the original's seeds, from which one never moves."""

    def __init__(self, stuck: bool) -> None:
        self.z, self.w = (0, 1) if stuck else (362436069, 521288629)

    def draw(self) -> np.float32:
        """The next number in [0, 1]."""
        self.z = (36969 * (self.z % 65536) + self.z // 65536) % 2**32
        self.w = (18000 * (self.w % 65536) + self.w // 65536) % 2**32
        return np.uint32((self.z % 65536 * 65536 + self.w) % 2**32).astype(F) / F(2.0**32)


def rounded(w: Array, generator: RoundingGenerator) -> Array:
    """Every element at one of its two half neighbours, one draw each."""
    with np.errstate(all="ignore"):
        nearest = w.astype(np.float16)
        above = np.nextafter(nearest, np.float16(np.inf))
        below = np.nextafter(nearest, np.float16(-np.inf))
        upper = np.where(nearest.astype(F) >= w, nearest, above).astype(F)
        lower = np.where(nearest.astype(F) <= w, nearest, below).astype(F)
        share = (w - lower) / (upper - lower)
        draws = np.array([generator.draw() for _ in w], F)
        return np.where(np.isfinite(w), np.where(draws <= share, upper, lower), w).astype(F)
