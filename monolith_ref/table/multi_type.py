"""Tables by slot: one single table each, or slots of equal configuration merged. Rule: tables 9, entry 6.5."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.entry import HashTableConfigInstance
from monolith_ref.errors import ConfigError, ShapeError, UnknownNameError, UnsupportedError
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.table.arrays import as_floats, as_ids, as_int
from monolith_ref.table.fused import FusedLookup, fused_apply, fused_find
from monolith_ref.table.hash_table import HashTable
from monolith_ref.table.naming import MergedTable, merge_tables

__all__ = ["MergedMultiTypeHashTable", "MultiTypeHashTable", "fused_apply_gradient", "fused_lookup"]


def fused_lookup(
    tables: Sequence[HashTable], ids: Any, fused_slot_size: Any, num_of_shards: Any, req_time: Any = None
) -> FusedLookup:
    """A fused lookup over single tables, in the order given. ``req_time`` is taken and not used."""
    return fused_find([table.table for table in tables], ids, fused_slot_size, num_of_shards)


def fused_apply_gradient(
    tables: Sequence[HashTable],
    ids: Any,
    indices: Any,
    fused_slot_size: Any,
    id_grads: Any,
    id_offsets: Any,
    grad_offsets: Any,
    learning_rate_tensors: Any,
    req_time: Any,
    global_step: Any,
    num_of_shards: Any,
    enable_grad_accumulation: bool = False,
) -> list[HashTable]:
    """A fused update over single tables; ``learning_rate_tensors``: the rates of all tables, one after the other."""
    cores = [table.table for table in tables]
    flat = np.concatenate([as_floats(part, "learning rates").reshape(-1) for part in _parts(learning_rate_tensors)])
    ends = np.cumsum([core.segments for core in cores])
    surplus = cores and "extra_learning_rates" in cores[0].quirks
    if len(flat) < ends[-1] or (len(flat) > ends[-1] and not surplus):
        raise ShapeError(f"the tables have {int(ends[-1])} segments, got {len(flat)} learning rates")
    rates = [np.ascontiguousarray(part) for part in np.split(flat, ends)[: len(cores)]]
    fused_apply(
        cores,
        ids,
        fused_slot_size,
        id_grads,
        id_offsets,
        grad_offsets,
        rates,
        as_int(global_step, "global_step"),
        0 if req_time is None else as_int(req_time, "req_time"),
        num_of_shards,
        enable_grad_accumulation,
    )
    return [copy.copy(table) for table in tables]


def _parts(rates: Any) -> list[Any]:
    if isinstance(rates, (list, tuple)) and rates and not isinstance(rates[0], (int, float, np.number)):
        return list(rates)
    return [rates]


class MultiTypeHashTable:
    """One single table per slot, created in sorted slot order by ``factory(name_suffix, config)``.

    ConfigError for no slot at all; a call with an unknown slot is an UnknownNameError before anything changes.
    """

    def __init__(
        self,
        slot_to_config: Mapping[str, HashTableConfigInstance],
        factory: Callable[[str, HashTableConfigInstance], HashTable],
    ) -> None:
        if not slot_to_config:
            raise ConfigError("a multi type table needs at least one slot")
        self.tables: dict[str, HashTable] = {
            slot: factory(slot, slot_to_config[slot]) for slot in sorted(slot_to_config)
        }

    @property
    def table_names(self) -> list[str]:
        """Slots, sorted."""
        return list(self.tables)

    def get_table_dim_sizes(self) -> list[int]:
        """Floats per row, in sorted slot order."""
        return [table.dim_size for table in self.tables.values()]

    def _check(self, slots: Mapping[str, Any]) -> None:
        for slot in slots:
            if slot not in self.tables:
                raise UnknownNameError(f"there is no slot {slot!r}; there are {self.table_names}")

    def _with(self, changed: Mapping[str, HashTable]) -> MultiTypeHashTable:
        other = copy.copy(self)
        other.tables = {**self.tables, **changed}
        return other

    def lookup(self, slot_to_ids: Mapping[str, Any], *args: Any, **kwargs: Any) -> dict[str, NDArray[np.float32]]:
        """Rows of ids by slot."""
        self._check(slot_to_ids)
        return {slot: self.tables[slot].lookup(ids, *args, **kwargs) for slot, ids in slot_to_ids.items()}

    def _forward(self, call: str, pairs: Mapping[str, Any], args: Any, kwargs: Any) -> MultiTypeHashTable:
        self._check(pairs)
        changed = {}
        for slot, (ids, values) in pairs.items():
            changed[slot] = getattr(self.tables[slot], call)(ids, values, *args, **kwargs)
        return self._with(changed)

    def assign(self, slot_to_ids_and_values: Mapping[str, Any], *args: Any, **kwargs: Any) -> MultiTypeHashTable:
        """``{slot: (ids, values)}``; further arguments go to every table."""
        return self._forward("assign", slot_to_ids_and_values, args, kwargs)

    def assign_add(self, slot_to_ids_and_values: Mapping[str, Any], *args: Any, **kwargs: Any) -> MultiTypeHashTable:
        """``{slot: (ids, values)}``; further arguments go to every table."""
        return self._forward("assign_add", slot_to_ids_and_values, args, kwargs)

    def apply_gradients(
        self, slot_to_ids_and_grads: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> MultiTypeHashTable:
        """``{slot: (ids, grads)}``; further arguments (global_step, ...) go to every table."""
        return self._forward("apply_gradients", slot_to_ids_and_grads, args, kwargs)

    def fused_lookup(self, ids: Any, fused_slot_size: Any, num_of_shards: Any, req_time: Any = None) -> FusedLookup:
        """Tables in sorted slot order."""
        return fused_lookup(list(self.tables.values()), ids, fused_slot_size, num_of_shards, req_time)

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
    ) -> MultiTypeHashTable:
        """Tables and rates in sorted slot order."""
        step = as_int(global_step, "global_step")
        rates = [table.learning_rates(step) for table in self.tables.values()]
        changed = fused_apply_gradient(
            list(self.tables.values()),
            ids,
            indices,
            fused_slot_size,
            id_grads,
            id_offsets,
            grad_offsets,
            rates,
            req_time,
            step,
            num_of_shards,
            enable_grad_accumulation,
        )
        return self._with(dict(zip(self.tables, changed, strict=True)))

    def reinitialize(self, *args: Any, **kwargs: Any) -> Any:
        """Not offered: UnsupportedError."""
        raise UnsupportedError("a multi type table has no reinitialize")


class MergedMultiTypeHashTable:
    """Slots of equal configuration share one table; ``factory(merged_configs)`` makes the tables.

    Ids and values of the slots of a table are put one after the other in sorted slot order, and results cut apart
    again; an id in two merged slots is one row.

    Attributes
    ----------
    merged : list of MergedTable
        The tables, their slots and their configurations.
    """

    def __init__(
        self,
        slot_to_config: Mapping[str, HashTableConfigInstance],
        factory: Callable[[dict[str, HashTableConfigInstance]], Any],
        *,
        quirks: str | Quirks | None = None,
    ) -> None:
        self.merged: list[MergedTable] = merge_tables(slot_to_config, quirks=as_quirks(quirks))
        self._table_of = {slot: table.name for table in self.merged for slot in table.features}
        self._inner = factory({table.name: table.config for table in self.merged})

    @property
    def inner(self) -> Any:
        """The tables by merged name."""
        return self._inner

    @property
    def slot_to_merged(self) -> dict[str, str]:
        """Merged table name of every slot."""
        return dict(self._table_of)

    def get_table_dim_sizes(self) -> list[int]:
        """Floats per row, in sorted order of merged names."""
        sizes: list[int] = self._inner.get_table_dim_sizes()
        return sizes

    def _groups(self, slots: Mapping[str, Any]) -> dict[str, list[str]]:
        for slot in slots:
            if slot not in self._table_of:
                raise UnknownNameError(f"there is no slot {slot!r}; there are {sorted(self._table_of)}")
        groups: dict[str, list[str]] = {}
        for slot in sorted(slots):
            groups.setdefault(self._table_of[slot], []).append(slot)
        return groups

    def _with(self, inner: Any) -> MergedMultiTypeHashTable:
        other = copy.copy(self)
        other._inner = inner
        return other

    def lookup(self, slot_to_ids: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Rows of ids by slot (with the inner table's auxiliary bundle, where it gives one)."""
        groups = self._groups(slot_to_ids)
        keys = {slot: as_ids(ids).reshape(-1) for slot, ids in slot_to_ids.items()}
        merged = {name: np.concatenate([keys[slot] for slot in slots]) for name, slots in groups.items()}
        found = self._inner.lookup(merged, *args, **kwargs)
        rows, bundle = found if isinstance(found, tuple) else (found, None)
        out: dict[str, Any] = {}
        for name, slots in groups.items():
            cuts = np.cumsum([len(keys[slot]) for slot in slots])[:-1]
            out.update(zip(slots, np.split(rows[name], cuts), strict=True))
        return (out, bundle) if isinstance(found, tuple) else out

    def _pairs(self, pairs: Mapping[str, Any]) -> dict[str, Any]:
        merged = {}
        for name, slots in self._groups(pairs).items():
            ids = [as_ids(pairs[slot][0]).reshape(-1) for slot in slots]
            values = []
            for slot, keys in zip(slots, ids, strict=True):
                floats = as_floats(pairs[slot][1], "values")
                width = floats.shape[-1] if floats.ndim > 1 else (floats.size // len(keys) if len(keys) else 0)
                if floats.size != len(keys) * width:
                    raise ShapeError(f"slot {slot!r}: {floats.size} floats do not belong to {len(keys)} ids")
                if len(keys):
                    values.append(floats.reshape(len(keys), width))
            if len({part.shape[1] for part in values}) > 1:
                raise ShapeError(f"slots {slots} of one table bring rows of different widths")
            joined = np.concatenate(values) if values else np.empty(0, np.float32)
            merged[name] = (np.concatenate(ids), joined)
        return merged

    def assign(self, slot_to_ids_and_values: Mapping[str, Any], *args: Any, **kwargs: Any) -> MergedMultiTypeHashTable:
        """``{slot: (ids, values)}``."""
        return self._with(self._inner.assign(self._pairs(slot_to_ids_and_values), *args, **kwargs))

    def assign_add(
        self, slot_to_ids_and_values: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> MergedMultiTypeHashTable:
        """``{slot: (ids, values)}``."""
        return self._with(self._inner.assign_add(self._pairs(slot_to_ids_and_values), *args, **kwargs))

    def apply_gradients(
        self, slot_to_ids_and_grads: Mapping[str, Any], *args: Any, skip_merge_id: bool = False, **kwargs: Any
    ) -> MergedMultiTypeHashTable:
        """``{slot: (ids, grads)}``; with ``skip_merge_id`` gradients only, for inner tables that know the ids."""
        if not skip_merge_id:
            return self._with(self._inner.apply_gradients(self._pairs(slot_to_ids_and_grads), *args, **kwargs))
        grads = {
            name: np.concatenate([as_floats(slot_to_ids_and_grads[slot], "grads") for slot in slots])
            for name, slots in self._groups(slot_to_ids_and_grads).items()
        }
        return self._with(self._inner.apply_gradients(grads, *args, skip_merge_id=True, **kwargs))

    def reinitialize(self, *args: Any, **kwargs: Any) -> Any:
        """Not offered: UnsupportedError."""
        raise UnsupportedError("a merged table has no reinitialize")
