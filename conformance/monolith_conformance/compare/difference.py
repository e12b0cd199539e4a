"""One element on which the two paths disagree: where it is, both values, and how far they are apart."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STAGES", "Difference", "bits_of", "differing", "float_of", "ulps"]

STAGES = (
    "looked-up row",
    "x",
    "p",
    "loss",
    "dx",
    "dense gradient",
    "dense variable",
    "dense state",
    "row weight",
    "row accumulator",
    "row presence",
)
"""What is compared, in the order of a step: an earlier stage explains the later ones."""


@dataclass(frozen=True)
class Difference:
    """An element whose bits differ.

    Attributes
    ----------
    step, rank : int
        When, and on which rank it was found.
    stage : str
        One of :data:`STAGES`.
    name : str
        Feature, dense variable, or head.
    engine, oracle : int
        Both values as float32 bit patterns (presence: 0 or 1).
    owner, fid, slot, row, element : int or None
        Rank that owns the row, its id and slot; row of the rank's batch; column within the row or array.
    """

    step: int
    rank: int
    stage: str
    name: str
    engine: int
    oracle: int
    owner: int | None = None
    fid: int | None = None
    slot: int | None = None
    row: int | None = None
    element: int | None = None

    @property
    def ulps(self) -> int | None:
        """How many float32 numbers lie between the two; None with a NaN, or for presence."""
        if self.stage == "row presence":
            return None
        return ulps(self.engine, self.oracle)

    def order(self) -> tuple[int, int, int, int, int, int]:
        """Sorting key: the first difference of a run is the smallest."""
        return (
            self.step,
            STAGES.index(self.stage),
            self.fid if self.fid is not None else -1,
            self.element if self.element is not None else -1,
            self.row if self.row is not None else -1,
            self.rank,
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with both numbers written out."""
        return {
            **asdict(self),
            "engine": f"{self.engine:08x}",
            "oracle": f"{self.oracle:08x}",
            "engine_value": repr(float_of(self.engine)),
            "oracle_value": repr(float_of(self.oracle)),
            "ulps": self.ulps,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Difference:
        """Back from :meth:`as_dict`."""
        plain = {key: data[key] for key in cls.__dataclass_fields__}
        return replace(cls(**plain), engine=int(data["engine"], 16), oracle=int(data["oracle"], 16))


def bits_of(value: float | np.float32) -> int:
    """The float32 bit pattern of a value."""
    return int(np.float32(value).view(np.uint32))


def float_of(bits: int) -> float:
    """The value of a float32 bit pattern, with as few digits as identify the float32."""
    return float(str(np.uint32(bits).view(np.float32)))


def ulps(a: int, b: int) -> int | None:
    """Distance of two float32 bit patterns on the number line of float32; None with a NaN."""
    if math.isnan(float_of(a)) or math.isnan(float_of(b)):
        return None

    def ordinal(bits: int) -> int:
        return -(bits & 0x7FFFFFFF) if bits >> 31 else bits

    return abs(ordinal(a) - ordinal(b))


def differing(engine: NDArray[np.float32], oracle: NDArray[np.float32]) -> NDArray[np.int64]:
    """Flat indices where bits differ; every NaN equals every NaN. Shapes must be equal."""
    a = np.ascontiguousarray(engine, np.float32).view(np.uint32).reshape(-1)
    b = np.ascontiguousarray(oracle, np.float32).view(np.uint32).reshape(-1)
    if np.array_equal(a, b):
        return np.zeros(0, np.int64)
    unequal = a != b
    unequal &= ~(np.isnan(a.view(np.float32)) & np.isnan(b.view(np.float32)))
    return np.flatnonzero(unequal)
