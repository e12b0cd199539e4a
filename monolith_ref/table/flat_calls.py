"""The calls of a multi table on flat layouts: ragged ids with flat values, and fused chunks. Rule: tables 8, 9."""

from __future__ import annotations

import abc
import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ShapeError
from monolith_ref.quirks import Quirks
from monolith_ref.table.arrays import as_ids, as_int, optional_time
from monolith_ref.table.core import Table
from monolith_ref.table.flat import check_ragged, split_values
from monolith_ref.table.fused import FusedLookup, fused_apply, fused_find

__all__ = ["FlatCalls", "Pairs"]

Pairs = list[tuple[Table, NDArray[np.int64], NDArray[np.float32]]]


class FlatCalls(abc.ABC):
    """What :class:`~monolith_ref.table.multi.MultiHashTable` does with flat layouts."""

    quirks: Quirks
    _list: list[Table]

    @property
    @abc.abstractmethod
    def table_names(self) -> list[str]: ...
    @abc.abstractmethod
    def get_table_dim_sizes(self) -> list[int]: ...
    @abc.abstractmethod
    def learning_rates(self, global_step: int = 0) -> list[NDArray[np.float32]]: ...
    @abc.abstractmethod
    def _assign(self, pairs: Pairs, when: int) -> Self: ...
    @abc.abstractmethod
    def _apply(self, pairs: Pairs, global_step: Any, req_time: Any) -> Self: ...

    def raw_lookup(self, ragged_id: Any) -> NDArray[np.float32]:
        """Rows of a ragged id, flat. With ``K * R + 1`` splits: R requests, one after the other."""
        keys, splits, requests = self._requests(ragged_id)
        counts = np.diff(splits).reshape(requests, len(self._list))
        total = int((counts * np.array(self.get_table_dim_sizes(), np.int64)).sum())
        out = np.empty(total, np.float32)
        first_only = "multi_lookup_batched_first_request" in self.quirks
        start = 0
        for request in range(requests):
            for number, table in enumerate(self._list):
                count = int(counts[request, number])
                begin = int(splits[number if first_only else request * len(self._list) + number])
                stop = start + count * table.dim
                part = keys[begin : begin + count]
                table.lookup_into(part, out[start : start + len(part) * table.dim])
                out[start + len(part) * table.dim : stop] = 0
                start = stop
        return out

    def _requests(self, ragged_id: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        splits = getattr(ragged_id, "row_splits", None)
        if splits is None:
            try:
                _, splits = ragged_id
            except (TypeError, ValueError):
                raise ShapeError("a ragged id has values and row_splits") from None
        parts = as_ids(splits, "row_splits").size - 1
        if parts < 1 or parts % len(self._list):
            raise ShapeError(f"row_splits must have {len(self._list)} entries a request and one more, got {parts + 1}")
        ragged = check_ragged(ragged_id, parts)
        return ragged.values, ragged.row_splits, parts // len(self._list)

    def _ragged_pairs(self, ragged_id: Any, flat: Any) -> Pairs:
        ragged = check_ragged(ragged_id, len(self._list))
        parts = split_values(ragged, flat, self.get_table_dim_sizes(), self.table_names)
        return [(table, ids, floats) for table, (ids, floats) in zip(self._list, parts, strict=True)]

    def raw_assign(self, ragged_id: Any, flat: Any, req_time: Any = None) -> Self:
        """Set rows of a ragged id from flat values."""
        return self._assign(self._ragged_pairs(ragged_id, flat), optional_time(req_time))

    def raw_apply_gradients(self, ragged_id: Any, flat: Any, global_step: Any, req_time: Any = None) -> Self:
        """One optimizer step per position of a ragged id, by flat gradients."""
        return self._apply(self._ragged_pairs(ragged_id, flat), global_step, req_time)

    def fused_lookup(self, ids: Any, fused_slot_size: Any, num_of_shards: Any, req_time: Any = None) -> FusedLookup:
        """Rows of N shards times K tables of ids; see :class:`FusedLookup`."""
        return fused_find(self._list, ids, fused_slot_size, num_of_shards)

    def fused_apply_gradient(
        self,
        ids: Any,
        indices: Any,
        fused_slot_size: Any,
        id_grads: Any,
        id_offsets: Any,
        grad_offsets: Any,
        global_step: Any,
        req_time: Any,
        num_of_shards: Any,
        enable_grad_accumulation: bool = False,
    ) -> Self:
        """Optimizer steps of every shard in order; with accumulation one per distinct id of a chunk."""
        step = as_int(global_step, "global_step")
        rates = self.learning_rates(step)
        fused_apply(
            self._list,
            ids,
            fused_slot_size,
            id_grads,
            id_offsets,
            grad_offsets,
            rates,
            step,
            optional_time(req_time),
            num_of_shards,
            enable_grad_accumulation,
        )
        return copy.copy(self)
