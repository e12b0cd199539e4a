"""Tables over P shards in one process: what parameter servers do to ids, rows and gradients. Rule: tables 10.

The shard of an id is its floor-mod by P. Lookups and gradients go out distinct per table; a gradient is summed from
+0.0 in position order, so that an id gets one step a call. Assigns are split as they come.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError, ShapeError
from monolith_ref.table.arrays import as_array, as_floats, as_ids, as_int, as_splits, rows_of
from monolith_ref.table.hash_table import HashTable

__all__ = [
    "DistributedHashTable",
    "DistributedMultiTypeHashTable",
    "PartitionedHashTable",
    "ragged_split_by_indices",
    "unique_key_with_value_and_offset",
]

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


class UniqueKeys(NamedTuple):
    """Distinct ids of every table, and where the floats of their occurrences begin."""

    unique: Ids
    row_splits: Ids
    value_offset: Ids
    value_offset_splits: Ids


def _distinct(ids: Ids, splits: Ids) -> tuple[Ids, NDArray[np.int32], Ids, NDArray[np.int32]]:
    found = make_target("cpu").dedup.unique_tables(ids, splits)
    return found.unique, found.inverse, found.unique_splits, found.counts


def unique_key_with_value_and_offset(values: Any, row_splits: Any, dims: Sequence[int]) -> UniqueKeys:
    """Distinct ids per table by first occurrence, and the float offsets of all occurrences of each.

    ``values`` int64[n] and ``row_splits`` int64[K + 1] of K tables whose rows have ``dims`` floats.
    """
    ids = as_ids(values).reshape(-1)
    splits = as_splits(row_splits, len(dims), len(ids), "row_splits")
    unique, inverse, unique_splits, counts = _distinct(ids, splits)
    widths = np.repeat(np.asarray(dims, np.int64), np.diff(splits))
    starts = np.concatenate([[0], np.cumsum(widths)])[:-1]
    order = np.argsort(inverse, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return UniqueKeys(unique, unique_splits, starts[order].astype(np.int64), offsets)


def ragged_split_by_indices(
    indices: Any, values: Any, row_splits: Any, num_splits: int
) -> tuple[list[tuple[Ids, Ids]], list[Ids]]:
    """Deal a ragged tensor to ``num_splits`` parts, order kept: ([(values, row_splits)], [positions])."""
    where, ids = as_ids(indices, "indices").reshape(-1), as_ids(values).reshape(-1)
    splits = as_ids(row_splits, "row_splits")
    as_splits(splits, len(splits) - 1, len(ids), "row_splits")
    if len(where) != len(ids):
        raise ShapeError(f"{len(where)} indices for {len(ids)} values")
    parts, positions = [], []
    for part in range(num_splits):
        mine = np.flatnonzero(where == part)
        parts.append((ids[mine], np.searchsorted(mine, splits).astype(np.int64)))
        positions.append(mine)
    return parts, positions


def _halved(values: Floats, through: bool) -> Floats:
    """``values`` as they come out of a transfer in half precision, nearest even."""
    if not through:
        return values
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


class _Deal:
    """Ids of one table dealt to P shards; the position lists put answers back in place."""

    def __init__(self, ids: Ids, shards: int) -> None:
        self.ids = ids
        owners = np.mod(ids, shards)
        self.positions = [np.flatnonzero(owners == shard) for shard in range(shards)]

    def ids_of(self, shard: int) -> Ids:
        return self.ids[self.positions[shard]]


def _sums(ids: Ids, grads: Floats, dim: int) -> tuple[Ids, Floats]:
    """(distinct ids, their gradients summed from +0.0 in position order, [u, dim])."""
    unique, inverse, _, _ = _distinct(ids, np.array([0, len(ids)], np.int64))
    sums = np.zeros((len(unique), dim), np.float32)
    make_target("cpu").lookup.assign_add(sums, inverse, 0, dim, grads, 0, dim)
    return unique, sums


class DistributedHashTable:
    """A single table over shards of ``factory(shard)``; ``transfer_float16`` sends rows and gradients as halves."""

    def __init__(self, num_shards: int, factory: Callable[[int], HashTable], *, transfer_float16: bool = False) -> None:
        if num_shards < 1:
            raise ConfigError(f"a distributed table needs at least one shard, got {num_shards}")
        self.shards = [factory(shard) for shard in range(num_shards)]
        self.dim_size = self.shards[0].dim_size
        self._half = transfer_float16

    def size(self) -> int:
        """Rows of all shards."""
        return sum(shard.size() for shard in self.shards)

    def lookup(self, ids: Any) -> Floats:
        """Rows of ids (flattened), float32 ``[n, dim]``."""
        keys = as_ids(ids).reshape(-1)
        unique, inverse, _, _ = _distinct(keys, np.array([0, len(keys)], np.int64))
        deal = _Deal(unique, len(self.shards))
        rows = np.empty((len(unique), self.dim_size), np.float32)
        for shard, table in enumerate(self.shards):
            rows[deal.positions[shard]] = _halved(table.lookup(deal.ids_of(shard)), self._half)
        return rows[inverse]

    def apply_gradients(self, ids: Any, grads: Any, global_step: Any, req_time: Any = None) -> DistributedHashTable:
        """One step per distinct id, on the sum of its gradients."""
        keys = as_ids(ids).reshape(-1)
        flat = rows_of(as_floats(grads, "grads"), len(keys), self.dim_size, "grads")
        unique, sums = _sums(keys, flat, self.dim_size)
        sums = _halved(sums, self._half)
        deal = _Deal(unique, len(self.shards))
        for shard, table in enumerate(self.shards):
            table.apply_gradients(deal.ids_of(shard), sums[deal.positions[shard]], global_step, req_time=req_time)
        return copy.copy(self)

    def _dealt(self, call: str, ids: Any, values: Any, req_time: Any) -> DistributedHashTable:
        keys = as_ids(ids)
        if keys.ndim != 1:
            raise ShapeError(f"ids of {call} must have rank 1, got shape {list(keys.shape)}")
        rows = rows_of(as_floats(values, "values"), len(keys), self.dim_size, f"values of {call}")
        matrix = rows.reshape(len(keys), self.dim_size)
        deal = _Deal(keys, len(self.shards))
        for shard, table in enumerate(self.shards):
            getattr(table, call)(deal.ids_of(shard), matrix[deal.positions[shard]], req_time)
        return copy.copy(self)

    def assign(self, ids: Any, values: Any, req_time: Any = None) -> DistributedHashTable:
        """Set rows, in order."""
        return self._dealt("assign", ids, values, req_time)

    def assign_add(self, ids: Any, values: Any, req_time: Any = None) -> DistributedHashTable:
        """Add to rows, in order."""
        return self._dealt("assign_add", ids, values, req_time)


class DistributedMultiTypeHashTable:
    """Several tables over shards of ``factory(shard)``: multi tables or multi type tables, all of equal names."""

    def __init__(self, num_shards: int, factory: Callable[[int], Any], *, transfer_float16: bool = False) -> None:
        if num_shards < 1:
            raise ConfigError(f"a distributed table needs at least one shard, got {num_shards}")
        self.shards = [factory(shard) for shard in range(num_shards)]
        self.dims: dict[str, int] = dict(
            zip(self.shards[0].table_names, self.shards[0].get_table_dim_sizes(), strict=True)
        )
        self._half = transfer_float16

    def get_table_dim_sizes(self) -> list[int]:
        """Floats per row, in sorted name order."""
        return list(self.dims.values())

    def lookup(self, ids: Mapping[str, Any]) -> dict[str, Floats]:
        """Rows of ids by table name."""
        self._check(ids)
        keys = {name: as_ids(value).reshape(-1) for name, value in ids.items()}
        distinct = {name: _distinct(part, np.array([0, len(part)], np.int64)) for name, part in keys.items()}
        deals = {name: _Deal(found[0], len(self.shards)) for name, found in distinct.items()}
        rows = {name: np.empty((len(deals[name].ids), self.dims[name]), np.float32) for name in keys}
        for shard, tables in enumerate(self.shards):
            found = tables.lookup({name: deal.ids_of(shard) for name, deal in deals.items()})
            for name, deal in deals.items():
                rows[name][deal.positions[shard]] = _halved(found[name], self._half)
        return {name: rows[name][distinct[name][1]] for name in keys}

    def _check(self, names: Mapping[str, Any]) -> None:
        first = self.shards[0]
        if hasattr(first, "get_ragged_id"):
            first._known(names)
        else:
            first._check(names)

    def apply_gradients(
        self, gradients: Mapping[str, Any], global_step: Any, req_time: Any = None
    ) -> DistributedMultiTypeHashTable:
        """One step per table and distinct id, on the sum of its gradients: ``{name: (ids, grads)}``."""
        self._check(gradients)
        summed: dict[str, tuple[_Deal, Floats]] = {}
        for name, (ids, grads) in gradients.items():
            keys = as_ids(ids).reshape(-1)
            flat = rows_of(as_floats(grads, "grads"), len(keys), self.dims[name], f"grads of {name!r}")
            unique, sums = _sums(keys, flat, self.dims[name])
            summed[name] = (_Deal(unique, len(self.shards)), _halved(sums, self._half))
        for shard, tables in enumerate(self.shards):
            part = {name: (deal.ids_of(shard), sums[deal.positions[shard]]) for name, (deal, sums) in summed.items()}
            tables.apply_gradients(part, global_step, req_time=req_time)
        return copy.copy(self)

    def _dealt(self, call: str, values: Mapping[str, Any], *args: Any) -> DistributedMultiTypeHashTable:
        self._check(values)
        dealt = {}
        for name, (ids, rows) in values.items():
            keys = as_ids(ids)
            if keys.ndim != 1:
                raise ShapeError(f"ids of {call} must have rank 1, got shape {list(keys.shape)} ({name!r})")
            flat = rows_of(as_floats(rows, "values"), len(keys), self.dims[name], f"{call}, table {name!r}")
            dealt[name] = (_Deal(keys, len(self.shards)), flat.reshape(len(keys), self.dims[name]))
        for shard, tables in enumerate(self.shards):
            part = {name: (deal.ids_of(shard), rows[deal.positions[shard]]) for name, (deal, rows) in dealt.items()}
            getattr(tables, call)(part, *args)
        return copy.copy(self)

    def assign(self, values: Mapping[str, Any]) -> DistributedMultiTypeHashTable:
        """Set rows, in order, at time 0: ``{name: (ids, values)}``."""
        return self._dealt("assign", values)

    def assign_add(self, values: Mapping[str, Any]) -> DistributedMultiTypeHashTable:
        """Add to rows, in order, at time 0."""
        return self._dealt("assign_add", values)

    def reinitialize(
        self, name: str, ids: Any, req_time: Any = None
    ) -> tuple[DistributedMultiTypeHashTable, NDArray[np.int32]]:
        """Initialise rows again; statuses in the order of ids (``reinit_status_shard_order``: shard after shard)."""
        keys = as_ids(ids).reshape(-1)
        deal = _Deal(keys, len(self.shards))
        parts = [tables.reinitialize(name, deal.ids_of(shard), req_time)[1] for shard, tables in enumerate(self.shards)]
        if "reinit_status_shard_order" in self.shards[0].quirks:
            return copy.copy(self), np.concatenate(parts)
        statuses = np.empty(len(keys), np.int32)
        for positions, part in zip(deal.positions, parts, strict=True):
            statuses[positions] = part
        return copy.copy(self), statuses


class PartitionedHashTable(DistributedMultiTypeHashTable):
    """As :class:`DistributedMultiTypeHashTable`; the time of an update is the maximum of its batch's times."""

    def apply_gradients(
        self, gradients: Mapping[str, Any], global_step: Any, req_time: Any = None
    ) -> DistributedMultiTypeHashTable:
        """One step per table and distinct id; ``req_time`` is one time or int64[rows]."""
        if req_time is not None:
            times = as_ids(as_array(req_time, "req_time"), "req_time")
            req_time = as_int(int(times.max()), "req_time") if times.size else 0
        return super().apply_gradients(gradients, global_step, req_time)
