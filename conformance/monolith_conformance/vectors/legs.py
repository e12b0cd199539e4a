"""One interface to rows for three legs: the engine on CPU, the engine on CUDA, and the oracle.

Rows are the engine's ``Rows``: weights float32 ``[n, D]`` and, per segment, arrays by dump field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.oracle.rows import OracleRows, pack, unpack
from monolith_ref.quirks import Quirks
from monolith_ref.row_codec import CodecSegment, RowCodec
from monolith_ref.rows import RowRule, Rows, RowSegment

__all__ = ["Codec", "RowLeg", "codec", "row_leg"]

F4 = NDArray[np.float32]
States = list[dict[str, Any]]


class RowLeg(Protocol):
    """What cases ask of rows."""

    def identity(self) -> Any: ...
    def create(self, count: int) -> Rows: ...
    def rows(self, weights: Any, states: States | None = None) -> Rows: ...
    def restore(self, dump: Rows) -> Rows: ...
    def optimize(self, rows: Rows, gradients: Any, rates: Any, global_step: int = 0, *, latest: Any = None) -> Rows: ...
    def seen_gradients(self, rows: Rows, gradients: Any, global_step: int = 0) -> F4: ...
    def read(self, rows: Rows) -> F4: ...
    def assign(self, rows: Rows, values: Any) -> Rows: ...
    def assign_add(self, rows: Rows, values: Any) -> Rows: ...


class Codec(Protocol):
    """What cases ask of serving rows."""

    def compress(self, values: Any) -> NDArray[np.uint8]: ...
    def decompress(self, packed: Any) -> F4: ...
    def add(self, packed: Any, values: Any) -> NDArray[np.uint8]: ...


def row_leg(segments: Sequence[RowSegment], target: str, profile: str, quirks: Quirks) -> RowLeg:
    """Rows of these segments on a leg.

    A batch_softmax segment of more than one element is run whatever the switches say: only the refusal to build it is
    switched, and vectors contain such segments without naming the switch.
    """
    if any(segment.rule == "batch_softmax" and segment.dim > 1 for segment in segments):
        quirks = quirks.plus("batch_softmax_any_dim")
    if target == "oracle":
        return _OracleLeg(segments, profile, quirks)
    return _EngineLeg(segments, target, profile=profile, quirks=quirks)


def codec(segments: Sequence[CodecSegment], target: str, quirks: Quirks) -> Codec:
    """Serving rows of these segments on a leg."""
    if target == "oracle":
        return _OracleCodec(segments, quirks)
    return RowCodec(segments, target, quirks=quirks)


class _EngineLeg(RowRule):
    """The engine's rows."""

    def identity(self) -> Any:
        """What decides the results: two sets of switches that make equal legs need one run."""
        plain = ("sr_stuck_generator" in self.quirks, "adam_restore_powers" in self.quirks)
        return self.layout, [type(segment.rule) for segment in self.layout.segments], plain


class _OracleLeg:
    """The oracle's rows behind the engine's interface."""

    def __init__(self, segments: Sequence[RowSegment], profile: str, quirks: Quirks) -> None:
        self._rows = OracleRows(segments, profile, quirks.on)
        self._count = len(segments)
        self._quirks = quirks

    def identity(self) -> Any:
        """The whole set of switches."""
        return self._quirks

    def _by_row(self, rows: Rows) -> list[list[dict[str, Any]]]:
        return [[{name: array[k] for name, array in state.items()} for state in rows.states] for k in range(len(rows))]

    def _by_segment(self, weights: F4, states: list[list[dict[str, Any]]]) -> Rows:
        merged: States = []
        for number in range(self._count):
            column = [row[number] for row in states]
            names = list(column[0]) if column else []
            kinds = {name: np.int64 if name == "global_step" else np.float32 for name in names}
            merged.append({name: np.array([s[name] for s in column], kinds[name]) for name in names})
        return Rows(weights, merged)

    def create(self, count: int) -> Rows:
        return self._by_segment(*self._rows.create(count))

    def rows(self, weights: Any, states: States | None = None) -> Rows:
        if states is None:
            raise ValueError("the oracle's rows are given with their states")
        return Rows(weights, states)

    def restore(self, dump: Rows) -> Rows:
        return self._by_segment(*self._rows.restore(dump.weights, self._by_row(dump)))

    def optimize(self, rows: Rows, gradients: Any, rates: Any, global_step: int = 0, *, latest: Any = None) -> Rows:
        return self._by_segment(
            *self._rows.optimize(rows.weights, self._by_row(rows), gradients, rates, global_step, latest)
        )

    def seen_gradients(self, rows: Rows, gradients: Any, global_step: int = 0) -> F4:
        return self._rows.seen_gradients(rows.weights, gradients, global_step)

    def read(self, rows: Rows) -> F4:
        return self._rows.read(rows.weights)

    def assign(self, rows: Rows, values: Any) -> Rows:
        return Rows(values.copy(), rows.states)

    def assign_add(self, rows: Rows, values: Any) -> Rows:
        with np.errstate(all="ignore"):
            return Rows(rows.weights + values, rows.states)


class _OracleCodec:
    """The oracle's serving rows behind the engine's interface."""

    def __init__(self, segments: Sequence[CodecSegment], quirks: Quirks) -> None:
        self._segments, self._quirks = list(segments), quirks.on

    def compress(self, values: Any) -> NDArray[np.uint8]:
        rows = [np.frombuffer(pack(self._segments, self._quirks, row), np.uint8) for row in values]
        return np.stack(rows)

    def decompress(self, packed: Any) -> F4:
        return np.stack([unpack(self._segments, row.tobytes()) for row in packed])

    def add(self, packed: Any, values: Any) -> NDArray[np.uint8]:
        with np.errstate(all="ignore"):
            return self.compress(self.decompress(packed) + values)
