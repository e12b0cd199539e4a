"""MultiHashTable: several tables behind one handle, in sorted name order. Rule: tables 8.

All tables share one filter, one touched-key set and one pair of random streams. Every argument of a call is checked for
all tables before any of them changes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from monolith_kernels.target import Target
from monolith_protos.table_handle_pb2 import MultiHashTableProto
from numpy.typing import NDArray

from monolith_ref.entry import HashTableConfigInstance
from monolith_ref.errors import ConfigError, ShapeError, UnknownNameError
from monolith_ref.learning_rate import LrProfile
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.table.admission import AdmissionFilter, DummyFilter
from monolith_ref.table.arrays import as_floats, as_ids, as_int, optional_time, rows_of
from monolith_ref.table.config import Expiry
from monolith_ref.table.core import Table
from monolith_ref.table.entries import Snapshots, lookup_entries
from monolith_ref.table.flat import RaggedId, check_ragged, flat_values, ragged_ids, split_values
from monolith_ref.table.flat_calls import FlatCalls, Pairs
from monolith_ref.table.hash_table import claim, serving_config
from monolith_ref.table.names import NameScope, default_scope
from monolith_ref.table.streams import RandomStreams
from monolith_ref.table.touched import TouchedKeySet

__all__ = ["MultiHashTable"]


class MultiHashTable(FlatCalls):
    """Tables by name. Made by :meth:`from_configs`; updating calls return an object that shares the tables.

    Attributes
    ----------
    tables : dict of name to Table
        In sorted name order.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        configs: Mapping[str, HashTableConfigInstance],
        shared_name: str,
        quirks: Quirks,
        *,
        saver_parallel: int = -1,
        lr_profile: LrProfile = "plain",
    ) -> None:
        self.tables: dict[str, Table] = {name: tables[name] for name in sorted(tables)}
        self.configs = dict(configs)
        self.quirks = quirks
        self.saver_parallel = saver_parallel
        self._shared_name = shared_name
        self._lr_profile: LrProfile = lr_profile
        self._list = list(self.tables.values())
        self._snapshots = {name: Snapshots(table) for name, table in self.tables.items()}

    @staticmethod
    def from_configs(
        configs: Mapping[str, HashTableConfigInstance],
        hash_filter: AdmissionFilter | None = None,
        sync_client: TouchedKeySet | None = None,
        name_suffix: str = "",
        saver_parallel: int = -1,
        *,
        exporting: bool = False,
        target: Target | None = None,
        streams: RandomStreams | None = None,
        quirks: str | Quirks | None = None,
        check_numerics: bool = False,
        lr_profile: LrProfile = "plain",
        scope: NameScope | None = None,
    ) -> MultiHashTable:
        """Tables of these configurations, as resource ``MonolithMultiHashTable_<name_suffix>``.

        Raises ConfigError where a configuration cannot be built (naming the table), StateError while another table has
        the name.
        """
        if not configs:
            raise ConfigError("a multi table needs at least one table")
        switches = as_quirks(quirks)
        shared_filter = hash_filter if hash_filter is not None else DummyFilter(quirks=switches)
        shared_streams = streams or RandomStreams(switches)
        tables = {}
        for name in sorted(configs):
            config = configs[name]
            if not isinstance(config, HashTableConfigInstance):
                raise ConfigError(f"table {name!r} needs a HashTableConfigInstance, got {type(config).__name__}")
            message = serving_config(config.table_config) if exporting else config.table_config
            if len(config.learning_rate_fns) != len(message.entry_config.segments):
                raise ConfigError(f"table {name!r}: Size of learning_rate_fns and size of segments must be equal.")
            try:
                tables[name] = Table(
                    name,
                    message,
                    target=target,
                    streams=shared_streams,
                    filter=shared_filter,
                    touched=sync_client,
                    quirks=switches,
                    check_numerics=check_numerics,
                )
            except ConfigError as error:
                raise ConfigError(f"table {name!r}: {error}") from None
        shared_name = f"MonolithMultiHashTable_{name_suffix}"
        handle = MultiHashTable(
            tables, configs, shared_name, switches, saver_parallel=saver_parallel, lr_profile=lr_profile
        )
        claim(handle, shared_name, scope)
        return handle

    # ---- what it is

    @property
    def shared_name(self) -> str:
        """Resource name."""
        return self._shared_name

    @property
    def name(self) -> str:
        """Resource name."""
        return self._shared_name

    @property
    def table_names(self) -> list[str]:
        """Names, sorted."""
        return list(self.tables)

    @property
    def handle(self) -> MultiHashTable:
        """The handle."""
        return self

    @property
    def initializer(self) -> None:
        """Nothing has to be run before use."""
        return None

    def as_op(self) -> MultiHashTable:
        """The handle."""
        return self

    @property
    def streams(self) -> RandomStreams:
        """The random streams that its tables share."""
        return self._list[0].streams

    @property
    def hash_filter(self) -> AdmissionFilter:
        """The filter that its tables share."""
        return self._list[0].filter

    def get_table_dim_sizes(self) -> list[int]:
        """Floats per row of every table, in sorted name order."""
        return [table.dim for table in self._list]

    def size(self) -> dict[str, int]:
        """Rows present, by table."""
        return {name: table.size for name, table in self.tables.items()}

    def memory_usage(self) -> dict[str, dict[str, int]]:
        """Bytes by table and part."""
        return {name: table.memory_usage() for name, table in self.tables.items()}

    def saving_expiry(self, name: str) -> Expiry:
        """The expiry by which saving leaves rows out: the table's own.

        ``multi_expiry_first_table``: the first non-empty one of all tables.
        """
        if "multi_expiry_first_table" in self.quirks:
            for table in self._list:
                if table.expiry.config.ByteSize():
                    return table.expiry
        return self.table(name).expiry

    def table(self, name: str) -> Table:
        """One table; UnknownNameError where there is none."""
        if name not in self.tables:
            raise UnknownNameError(f"there is no table {name!r}; there are {self.table_names}")
        return self.tables[name]

    def _known(self, names: Iterable[str]) -> list[str]:
        """The given names that are tables, sorted; UnknownNameError for others unless they are to be ignored."""
        if "multi_ignore_unknown_slots" not in self.quirks:
            for name in names:
                self.table(name)
        return sorted(name for name in names if name in self.tables)

    # ---- rates

    def learning_rates(self, global_step: int = 0) -> list[NDArray[np.float32]]:
        """The rates of every table at a step, in table order (``multi_lr_insertion_order``: dealt out as given)."""
        vectors = {
            name: config.call_learning_rate_fns(global_step, self._lr_profile) for name, config in self.configs.items()
        }
        if "multi_lr_insertion_order" not in self.quirks:
            return [vectors[name] for name in self.tables]
        flat = np.concatenate(list(vectors.values()))
        ends = np.cumsum([table.segments for table in self._list])
        return [np.ascontiguousarray(part) for part in np.split(flat, ends)[: len(self._list)]]

    # ---- layouts

    def get_ragged_id(self, ids: Mapping[str, Any]) -> RaggedId:
        """Ids by table name, as one ragged id in table order."""
        self._known(ids)
        return ragged_ids(self.table_names, ids)

    def get_flat_value(self, values: Mapping[str, Any]) -> NDArray[np.float32]:
        """Values by table name, flattened in table order."""
        self._known(values)
        return flat_values(self.table_names, values)

    def get_embeddings(self, ragged_id: Any, flat: Any) -> dict[str, NDArray[np.float32]]:
        """Flat values as ``[n, dim]`` of every table."""
        ragged = check_ragged(ragged_id, len(self._list))
        parts = split_values(ragged, flat, self.get_table_dim_sizes(), self.table_names)
        return {
            table.name: floats.reshape(len(ids), table.dim)
            for table, (ids, floats) in zip(self._list, parts, strict=True)
        }

    # ---- calls by name

    def lookup(self, ids: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        """Rows of ids by table name, float32 ``[n, dim]``; only the names asked."""
        asked = {name: as_ids(ids[name]).reshape(-1) for name in self._known(ids)}
        return {name: self.tables[name].lookup(keys)[0] for name, keys in asked.items()}

    def _pairs(self, values: Mapping[str, Any], what: str, *, any_rank: bool = False) -> Pairs:
        pairs: Pairs = []
        for name in self._known(values):
            table = self.tables[name]
            try:
                ids, floats = values[name]
            except (TypeError, ValueError):
                raise ShapeError(f"{what}: table {name!r} needs a pair of ids and values") from None
            keys = as_ids(ids)
            if keys.ndim != 1:
                if not any_rank:
                    raise ShapeError(f"ids of {what} must have rank 1, got shape {list(keys.shape)} ({name!r})")
                keys = keys.reshape(-1)
            flat = rows_of(as_floats(floats, "values"), len(keys), table.dim, f"{what}, table {name!r}")
            pairs.append((table, keys, flat))
        return pairs

    def assign(
        self, values: Mapping[str, Any], req_time: Any = None, enable_inter_table_parallelism: bool = False
    ) -> MultiHashTable:
        """Set rows: ``{name: (ids [n], values [n, dim])}``; times become ``req_time`` (None: 0)."""
        when = optional_time(req_time)
        if "multi_assign_ignores_req_time" in self.quirks:
            when = 0
        return self._assign(self._pairs(values, "assign"), when)

    def _assign(self, pairs: Pairs, when: int) -> Self:
        self._check(pairs, when, "values")
        for table, keys, flat in pairs:
            table.assign(keys, flat, when)
        return copy.copy(self)

    def assign_add(self, values: Mapping[str, Any], req_time: Any = None) -> MultiHashTable:
        """Add to rows: ``{name: (ids [n], values [n, dim])}``."""
        pairs, when = self._pairs(values, "assign_add"), optional_time(req_time)
        self._check(pairs, when, "values")
        for table, keys, flat in pairs:
            table.assign_add(keys, flat, when, one_by_one=False)
        return copy.copy(self)

    def apply_gradients(self, gradients: Mapping[str, Any], global_step: Any, req_time: Any = None) -> MultiHashTable:
        """One optimizer step per position: ``{name: (ids, grads)}``, tables in order."""
        return self._apply(self._pairs(gradients, "apply_gradients", any_rank=True), global_step, req_time)

    def _apply(self, pairs: Pairs, global_step: Any, req_time: Any) -> Self:
        step, when = as_int(global_step, "global_step"), optional_time(req_time)
        rates = dict(zip(self.tables, self.learning_rates(step), strict=True))
        for table, _, _ in pairs:
            table.check_update(rates[table.name], step, when)
        self._check(pairs, when, "gradients")
        for table, keys, flat in pairs:
            table.optimize(keys, flat, rates[table.name], step, when)
        return copy.copy(self)

    @staticmethod
    def _check(pairs: Pairs, when: int, what: str) -> None:
        for table, keys, flat in pairs:
            table.row_time(when)
            table.check_finite(keys, flat, what)

    def reinitialize(self, name: str, ids: Any, req_time: Any = None) -> tuple[MultiHashTable, NDArray[np.int32]]:
        """Initialise rows again; status 1 known, 0 new (-1 for all of an unknown table, where those are ignored)."""
        keys = as_ids(ids).reshape(-1)
        if name not in self.tables and "multi_ignore_unknown_slots" in self.quirks:
            return copy.copy(self), np.full(len(keys), -1, np.int32)
        when = None if req_time is None else as_int(req_time, "req_time")
        return copy.copy(self), self.table(name).reinitialize(keys, when)

    def lookup_entry(self, ids: Mapping[str, Any]) -> dict[str, NDArray[np.object_]]:
        """Serialised EntryDumps without id, by table name; ``b""`` where absent."""
        asked = {name: as_ids(ids[name]).reshape(-1) for name in self._known(ids)}
        return {name: lookup_entries(self.tables[name], keys) for name, keys in asked.items()}

    def evict(self) -> dict[str, int]:
        """Remove stale rows, each table by its own expiry and maximum time. Returns how many went, by table."""
        return {name: table.evict() for name, table in self.tables.items()}

    def clear(self) -> MultiHashTable:
        """Remove every row of every table."""
        for table in self._list:
            table.clear()
        return copy.copy(self)

    # ---- files and protos

    def save_as_tensor(
        self, name: str, shard_idx: int, num_shards: int, limit: int, offset: int
    ) -> tuple[int, list[bytes]]:
        """As ``HashTable.save_as_tensor``, of one table."""
        self.table(name)
        return self._snapshots[name].batch(shard_idx, num_shards, limit, offset)

    def save(self, basename: str) -> MultiHashTable:
        """Write the files of all tables; stale rows are left out."""
        from monolith_ref.checkpoint.api import save_multi_table

        save_multi_table(basename, self)
        return copy.copy(self)

    def restore(self, basename: str) -> MultiHashTable:
        """Read the files of all tables; they are cleared first (``multi_restore_keeps_rows``: not)."""
        from monolith_ref.checkpoint.api import restore_multi_table

        restore_multi_table(basename, self)
        return copy.copy(self)

    def feature_stat(self, basename: str) -> dict[str, int]:
        """Rows by table in the files of ``basename``."""
        from monolith_ref.checkpoint.api import feature_stat

        return feature_stat(basename)

    def to_proto(self) -> MultiHashTableProto:
        """What a graph collection keeps of these tables."""
        expiry = next((t.expiry.config for t in self._list if t.expiry.config.ByteSize()), None)
        return MultiHashTableProto(
            dims=self.get_table_dim_sizes(),
            slot_expire_time_config=expiry.SerializeToString() if expiry is not None else b"",
            table_names=self.table_names,
            learning_rate_tensor=f"{self._shared_name}/learning_rate:0",
            shared_name=self._shared_name,
            saver_parallel=self.saver_parallel,
            initializer_op=f"{self._shared_name}/init",
            handle_tensor=f"{self._shared_name}:0",
        )

    @staticmethod
    def from_proto(proto: MultiHashTableProto, scope: NameScope | None = None) -> MultiHashTable:
        """The live tables of that shared name; UnknownNameError where there are none."""
        found: MultiHashTable = copy.copy((scope or default_scope).find(proto.shared_name).handle)
        return found
