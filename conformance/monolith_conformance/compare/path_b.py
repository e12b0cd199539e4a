"""Path B on one rank: the oracle, its universe of fids, and the exchange that shows every rank what the others have."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare import wire
from monolith_conformance.compare.universe import Universe
from monolith_conformance.oracle.sync import DenseRows, Layer, Oracle, RankBatch, Reduced, Settings, Share, StepValues
from monolith_conformance.oracle.sync_rules import take_rows
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.sync.communicator import Communicator

__all__ = ["PathB", "RowsBefore", "StepTruth", "owner_of"]


def owner_of(fids: NDArray[np.int64], ranks: int, empty_rank0: bool) -> NDArray[np.int64]:
    """The rank that owns each fid: the floor remainder, or, with rank 0 empty, over the others (N > 4 only)."""
    if empty_rank0 and ranks > 4:
        return np.mod(fids, ranks - 1) + 1
    return np.mod(fids, ranks)


@dataclass
class RowsBefore:
    """Rows that a step touched, as they were before it."""

    positions: NDArray[np.int64]
    w: NDArray[np.float32]
    accumulator: NDArray[np.float32]

    def find(self, position: int) -> int | None:
        """Index of a position, or None where the step did not touch it."""
        index = int(np.searchsorted(self.positions, position))
        return index if index < len(self.positions) and self.positions[index] == position else None


@dataclass
class StepTruth:
    """What path B says of one step.

    ``shares`` are those whose rows moved in it: the step's own, an earlier one's with staleness, or none yet.
    """

    step: int
    parts: list[Batch]
    shares: list[Share]
    reduced: Reduced
    before: RowsBefore


class PathB:
    """Dense arrays and naive rules on every rank; see :mod:`monolith_conformance.oracle.sync`."""

    def __init__(
        self,
        communicator: Communicator,
        universe: Universe,
        features: Sequence[str],
        layers: Sequence[Layer],
        settings: Settings,
        dim: int,
        broadcast_labels: bool = False,
    ) -> None:
        self.communicator = communicator
        self.universe = universe
        self.features = tuple(features)
        self.oracle = Oracle(
            DenseRows(universe.count, dim, settings.accumulator),
            list(layers),
            len(self.features),
            settings,
            broadcast_labels,
        )
        self.seconds = 0.0
        self._waiting: deque[list[Share]] = deque()
        self._share: Share | None = None
        self._batch: Batch | None = None

    def forward(self, batch: Batch) -> StepValues:
        """Forward and backward of this rank's rows; nothing changes."""
        started = perf_counter()
        rank_batch = self.rank_batch(batch)
        values, self._share = self.oracle.local(rank_batch, batch.global_rows)
        self._batch = batch
        self.seconds = perf_counter() - started
        return values

    def rank_batch(self, batch: Batch) -> RankBatch:
        """A rank's rows in the oracle's terms."""
        ragged = [batch.ragged[name] for name in self.features]
        positions = [self.universe.positions(f, column.values) for f, column in enumerate(ragged)]
        return RankBatch.build(positions, [column.row_splits for column in ragged], batch.label)

    def update(self, step: int) -> StepTruth:
        """Gather what all ranks have; move the head and the rows of this step (with staleness: of an earlier one)."""
        parts, shares = self._gather()
        started = perf_counter()
        reduced = self.oracle.reduce(shares)
        self.seconds += perf_counter() - started
        self._waiting.append(shares)
        due: list[Share] = []
        if len(self._waiting) > self.oracle.settings.staleness:
            due = self._waiting.popleft()
        before = self._apply(due)
        started = perf_counter()
        self.oracle.apply_dense(reduced)
        self.seconds += perf_counter() - started
        return StepTruth(step, parts, due, reduced, before)

    def flush(self) -> None:
        """Move the rows of all steps that staleness still holds back."""
        while self._waiting:
            self._apply(self._waiting.popleft())

    def _apply(self, shares: list[Share]) -> RowsBefore:
        started = perf_counter()
        touched = self.oracle.touched_by(shares)
        self.seconds += perf_counter() - started
        rows = self.oracle.rows
        before = RowsBefore(touched, take_rows(rows.w, touched), take_rows(rows.accumulator, touched))
        started = perf_counter()
        if shares:
            self.oracle.apply_rows(shares)
        self.seconds += perf_counter() - started
        return before

    def _gather(self) -> tuple[list[Batch], list[Share]]:
        batch, share = self._batch, self._share
        assert batch is not None
        assert share is not None
        if self.communicator.size == 1:
            return [batch], [share]
        arrays: dict[str, NDArray[Any]] = {
            "label": batch.label,
            "gradients": share.bag_gradients,
            "losses": share.losses,
        }
        arrays |= {f"values {name}": batch.ragged[name].values for name in self.features}
        arrays |= {f"splits {name}": batch.ragged[name].row_splits for name in self.features}
        arrays |= {f"dense {i}": part for i, part in enumerate(share.dense)}
        gathered = self.communicator.allgather_bytes(wire.pack(arrays), "compare: shares")
        parts, shares = [], []
        for rank, data in enumerate(gathered):
            got = wire.unpack(data)
            ragged = {name: Ragged(got[f"values {name}"], got[f"splits {name}"]) for name in self.features}
            label = got["label"]
            parts.append(Batch(ragged, {"label": label}, len(label), batch.global_rows))
            if rank == self.communicator.rank:
                shares.append(share)
                continue
            rank_batch = self.rank_batch(parts[-1])
            dense = [got[f"dense {i}"] for i in range(len(share.dense))]
            shares.append(
                Share(rank_batch.positions, rank_batch.bags, got["gradients"], dense, got["losses"], len(label))
            )
        return parts, shares
