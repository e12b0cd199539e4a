"""HashTable: one embedding table under the calls that its users know. Rule: tables 7.

Methods act at once. Updating ones return an object that shares the table; older objects stay usable. Every argument is
checked before anything changes.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from monolith_kernels.target import Target
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig, EntryConfig
from monolith_protos.table_handle_pb2 import HashTableProto
from numpy.typing import NDArray

from monolith_ref.entry import (
    HashTableConfigInstance,
)
from monolith_ref.errors import ConfigError, ShapeError
from monolith_ref.learning_rate import LrProfile
from monolith_ref.quirks import Quirks
from monolith_ref.table.admission import AdmissionFilter
from monolith_ref.table.arrays import as_floats, as_ids, as_int, optional_time, rows_of
from monolith_ref.table.core import Table
from monolith_ref.table.entries import Snapshots, lookup_entries
from monolith_ref.table.names import NameScope, default_scope
from monolith_ref.table.streams import RandomStreams
from monolith_ref.table.touched import TouchedKeySet

__all__ = ["HashTable", "claim", "hash_table_from_config", "serving_config"]


def serving_config(config: EmbeddingHashTableConfig) -> EmbeddingHashTableConfig:
    """The serving copy of a table's message."""
    copied = EmbeddingHashTableConfig()
    copied.CopyFrom(config)
    copied.entry_config.entry_type = EntryConfig.SERVING
    copied.skip_zero_embedding = config.skip_zero_embedding
    copied.cuckoo.SetInParent()
    return copied


