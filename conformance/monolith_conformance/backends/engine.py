"""The engine as a backend: one implementation among the others, in one process, on any target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2
from numpy.typing import NDArray

from monolith_conformance.backends import engine_dump, engine_files
from monolith_conformance.backends.dump_requests import DumpBackend
from monolith_conformance.backends.file_requests import FileBackend, Tables
from monolith_conformance.backends.filters import FILTER_KINDS, FilterSpec, SharedFilters, play_filter
from monolith_conformance.backends.sync_requests import SyncStep
from monolith_conformance.backends.tables import COMBINERS, F4, TableAdaptor
from monolith_conformance.entries import row_of
from monolith_conformance.oracle.table import Row
from monolith_ref.errors import ArgumentError, ConfigError, EnvironmentMissing
from monolith_ref.quirks import Quirks

__all__ = ["CudaBackend", "EngineBackend"]


class _Table:
    """A table of the engine behind the protocol's operations."""

    def __init__(self, table: Any, rules: list[str]) -> None:
        self.table = table
        self.dim, self.segments, self.serving = table.dim, table.segments, table.serving
        self._rules = rules

    def lookup(self, ids: NDArray[np.int64]) -> tuple[F4, int]:
        rows, found = self.table.lookup(ids)
        return rows, found

    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = self.table.contains(ids)
        return known

    def size(self) -> int:
        return int(self.table.size)

    def assign(self, ids: NDArray[np.int64], values: F4, time: int) -> None:
        self.table.assign(ids, values.reshape(-1), time)

    def assign_add(self, ids: NDArray[np.int64], values: F4, time: int) -> None:
        self.table.assign_add(ids, values.reshape(-1), time)

    def optimize(self, ids: NDArray[np.int64], grads: F4, rates: F4, time: int, global_step: int, dedup: bool) -> None:
        self.table.optimize(ids, grads.reshape(-1), rates.astype(np.float32), global_step, time, dedup=dedup)

    def reinitialize(self, ids: NDArray[np.int64], time: int) -> NDArray[np.int32]:
        statuses: NDArray[np.int32] = self.table.reinitialize(ids, time)
        return statuses

    def lookup_entry(self, ids: NDArray[np.int64]) -> list[bytes]:
        from monolith_ref.table.entries import lookup_entries

        return list(lookup_entries(self.table, ids))

    def evict(self, reference: int) -> int:
        return int(self.table.evict(reference))

    def save(self) -> list[bytes]:
        from monolith_ref.table.entries import entry_messages

        store = self.table.training_store
        ids, rows = store.items()
        order = np.argsort(ids, kind="stable")
        return entry_messages(self.table, store.export(rows[order], ids[order]), with_id=True)

    def restore(self, entries: Sequence[bytes]) -> int:
        from monolith_ref.table.store import RowDump

        rows = [row_of(entry, self._rules) for entry in entries]
        weights, widths = self._weights(rows)
        dump = RowDump(
            np.array([row.id for row in rows], np.int64),
            weights,
            [self._state(number, rows) for number in range(self.segments)],
            np.array([row.ts & 0xFFFFFFFF for row in rows], np.uint32),
        )
        return int(self.table.restore(dump, widths))

    def clear(self) -> None:
        self.table.clear()

    def _weights(self, rows: list[Row]) -> tuple[F4, NDArray[np.int64]]:
        weights = np.zeros((len(rows), self.dim), np.float32)
        widths = np.array([len(row.num) for row in rows], np.int64)
        for target, row in zip(weights, rows, strict=True):
            if len(row.num) > self.dim:
                raise ArgumentError(f"id {row.id}: {len(row.num)} floats for a row of {self.dim}")
            target[: len(row.num)] = row.num
        return weights, widths

    def _state(self, number: int, rows: list[Row]) -> dict[str, NDArray[Any]]:
        """State of one segment of all rows, by dump field."""
        if self.serving or not rows:
            return {}
        first = rows[0].opt[number]
        try:
            return {name: np.stack([np.asarray(row.opt[number][name]) for row in rows]) for name in first}
        except (ValueError, KeyError) as error:
            raise ArgumentError(f"segment {number}: states of different shapes ({error})") from None


