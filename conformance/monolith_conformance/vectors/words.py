"""Numbers in vector files, and what is said about the first that differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.difference import ulps as bit_distance

__all__ = ["config_values", "first_difference", "floats", "hex_floats", "number", "result_of", "ulps"]

F4 = NDArray[np.float32]


def floats(text: str) -> F4:
    """A list of float32 from hex words separated by spaces (``""`` is the empty list)."""
    return np.frombuffer(bytes.fromhex(text), ">u4").astype(np.uint32).view(np.float32)


def number(text: str) -> np.float32:
    """One float32 from its hex word."""
    return np.float32(floats(text)[0])


def config_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a message: words become float32 numbers, integers and booleans stay."""
    return {name: number(value) if isinstance(value, str) else value for name, value in config.items()}


def hex_floats(value: Any) -> Any:
    """C99 hex floats in nested lists as a float32 array (or a float32 for one)."""

    def convert(item: Any) -> Any:
        return [convert(part) for part in item] if isinstance(item, list) else float.fromhex(item)

    converted = convert(value)
    return np.float32(converted) if not isinstance(converted, list) else np.array(converted, np.float32)


def result_of(step: Mapping[str, Any], profile: str) -> Mapping[str, Any]:
    """The expected result of a step in a profile (``"avx": "ieee"``: the same)."""
    result = step[profile]
    chosen: Mapping[str, Any] = step["ieee"] if result == "ieee" else result
    return chosen


def ulps(got: np.float32, expected: np.float32) -> int | None:
    """Distance in units of the last place, None where a NaN is involved."""
    return bit_distance(*(int(value.view(np.uint32)) for value in (got, expected)))


def first_difference(what: str, got: Any, expected: Any, allowed_ulps: int = 0) -> str:
    """ "" where both are equal bit for bit (any NaN equals any NaN), else the first difference in words."""
    actual, wanted = np.asarray(got), np.asarray(expected)
    if actual.dtype != wanted.dtype and not (actual.dtype.kind == wanted.dtype.kind == "i"):
        return f"{what}: dtype {actual.dtype}, expected {wanted.dtype}"
    if actual.shape != wanted.shape:
        return f"{what}: shape {list(actual.shape)}, expected {list(wanted.shape)}"
    if actual.dtype != np.float32:
        unequal = np.flatnonzero(actual.reshape(-1) != wanted.reshape(-1))
        if not len(unequal):
            return ""
        at = int(unequal[0])
        return f"{what}, element {at}: {actual.reshape(-1)[at]}, expected {wanted.reshape(-1)[at]}"
    a, e = np.ascontiguousarray(actual).reshape(-1), np.ascontiguousarray(wanted).reshape(-1)
    differ = np.flatnonzero((a.view(np.uint32) != e.view(np.uint32)) & ~(np.isnan(a) & np.isnan(e)))
    for place in differ:
        at = int(place)
        distance = ulps(a[at], e[at])
        if distance is not None and 0 < distance <= allowed_ulps:
            continue
        far = "not comparable" if distance is None else f"{distance} ulp"
        return (
            f"{what}, element {at}: {a[at].view(np.uint32):08x} ({a[at]!r}), expected {e[at].view(np.uint32):08x} "
            f"({e[at]!r}), {far}; {len(differ)} of {len(a)} elements differ"
        )
    return ""