class HashTable:
    """A table of int64 ids. Made by :func:`hash_table_from_config`."""

    def __init__(
        self,
        table: Table,
        config: HashTableConfigInstance,
        shared_name: str,
        *,
        saver_parallel: int = -1,
        lr_profile: LrProfile = "plain",
    ) -> None:
        self._table = table
        self._config = config
        self._shared_name = shared_name
        self._snapshots = Snapshots(table)
        self._lr_profile: LrProfile = lr_profile
        numbers_only = not any(callable(rate) for rate in config.learning_rate_fns)
        self._constant_rates = config.call_learning_rate_fns() if numbers_only else None
        self.saver_parallel = saver_parallel

    # ---- what it is

    @property
    def name(self) -> str:
        """Resource name: ``MonolithHashTable_<suffix>``."""
        return self._shared_name

    @property
    def shared_name(self) -> str:
        """As :attr:`name`."""
        return self._shared_name

    @property
    def dim_size(self) -> int:
        """Floats per row."""
        return self._table.dim

    @property
    def table(self) -> Table:
        """The shared table behind this handle."""
        return self._table

    @property
    def config(self) -> HashTableConfigInstance:
        """The configuration that it was made from."""
        return self._config

    @property
    def extra_restore_names(self) -> list[str]:
        """Further names under which a checkpoint may hold it."""
        return self._config.extra_restore_names

    @property
    def hash_filter(self) -> AdmissionFilter:
        """Its admission filter."""
        return self._table.filter

    def as_op(self) -> Table:
        """The handle."""
        return self._table

    def table_update(self, op: Any = None) -> HashTable:
        """An object that shares this table."""
        return self._again()

    def _again(self) -> HashTable:
        """Another handle of the same table."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def size(self) -> int:
        """Rows present."""
        return self._table.size

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part."""
        return self._table.memory_usage()

    # ---- reading

    def lookup(self, ids: Any, use_multi_threads: bool = False, enable_dedup: bool = False) -> NDArray[np.float32]:
        """Rows of ids (any rank, flattened), float32 ``[numel, dim]``; absent ids read as +0.0 and stay absent."""
        return self._table.lookup(as_ids(ids).reshape(-1))[0]

    def contains(self, ids: Any) -> NDArray[np.bool_]:
        """Which ids (any rank, flattened) have a row."""
        return self._table.contains(as_ids(ids).reshape(-1))

    def lookup_entry(self, ids: Any) -> NDArray[np.object_]:
        """Serialised EntryDumps without id of ids (flattened), ``b""`` where absent. StateError for serving tables."""
        return lookup_entries(self._table, as_ids(ids).reshape(-1))

    # ---- writing

    def _rows(self, ids: Any, values: Any, what: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        keys = as_ids(ids)
        if keys.ndim != 1:
            raise ShapeError(f"ids of {what} must have rank 1, got shape {list(keys.shape)}")
        floats = as_floats(values, "values")
        flat = rows_of(floats, len(keys), self.dim_size, f"values of {what}")
        self._table.check_finite(keys, flat, "values")
        return keys, flat

    def assign(self, ids: Any, values: Any, req_time: Any = None) -> HashTable:
        """Set rows: ids int64 ``[n]``, values float32 ``[n, dim]``; state stays, times become ``req_time``."""
        keys, flat = self._rows(ids, values, "assign")
        self._table.assign(keys, flat, optional_time(req_time))
        return self._again()

    def assign_add(self, ids: Any, values: Any, req_time: Any = None) -> HashTable:
        """Add to rows, row by row."""
        keys, flat = self._rows(ids, values, "assign_add")
        self._table.assign_add(keys, flat, optional_time(req_time))
        return self._again()

    def apply_gradients(
        self,
        ids: Any,
        grads: Any,
        global_step: Any,
        use_multi_threads: bool = False,
        enable_dedup: bool = False,
        req_time: Any = None,
    ) -> HashTable:
        """One optimizer step per position, or per distinct id with ``enable_dedup``, at the learning rates of the step.

        ids of any rank, grads as flat floats of n * dim.
        """
        keys = as_ids(ids).reshape(-1)
        flat = rows_of(as_floats(grads, "grads"), len(keys), self.dim_size, "grads")
        self._table.check_finite(keys, flat, "gradients")
        step = as_int(global_step, "global_step")
        rates = self.learning_rates(step)
        self._table.optimize(keys, flat, rates, step, optional_time(req_time), dedup=enable_dedup)
        return self._again()

    def learning_rates(self, global_step: int = 0) -> NDArray[np.float32]:
        """The rates of all segments at a step."""
        if self._constant_rates is not None:
            return self._constant_rates
        return self._config.call_learning_rate_fns(global_step, self._lr_profile)

    def reinitialize(self, ids: Any, req_time: Any = None) -> tuple[HashTable, NDArray[np.int32]]:
        """Initialise rows again: status 1 for known ids, 0 for new; times become ``req_time`` (None: the clock)."""
        keys = as_ids(ids).reshape(-1)
        when = None if req_time is None else as_int(req_time, "req_time")
        return self._again(), self._table.reinitialize(keys, when)

    def evict(self, reference: int | None = None) -> int:
        """Remove stale rows, by the table's own maximum time unless a reference is given. Returns how many went."""
        return self._table.evict(reference)

    def clear(self) -> HashTable:
        """Remove every row."""
        self._table.clear()
        return self._again()

    # ---- files and protos

    def save_as_tensor(self, shard_idx: int, num_shards: int, limit: int, offset: int) -> tuple[int, list[bytes]]:
        """(offset behind the batch, serialised EntryDumps with id); see ``iterate_table_and_apply``."""
        return self._snapshots.batch(shard_idx, num_shards, limit, offset)

    def save(self, basename: str, random_sleep_ms: int = 0) -> HashTable:
        """Write the table's files; stale rows are left out. ``random_sleep_ms`` is taken and not used."""
        from monolith_ref.checkpoint.api import save_table

        save_table(basename, self)
        return self._again()

    def restore(self, basename: str) -> HashTable:
        """Read the table's files; the table is cleared first."""
        from monolith_ref.checkpoint.api import restore_table

        restore_table(basename, self)
        return self._again()

    def to_proto(self) -> HashTableProto:
        """What a graph collection keeps of this table."""
        return HashTableProto(
            table_tensor=f"{self._shared_name}:0",
            dim_size=self.dim_size,
            shared_name=self._shared_name,
            slot_expire_time_config=self._table.expiry.config.SerializeToString(),
            learning_rate_tensor=f"{self._shared_name}/learning_rate:0",
            saver_parallel=self.saver_parallel,
            extra_restore_names=self.extra_restore_names,
            export_share_embedding=HashTableProto.kBoolNone,
        )

    @staticmethod
    def from_proto(proto: HashTableProto, scope: NameScope | None = None) -> HashTable:
        """The live table of that shared name; UnknownNameError where there is none."""
        found: HashTable = copy.copy((scope or default_scope).find(proto.shared_name).handle)
        return found


class _Resource:
    """What keeps a name in use: handles share it, and it remembers the first of them."""

    def __init__(self, handle: Any) -> None:
        self.handle = copy.copy(handle)


def claim(handle: Any, name: str, scope: NameScope | None) -> None:
    """Keep ``name`` in use for as long as handles of this table live."""
    resource = _Resource(handle)
    (scope or default_scope).claim(name, resource)
    handle._resource = resource


def hash_table_from_config(
    config: HashTableConfigInstance,
    hash_filter: AdmissionFilter | None = None,
    name_suffix: str = "",
    sync_client: TouchedKeySet | None = None,
    saver_parallel: int = -1,
    *,
    exporting: bool = False,
    target: Target | None = None,
    streams: RandomStreams | None = None,
    quirks: str | Quirks | None = None,
    check_numerics: bool = False,
    lr_profile: LrProfile = "plain",
    scope: NameScope | None = None,
) -> HashTable:
    """A table named ``MonolithHashTable_<name_suffix>``.

    ``sync_client`` is the set that touched keys go to. ``exporting`` makes a serving table. Raises ConfigError where
    the configuration cannot be built and StateError while another table has the name.
    """
    if not isinstance(config, HashTableConfigInstance):
        raise ConfigError(f"a table needs a HashTableConfigInstance, got {type(config).__name__}")
    message = serving_config(config.table_config) if exporting else config.table_config
    if len(config.learning_rate_fns) != len(message.entry_config.segments):
        raise ConfigError("Size of learning_rate_fns and size of segments must be equal.")
    name = f"MonolithHashTable_{name_suffix}"
    table = Table(
        name,
        message,
        target=target,
        streams=streams,
        filter=hash_filter,
        touched=sync_client,
        quirks=quirks,
        check_numerics=check_numerics,
    )
    handle = HashTable(table, config, name, saver_parallel=saver_parallel, lr_profile=lr_profile)
    claim(handle, name, scope)
    return handle
