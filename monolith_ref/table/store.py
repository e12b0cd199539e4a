"""The rows of one training table: an index apart from its rows, update times beside them, on one target.

A :class:`RowStore` knows neither filters, nor names, nor expiry: it finds and numbers ids, initialises new rows, reads,
updates and exports them. Row numbers are int32 target arrays; -1 is an absent row, which reads as +0.0. A row keeps its
number until it is erased; numbers of erased rows are reused lowest first. New rows are numbered and initialised in
order of first occurrence, on every target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from monolith_kernels.layout import RowLayout, State
from monolith_kernels.target import Target
from numpy.typing import NDArray

__all__ = ["RowDump", "RowStore"]


@dataclass
class RowDump:
    """Rows outside of a table, host arrays, in order of row number.

    Attributes
    ----------
    ids : int64[n]
    weights : float32[n, D]
        Raw embeddings of all segments.
    state : list of {field: array}, one per segment
        ``[n, dim]`` float32, ``[n]`` float32 or ``[n]`` int64 by dump field; ``{}`` for rules without state.
    update_time : uint32[n]
    """

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]
    state: list[State]
    update_time: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.ids)


class RowStore:
    """Index, rows and update times of one table. Not checked: callers pass arrays of the right shape and dtype.

    ``ids`` are int64[n]; flat buffers are float32, element ``offset + i * stride`` begins vector i; both live on the
    target (any NumPy array on the CPU). Methods return target arrays that are valid until the next call of that method.
    """

    layout: RowLayout
    target: Target
    dim: int

    @property
    def size(self) -> int:
        """Rows present."""
        raise NotImplementedError

    def find(self, ids: Any) -> Any:
        """Row numbers int32[n], -1 where absent. Repeats allowed."""
        raise NotImplementedError

    def find_or_insert(self, ids: Any) -> Any:
        """Row numbers int32[n]; absent ids get a row, initialised in order of first occurrence. Repeats allowed."""
        raise NotImplementedError

    def gather(self, rows: Any, out: Any, offset: int = 0, stride: int | None = None) -> None:
        """Copy what a training read gives of ``rows`` into the flat ``out`` (stride: None = dim)."""
        raise NotImplementedError

    def lookup(self, ids: Any, out: Any, offset: int = 0, stride: int | None = None) -> int:
        """:meth:`find` and :meth:`gather` in one pass. Returns how many ids were found."""
        raise NotImplementedError

    def optimize(
        self,
        rows: Any,
        grads: Any,
        rates: NDArray[np.float32],
        global_step: int,
        req_time: int,
        offset: int = 0,
        stride: int | None = None,
    ) -> None:
        """One optimizer step per position, in position order (rows may repeat); sets their times to ``req_time``.

        ``grads`` is flat and never written; ``rates`` float32[segments], host.
        """
        raise NotImplementedError

    def assign(self, rows: Any, values: Any, req_time: int, offset: int = 0, stride: int | None = None) -> None:
        """Write embeddings in position order (the last of equal rows wins); state stays; times become ``req_time``."""
        raise NotImplementedError

    def assign_add(self, rows: Any, values: Any, req_time: int, offset: int = 0, stride: int | None = None) -> None:
        """Add to embeddings in position order; times become ``req_time``."""
        raise NotImplementedError

    def reinitialize(self, rows: Any) -> None:
        """Initialise embeddings and states of ``rows`` again, in order (times are left alone)."""
        raise NotImplementedError

    def erase(self, ids: Any) -> int:
        """Remove rows; absent ids are ignored. Returns how many went."""
        raise NotImplementedError

    def clear(self) -> None:
        """Remove every row."""
        raise NotImplementedError

    def times(self, rows: Any) -> NDArray[np.uint32]:
        """Update times of ``rows``, host."""
        raise NotImplementedError

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """All ids and row numbers, ascending by row number, host arrays."""
        raise NotImplementedError

    def export(self, rows: Any | None = None, ids: NDArray[np.int64] | None = None) -> RowDump:
        """Rows as host arrays: all of them in order of row number, or the given ``rows`` with their ``ids``."""
        raise NotImplementedError

    def import_(self, dump: RowDump, fields: Sequence[frozenset[str]] | None = None) -> None:
        """Write rows, inserting absent ids (initialised first, so draws are consumed); later duplicates win."""
        raise NotImplementedError

    def track_changes(self, on: bool = True) -> None:
        """Start (or stop) marking every row that an operation inserts, changes or removes."""
        raise NotImplementedError

    def changes(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(row numbers changed, ids removed and not present again) since tracking began or the last :meth:`forget_changes`."""
        raise NotImplementedError

    def forget_changes(self) -> None:
        """Begin a new interval of change tracking."""
        raise NotImplementedError

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part: index, rows, times, scratch (touched address space counts, reserved does not)."""
        raise NotImplementedError
