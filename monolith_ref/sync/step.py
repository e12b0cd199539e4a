"""What one step holds between its stages: ids, counts, buffers. Rule: sync_training 2.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from monolith_kernels.arrays import Split, Unique
from monolith_kernels.reduction import Partial
from numpy.typing import NDArray

if TYPE_CHECKING:
    from monolith_ref.features.ragged import Ragged

__all__ = ["Block", "Step", "Update", "Wide"]


class Block(NamedTuple):
    """What one source rank sent for one table: ids ``low`` to ``high`` of those received, vectors from ``start``."""

    source: int
    table: int
    low: int
    high: int
    start: int


class Update(NamedTuple):
    """One call of a table's optimizer: ``ids`` int64 [n], gradient i at ``gradients[start + i * dim:]`` (both T).

    ``rows``: row numbers int32 [n] that the lookup of this step found (-1: absent then), or None. ``skip``: positions
    int64, ascending, host, that are left out, or None.
    """

    table: int
    ids: Any
    gradients: Any
    start: int
    rows: Any = None
    skip: Any = None


class Wide(NamedTuple):
    """``exact`` only: ids whose gradient sum on a rank is not a float32 number; there the float32 sums are 0.

    ``starts`` int64 [w], ascending: where each one's floats begin among the gradients; ``dims`` int64 [w]: how many;
    ``partial``: their unrounded sums, one after the other.
    """

    starts: NDArray[np.int64]
    dims: NDArray[np.int64]
    partial: Partial


@dataclass(slots=True)
class Step:
    """Filled stage by stage. Block order is (rank, table, first occurrence) in everything that travels.

    Arrays marked T live on the target, the others on the host. Buffers are reused by the next step.

    Attributes
    ----------
    batch : mapping of feature to Ragged
    rows : int
        Rows of this rank.
    splits : int64 [features, rows + 1], or a list of its rows on another target
        Per feature, in table order: occurrences of each row, numbered through the whole step.
    unique : Unique
        Distinct ids per table, in order of first occurrence; ``inverse`` per occurrence.
    split : Split
        The distinct ids dealt to owners.
    offsets : int64 [u], T
        Per distinct id: where its vector begins in the flat buffers in send order.
    received_counts : int64 [N, K]
        Ids that came from each source rank for each table.
    received_ids : int64 [m]
    blocks : list of Block
        The non-empty (source, table) blocks of ``received_ids``.
    row_numbers : list of int32 arrays, T
        Per block, of lookup: -1 where absent.
    reply : float32, flat
        Rows looked up for others, block after block.
    vectors : float32, flat
        Rows of this rank's distinct ids, in send order.
    x : float32 [rows, stride], T
        Pooled.
    dx : float32 [rows, stride], T
    sums : float32, flat, T (``exact``: on the host)
        Gradients of this rank's distinct ids, in send order.
    wide : Wide or None
        ``exact`` only: those of them that float32 does not hold.
    received_gradients : float32, flat
        Laid out like ``reply``.
    received_wide : Wide or None
        ``exact`` only: the wide ones among them.
    updates : list of Update
    """

    batch: Mapping[str, Ragged]
    rows: int
    splits: Any = None
    unique: Unique = None  # type: ignore[assignment]
    split: Split = None  # type: ignore[assignment]
    offsets: Any = None
    received_counts: NDArray[np.int64] = None  # type: ignore[assignment]
    received_ids: NDArray[np.int64] = None  # type: ignore[assignment]
    blocks: list[Block] = field(default_factory=list)
    row_numbers: list[Any] = field(default_factory=list)
    reply: NDArray[np.float32] = None  # type: ignore[assignment]
    vectors: NDArray[np.float32] = None  # type: ignore[assignment]
    x: Any = None
    dx: Any = None
    sums: Any = None
    wide: Wide | None = None
    received_gradients: NDArray[np.float32] = None  # type: ignore[assignment]
    received_wide: Wide | None = None
    updates: list[Update] = field(default_factory=list)
