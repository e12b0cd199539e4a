"""Accuracy profiles: how far floats may be from the reference, declared for a whole run and shown in its headline.

``exact`` is the default; ``ulp(n)`` and ``abs(x)`` are looser. Cases whose values only travel (``accuracy="exact"``)
are held to the bits under every profile. Any NaN equals any NaN, infinities equal themselves, and -0 is not +0.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.bits import FloatDifference, describe, first_difference
from monolith_conformance.compare.difference import ulps
from monolith_ref.errors import ConfigError

__all__ = ["EXACT", "Accuracy"]

_TEXT = re.compile(r"^(?P<kind>ulp|abs)\((?P<bound>[0-9.eE+-]+)\)$")


@dataclass(frozen=True)
class Accuracy:
    """One profile: ``kind`` exact, ulp or abs, and the greatest distance that passes."""

    kind: str = "exact"
    bound: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Accuracy:
        """From ``exact``, ``ulp(n)`` or ``abs(x)``. Raises :class:`~monolith_ref.errors.ConfigError`."""
        if text == "exact":
            return cls()
        match = _TEXT.match(text)
        try:
            bound = float(match["bound"]) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or not 0 < bound < math.inf or (match["kind"] == "ulp" and bound != int(bound)):
            raise ConfigError(f"accuracy {text!r}: exact, ulp(n) with a whole number n, or abs(x), both above 0")
        return cls(match["kind"], bound)

    def __str__(self) -> str:
        return self.kind if self.kind == "exact" else f"{self.kind}({self.bound:g})"

    def first_difference(self, actual: NDArray[Any], expected: NDArray[Any]) -> FloatDifference | None:
        """The first element of two float32 arrays of one size that is too far away; None where there is none."""
        if self.kind == "exact":
            return first_difference(actual, expected)
        a, b = (np.ascontiguousarray(x, np.float32).reshape(-1) for x in (actual, expected))
        words = a.view(np.uint32), b.view(np.uint32)
        doubtful = np.flatnonzero((words[0] != words[1]) & ~(np.isnan(a) & np.isnan(b)))
        for index in doubtful.tolist():
            pair = int(words[0][index]), int(words[1][index])
            if not self._near(float(a[index]), float(b[index]), ulps(*pair)):
                return FloatDifference(index, describe(pair[0]), describe(pair[1]), ulps(*pair))
        return None

    def _near(self, actual: float, expected: float, far: int | None) -> bool:
        """Whether two floats with different bits are near enough."""
        if far is None or math.isinf(actual) or math.isinf(expected):
            return False
        if actual == 0 and expected == 0:
            return False
        return far <= self.bound if self.kind == "ulp" else abs(actual - expected) <= self.bound


EXACT = Accuracy()
