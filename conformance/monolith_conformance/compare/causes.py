"""Keeps what an explanation needs of the step in hand, and asks :mod:`divergence` for the cause of a difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.difference import Difference
from monolith_conformance.compare.path_b import PathB, RowsBefore, StepTruth
from monolith_conformance.divergence import (
    Answers,
    Lookup,
    Occurrence,
    RowUpdate,
    explain_array,
    explain_bag,
    explain_lookups,
    explain_update,
)
from monolith_conformance.oracle.sync_rules import take_rows
from monolith_ref.features.ragged import Batch

__all__ = ["Causes"]

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

_LOOKED_AT = 1000  # wrong rows of a feature that are looked at


class Causes:
    """Material of explanations: filled by the comparer while it compares, read only when something differs."""

    def __init__(self, path_b: PathB, owner_of: Callable[[I64], I64]) -> None:
        self._path_b = path_b
        self._owner_of = owner_of
        self._batch: Batch | None = None
        self._truth: StepTruth | None = None
        self._previous: RowsBefore | None = None
        self._rows: dict[int, tuple[int, F32, F32]] = {}
        self._looked_up: list[tuple[int, I64, I64, F32, F32]] = []
        self._lookup_causes: dict[int, str] | None = None
        self._absent: set[int] = set()
        self._bags: dict[tuple[str, int, int], tuple[F32, F32]] = {}
        self._arrays: dict[tuple[str, str], tuple[F32, F32]] = {}

    def begin(self, step: int, batch: Batch) -> None:
        """A new step: forget the last one's material, keep the rows as they were before its update."""
        self._batch, self._truth = batch, None
        self._rows, self._looked_up, self._bags, self._arrays = {}, [], {}, {}
        self._lookup_causes, self._absent = None, set()

    def updated(self, truth: StepTruth) -> None:
        """What path B says of the step in hand."""
        self._truth = truth

    def finished(self, truth: StepTruth) -> None:
        """The step is compared and equal."""
        self._previous = truth.before

    def row(self, fid: int, position: int, w: F32, accumulator: F32) -> None:
        """A row that differs after its update."""
        self._rows[fid] = (position, w.copy(), accumulator.copy())

    def looked_up(self, feature: int, positions: I64, fids: I64, engine: F32, oracle: F32) -> None:
        """Rows of a feature that arrived wrong: [n, D]."""
        self._looked_up.append((feature, positions, fids, engine.copy(), oracle.copy()))

    def bag(self, stage: str, feature: int, row: int, engine: F32, oracle: F32) -> None:
        """A pooled sum, or its gradient, that differs."""
        self._bags[stage, feature, row] = (engine.copy(), oracle.copy())

    def array(self, stage: str, name: str, engine: F32, oracle: F32) -> None:
        """A dense array that differs."""
        self._arrays[stage, name] = (np.array(engine, np.float32), np.array(oracle, np.float32))

    def absent(self, fid: int) -> None:
        """A row of this step's ids that its owner does not have after the update."""
        self._absent.add(fid)

    def explain(self, difference: Difference) -> str:
        """The likely cause of a difference found on this rank."""
        d = difference
        if d.stage in ("row weight", "row accumulator") and d.fid in self._rows:
            return self._explain_row(d.fid)
        if d.stage == "looked-up row" and d.fid is not None:
            return self._explain_lookups().get(d.fid, "too many rows are wrong to look at each")
        if d.stage == "row presence" and d.fid in self._absent:
            return "the update was skipped: the owner should have created the row in this step and has none"
        if d.stage == "row presence" and d.fid is not None:
            return "the rank has a row that no step gave it, or that belongs to another owner"
        if d.stage == "row presence":
            return "rows were lost, or there are some that no step created"
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

    def _explain_lookups(self) -> dict[int, str]:
        if self._lookup_causes is None:
            self._lookup_causes = explain_lookups(self._wrong_lookups(), self._answers())
        return self._lookup_causes

    def _wrong_lookups(self) -> list[Lookup]:
        wrong = []
        for _, positions, fids, engine, oracle in self._looked_up:
            owners = self._owner_of(fids)
            for i in range(min(len(fids), _LOOKED_AT)):
                at = self._previous.find(int(positions[i])) if self._previous is not None else None
                earlier = self._previous.w[at] if self._previous is not None and at is not None else None
                wrong.append(Lookup(int(fids[i]), int(owners[i]), engine[i], oracle[i], earlier))
        return wrong

    def _answers(self) -> Answers:
        """The right rows of all ids of this rank's rows."""
        assert self._batch is not None
        positions = np.unique(
            np.concatenate(
                [
                    self._path_b.universe.positions(feature, self._batch.ragged[name].values)
                    for feature, name in enumerate(self._path_b.features)
                ]
            )
        )
        fids = self._path_b.universe.fids(positions)
        return Answers.of(take_rows(self._path_b.oracle.rows.w, positions), fids, self._owner_of(fids))

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
