"""Keeps what an explanation needs of the step in hand, and asks :mod:`divergence` for the cause of a difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.difference import Difference
from monolith_conformance.compare.path_b import PathB, RowsBefore, StepTruth
from monolith_conformance.divergence import (
    Lookup,
    Occurrence,
    RowUpdate,
    explain_array,
    explain_bag,
    explain_lookup,
    explain_update,
)
from monolith_conformance.oracle.sync_rules import take_rows
from monolith_ref.features.ragged import Batch

__all__ = ["Causes"]

F32 = NDArray[np.float32]


class Causes:
    """Material of explanations: filled by the comparer while it compares, read only when something differs."""

    def __init__(self, path_b: PathB) -> None:
        self._path_b = path_b
        self._batch: Batch | None = None
        self._truth: StepTruth | None = None
        self._previous: RowsBefore | None = None
        self._rows: dict[int, tuple[int, F32, F32]] = {}
        self._looked_up: dict[int, tuple[F32, F32]] = {}
        self._bags: dict[tuple[str, int, int], tuple[F32, F32]] = {}
        self._arrays: dict[tuple[str, str], tuple[F32, F32]] = {}

    def begin(self, step: int, batch: Batch) -> None:
        """A new step: forget the last one's material, keep the rows as they were before its update."""
        self._batch, self._truth = batch, None
        self._rows, self._looked_up, self._bags, self._arrays = {}, {}, {}, {}

    def updated(self, truth: StepTruth) -> None:
        """What path B says of the step in hand."""
        self._truth = truth

    def finished(self, truth: StepTruth) -> None:
        """The step is compared and equal."""
        self._previous = truth.before

    def row(self, fid: int, position: int, w: F32, accumulator: F32) -> None:
        """A row that differs after its update."""
        self._rows[fid] = (position, w.copy(), accumulator.copy())

    def looked_up(self, fid: int, engine: F32, oracle: F32) -> None:
        """A row that arrived wrong."""
        self._looked_up[fid] = (engine.copy(), oracle.copy())

    def bag(self, stage: str, feature: int, row: int, engine: F32, oracle: F32) -> None:
        """A pooled sum, or its gradient, that differs."""
        self._bags[stage, feature, row] = (engine.copy(), oracle.copy())

    def array(self, stage: str, name: str, engine: F32, oracle: F32) -> None:
        """A dense array that differs."""
        self._arrays[stage, name] = (np.array(engine, np.float32), np.array(oracle, np.float32))

    def absent(self, fid: int) -> None:
        """A row that its owner does not have."""

    def explain(self, difference: Difference) -> str:
        """The likely cause of a difference found on this rank."""
        d = difference
        if d.stage in ("row weight", "row accumulator") and d.fid in self._rows:
            return self._explain_row(d.fid)
        if d.stage == "looked-up row" and d.fid in self._looked_up:
            return self._explain_lookup(d.fid)
        if d.stage == "row presence":
            return "the owner has no such row, or a rank has one that no step gave it"
        if d.stage in ("x", "dx") and d.row is not None:
            return self._explain_bag(d)
        if (d.stage, d.name) in self._arrays:
            engine, oracle = self._arrays[d.stage, d.name]
            return explain_array(engine, oracle, self._path_b.communicator.size)
        return "no cause is known"

    def _explain_row(self, fid: int) -> str:
        position, engine_w, engine_a = self._rows[fid]
        truth, rows = self._truth, self._path_b.oracle.rows
        index = truth.before.find(position) if truth is not None else None
        if truth is None or index is None:
            return "the row was not touched in this step, and yet it differs"
        earlier = None
        if self._previous is not None and (at := self._previous.find(position)) is not None:
            earlier = self._previous.w[at]
        return explain_update(
            RowUpdate(
                truth.before.w[index],
                truth.before.accumulator[index],
                rows.w[position],
                rows.accumulator[position],
                engine_w,
                engine_a,
                self._occurrences(truth, position),
                len(truth.shares),
                self._path_b.oracle.settings,
                earlier,
            )
        )

    def _occurrences(self, truth: StepTruth, position: int) -> list[Occurrence]:
        found = []
        for rank, share in enumerate(truth.shares):
            for occurrence in np.flatnonzero(share.positions == position):
                bag = int(share.bags[occurrence])
                place = int(occurrence - np.searchsorted(share.bags, bag))
                found.append(Occurrence(rank, bag % max(share.rows, 1), place, share.bag_gradients[bag]))
        return found

    def _explain_lookup(self, fid: int) -> str:
        engine, oracle = self._looked_up[fid]
        batch, universe = self._batch, self._path_b.universe
        assert batch is not None
        positions: list[Any] = []
        earlier = None
        for feature, name in enumerate(self._path_b.features):
            values = batch.ragged[name].values
            positions.append(universe.positions(feature, values))
            hit = np.flatnonzero(values == fid)
            if len(hit) and self._previous is not None:
                at = self._previous.find(int(positions[-1][hit[0]]))
                earlier = self._previous.w[at] if at is not None else earlier
        everywhere = np.concatenate(positions)
        others = take_rows(self._path_b.oracle.rows.w, everywhere)
        return explain_lookup(Lookup(engine, oracle, earlier, others, universe.fids(everywhere)))

    def _explain_bag(self, d: Difference) -> str:
        feature = self._path_b.features.index(d.name)
        assert d.row is not None
        engine, oracle = self._bags.get((d.stage, feature, d.row), (None, None))
        if engine is None or oracle is None:
            return "no cause is known"
        if d.stage == "dx":
            return explain_array(engine, oracle, self._path_b.communicator.size)
        assert self._batch is not None
        fids = self._batch.ragged[d.name].row(d.row)
        rows = take_rows(self._path_b.oracle.rows.w, self._path_b.universe.positions(feature, fids))
        named = ", ".join(str(int(fid)) for fid in fids[:4]) + (" ..." if len(fids) > 4 else "")
        return f"{explain_bag(engine, rows)} (the row's ids: {named})"