class EngineBackend(DumpBackend):
    """The engine on a target, in one process."""

    target_name = "cpu"
    file_ops = (*FileBackend.file_ops, "job.write", "delta.write", "job.read")

    def start(self, profile: str, quirks: Quirks) -> None:
        from monolith_kernels.target import target

        from monolith_ref.table.streams import RandomStreams

        super().start(profile, quirks)
        self.target = target(self.target_name, profile)
        self.streams = RandomStreams(quirks)
        self.filters = SharedFilters(self._filter)
        self._jobs = engine_files.Jobs()

    def capabilities(self) -> list[str]:
        names = super().capabilities()
        names += [f"combiner.{kind}" for kind in COMBINERS]
        names += [f"filter.{kind}" for kind in FILTER_KINDS]
        names += ["filter.admission"]
        return names

    def new_table(self, config: hash_table_pb2.EmbeddingHashTableConfig, filter_kind: str) -> TableAdaptor:
        from monolith_ref.table.core import Table

        filter = self.filters.get(filter_kind)[0] if filter_kind else None
        made = Table(
            f"table_{len(self.tables)}",
            config,
            target=self.target,
            streams=self.streams,
            filter=filter,
            quirks=self.quirks,
            bare=True,
        )
        rules = [str(segment.opt_config.WhichOneof("type")) for segment in config.entry_config.segments]
        return _Table(made, rules)

    def combine(self, message: testee_pb2.Combine) -> testee_pb2.Result:
        from monolith_ref.features.reduce import Reducer

        reducer = Reducer(self.target, quirks=self.quirks)
        splits = np.array(message.row_splits, np.int64)
        values = np.frombuffer(message.floats, "<f4").reshape(-1, message.dim)
        if message.upstream:
            shape = (len(splits) - 1, message.n, message.dim) if message.kind == "first_n" else (-1, message.dim)
            upstream = np.frombuffer(message.upstream, "<f4").reshape(shape)
            out = reducer.gradient(message.kind, upstream, values, splits, message.n)
        else:
            out = reducer.combine(message.kind, values, splits, message.n)
        return testee_pb2.Result(floats=out.astype("<f4").tobytes())

    def filter(self, message: testee_pb2.Filter) -> testee_pb2.Result:
        return play_filter(self._filter(FilterSpec(message.kind, message.capacity, message.split_num or 7)), message)

    def _filter(self, spec: FilterSpec) -> Any:
        from monolith_ref.table import admission
        from monolith_ref.table.thresholds import slot_thresholds

        config = slot_thresholds(spec.thresholds, spec.default)
        if spec.kind in ("hash", "hash_u8"):
            bits = 16 if spec.kind == "hash" else 8
            return admission.HashFilter(spec.capacity, config=config, bits=bits, quirks=self.quirks)
        if spec.kind == "sliding":
            return admission.SlidingHashFilter(spec.capacity, spec.split_num, config=config, quirks=self.quirks)
        if spec.kind == "dummy":
            return admission.DummyFilter(config, quirks=self.quirks)
        if spec.kind in ("probabilistic", "probabilistic_equal"):
            return admission.ProbabilisticFilter(spec.kind.endswith("equal"), config, quirks=self.quirks)
        raise ConfigError(f"filter kind {spec.kind!r}")

    def owners(self, ids: NDArray[np.int64], ranks: int, empty_rank0: bool) -> NDArray[np.int32]:
        out = self.target.empty(len(ids), np.int32)
        self.target.shard.owners(self.target.asarray(ids), ranks, empty_rank0, out)
        return np.asarray(self.target.to_host(out))

    def split(
        self, ids: NDArray[np.int64], ranks: int, empty_rank0: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        target = self.target
        unique = target.dedup.unique_tables(target.asarray(ids), np.array([0, len(ids)], np.int64))
        sent = target.shard.split(unique.unique, unique.unique_splits, ranks, empty_rank0)
        return sent.owner_counts, np.asarray(target.to_host(sent.ids))

    def play(self, table: TableAdaptor, step: SyncStep) -> None:
        from monolith_conformance.backends.engine_sync import play_step

        play_step(_ours(table), self.target, step)

    def write_single(self, table: TableAdaptor, path: Path, shards: int) -> int:
        return engine_files.write_single(_ours(table), path, shards)

    def read_single(self, table: TableAdaptor, path: Path) -> int:
        return engine_files.read_single(_ours(table), path)

    def write_multi(self, tables: Tables, path: Path, shards: int) -> list[int]:
        return engine_files.write_multi(_all_ours(tables), path, shards, self.quirks)

    def read_multi(self, tables: Tables, path: Path) -> list[int]:
        return engine_files.read_multi(_all_ours(tables), path, self.quirks)

    def write_filter(self, table: TableAdaptor, path: Path) -> int:
        return engine_files.write_filter(_ours(table), path)

    def read_filter(self, table: TableAdaptor, path: Path) -> int:
        return engine_files.read_filter(_ours(table), path)

    def write_job(self, tables: Tables, folder: Path, step: int, delta: bool) -> list[int]:
        return self._jobs.write(_all_ours(tables), folder, step, delta)

    def read_job(self, tables: Tables, folder: Path) -> list[int]:
        return self._jobs.read(_all_ours(tables), folder)

    def models_of(self, data: bytes) -> list[str]:
        return engine_dump.models_of(data)

    def canonical_of(self, data: bytes) -> bytes:
        return engine_dump.canonical_of(data)

    def slice_of(self, data: bytes, graph: tuple[str, str], dests: Sequence[str], sources: Sequence[str]) -> list[str]:
        return engine_dump.slice_of(data, graph, dests, sources)


def _ours(table: TableAdaptor) -> Any:
    assert isinstance(table, _Table)
    return table.table


def _all_ours(tables: Tables) -> dict[str, Any]:
    return {name: _ours(table) for name, table in tables.items()}


class CudaBackend(EngineBackend):
    """The engine on a CUDA device, or in the simulator where NUMBA_ENABLE_CUDASIM=1 was set before Numba was loaded."""

    name = "engine-cuda"
    target_name = "cuda"

    def start(self, profile: str, quirks: Quirks) -> None:
        from numba import cuda

        if not cuda.is_available():
            raise EnvironmentMissing(
                "engine-cuda needs a CUDA device, or the simulator: set NUMBA_ENABLE_CUDASIM=1 before starting"
            )
        super().start(profile, quirks)
