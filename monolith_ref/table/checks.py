"""What a table checks before it changes anything, and how its maximum time goes on. Rule: tables 1, 12."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, ShapeError, StateError
from monolith_ref.quirks import Quirks
from monolith_ref.table.config import TablePlan
from monolith_ref.table.serving import ServingStore
from monolith_ref.table.store import RowStore

__all__ = ["Checks", "refuse_serving"]

_U32 = 1 << 32


def refuse_serving(what: str) -> StateError:
    """What a serving table says of an operation that it does not have."""
    return StateError(f"ServingEntryAccessor doesn't support {what}.")


class Checks:
    """The checks of one table."""

    name: str
    quirks: Quirks
    plan: TablePlan
    store: RowStore | ServingStore
    segments: int
    max_ts: int
    check_numerics: bool
    _int32_times: bool
    _needs_step: bool

    @property
    def serving(self) -> bool:
        """Whether rows are compressed and cannot be trained."""
        return self.plan.serving

    @property
    def training_store(self) -> RowStore:
        """The store of a training table; StateError for a serving one."""
        if isinstance(self.store, ServingStore):
            raise refuse_serving("Optimize")
        return self.store

    def row_time(self, req_time: int) -> int:
        """The time that a row gets; ArgumentError outside [0, 2^32) unless ``wrap_timestamps``."""
        if 0 <= req_time < _U32:
            return req_time
        if "wrap_timestamps" in self.quirks:
            return req_time % _U32
        raise ArgumentError(f"req_time must be in 0..{_U32 - 1} seconds, got {req_time}")

    def advance(self, req_time: int, *, optimize: bool = False) -> None:
        """Let the maximum time rise to ``req_time``."""
        latest = max(self.max_ts, req_time)
        if optimize and self._int32_times:
            latest = (latest + (1 << 31)) % _U32 - (1 << 31)
        self.max_ts = latest

    def check_rates(self, rates: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rates of the segments; ShapeError for too few, and for too many unless ``extra_learning_rates``."""
        if len(rates) == self.segments:
            return rates
        if len(rates) > self.segments and "extra_learning_rates" in self.quirks:
            return rates[: self.segments]
        raise ShapeError(f"table {self.name!r} has {self.segments} segments, got {len(rates)} learning rates")

    def check_update(self, rates: NDArray[np.float32], global_step: int, req_time: int) -> None:
        """Raise whatever an optimize call with these arguments would raise, changing nothing."""
        if self.serving:
            raise refuse_serving("Optimize")
        self.check_rates(rates)
        self.row_time(req_time)
        if not -(1 << 63) <= global_step < 1 << 63:
            raise ArgumentError(f"global_step must be an int64, got {global_step}")
        if self._needs_step and global_step < 0:
            raise ArgumentError(f"batch_softmax needs a global_step of at least 0, got {global_step}")

    def check_finite(self, ids: NDArray[np.int64], values: NDArray[np.float32], what: str) -> None:
        """With ``check_numerics``: ArgumentError naming the first ids whose values are not finite."""
        if self.check_numerics and not np.isfinite(values).all():
            bad = ids[~np.isfinite(values.reshape(len(ids), -1)).all(axis=1)]
            raise ArgumentError(f"table {self.name!r}: {what} of ids {bad[:10].tolist()} are not finite")
