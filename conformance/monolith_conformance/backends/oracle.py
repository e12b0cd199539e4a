"""The suite's own truth as a backend: dictionaries, small arrays, one id at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2
from numpy.typing import NDArray

from monolith_conformance.backends import oracle_files
from monolith_conformance.backends.dump_requests import DumpBackend
from monolith_conformance.backends.file_requests import Tables
from monolith_conformance.backends.filters import FILTER_KINDS, FilterSpec, SharedFilters, play_filter
from monolith_conformance.backends.oracle_filters import Checked, make_filter
from monolith_conformance.backends.sync_requests import SyncStep
from monolith_conformance.backends.tables import COMBINERS, F4, TableAdaptor
from monolith_conformance.entries import entry_of, row_of
from monolith_conformance.oracle import combine, dump_slice, dump_wire, files, owners, reductions, rules
from monolith_conformance.oracle.table import OracleTable, Row
from monolith_ref.errors import ArgumentError, DumpError, StateError
from monolith_ref.table.config import check_table_config

__all__ = ["OracleBackend"]


class _Table:
    """An oracle table behind the protocol's operations."""

    def __init__(self, table: OracleTable, config: bytes) -> None:
        self.table, self.config = table, config
        self.dim, self.segments, self.serving = table.dim, len(table.segments), table.serving
        self._rules = [segment.rule for segment in table.segments]
        self._stepped = "batch_softmax" in self._rules

    def lookup(self, ids: NDArray[np.int64]) -> tuple[F4, int]:
        found, rows = self.table.lookup(ids.tolist())
        return rows, found

    def contains(self, ids: NDArray[np.int64]) -> list[bool]:
        return self.table.contains(ids.tolist())

    def size(self) -> int:
        return self.table.size()

    def assign(self, ids: NDArray[np.int64], values: F4, time: int) -> None:
        self._check_time(time)
        self.table.assign(ids.tolist(), values, time)

    def assign_add(self, ids: NDArray[np.int64], values: F4, time: int) -> None:
        self._check_time(time)
        self.table.assign_add(ids.tolist(), values, time)

    def optimize(self, ids: NDArray[np.int64], grads: F4, rates: F4, time: int, global_step: int, dedup: bool) -> None:
        self._refuse_serving("Optimize")
        self._check_time(time)
        if self._stepped and global_step < 0:
            raise ArgumentError(f"global_step {global_step} must not be negative")
        self.table.optimize(ids.tolist(), grads, rates, time, global_step, dedup=dedup)

    def reinitialize(self, ids: NDArray[np.int64], time: int) -> list[int]:
        self._refuse_serving("Init")
        self._check_time(time)
        return self.table.reinitialize(ids.tolist(), time)

    def lookup_entry(self, ids: NDArray[np.int64]) -> list[bytes]:
        self._refuse_serving("Save")
        return [
            entry_of(self.table.entry(fid), self._rules, with_id=False) if self.table.has(fid) else b""
            for fid in ids.tolist()
        ]

    def evict(self, reference: int) -> int:
        return self.table.evict(reference)

    def save(self) -> list[bytes]:
        self._refuse_serving("Save")
        return [entry_of(row, self._rules) for row in self.table.dump()]

    def restore(self, entries: Sequence[bytes]) -> int:
        rows = [row_of(entry, self._rules) for entry in entries]
        for row in rows:
            self._check_row(row)
        return self.table.restore(rows)

    def clear(self) -> None:
        self.table.clear()

    def rows_of(self, payloads: Sequence[bytes]) -> list[Row]:
        """Rows of records, checked."""
        rows = oracle_files.rows_of(payloads, self._rules, self.serving)
        for row in rows:
            self._check_row(row)
        return rows

    def written(self, expiry: OracleTable | None = None) -> list[bytes]:
        """Records of the rows that a file holds."""
        return oracle_files.written_rows(self.table, self._rules, expiry)

    def refill(self, rows: Sequence[Row], *, clear: bool = True) -> int:
        """These rows in place of the present ones; returns their number."""
        if clear:
            self.table.clear()
            self.table.max_ts = 0
        self.table.restore(rows)
        return self.table.size()

    def _check_row(self, row: Any) -> None:
        if len(row.num) > self.dim:
            raise ArgumentError(f"id {row.id}: {len(row.num)} floats for a row of {self.dim}")
        if self.serving:
            return
        for number, (segment, state) in enumerate(zip(self.table.segments, row.opt, strict=True)):
            expected = rules.initial(segment.rule, segment.config, segment.dim)
            missing = set(expected) - set(state)
            if missing or any(np.shape(state[name]) != np.shape(value) for name, value in expected.items()):
                raise ArgumentError(f"id {row.id}: the state of {segment.rule} has another shape")
            # A message may have fields that the arithmetic never reads.
            row.opt[number] = {name: state[name] for name in expected}

    def _check_time(self, time: int) -> None:
        if not 0 <= time < 1 << 32 and "wrap_timestamps" not in self.table.quirks:
            raise ArgumentError(f"time {time} is not in [0, 2^32)")

    def _refuse_serving(self, what: str) -> None:
        if self.serving:
            raise StateError(f"ServingEntryAccessor doesn't support {what}")


class OracleBackend(DumpBackend):
    """Every rule as the oracle states it."""

    name = "oracle"
    file_ops = (*DumpBackend.file_ops, "job.write", "delta.write", "job.read")

    def start(self, profile: str, quirks: Any) -> None:
        super().start(profile, quirks)
        self._first: OracleTable | None = None
        self.filters = SharedFilters(self._filter)
        self._jobs = oracle_files.Jobs()

    def capabilities(self) -> list[str]:
        names = super().capabilities()
        names += [f"combiner.{kind}" for kind in COMBINERS]
        names += [f"filter.{kind}" for kind in FILTER_KINDS]
        names += ["filter.admission"]
        return names

    def new_table(self, config: hash_table_pb2.EmbeddingHashTableConfig, filter_kind: str) -> TableAdaptor:
        check_table_config(config, self.quirks)
        filter, thresholds = None, {}
        if filter_kind:
            filter, spec = self.filters.get(filter_kind)
            thresholds = {-1: spec.default, **spec.thresholds}
        made = OracleTable(
            config,
            profile=self.profile,
            quirks=tuple(self.quirks),
            filter=filter,
            thresholds=thresholds,
            shared=self._first,
        )
        self._first = self._first or made
        return _Table(made, config.SerializeToString(deterministic=True))

    def combine(self, message: testee_pb2.Combine) -> testee_pb2.Result:
        splits = list(message.row_splits)
        e = np.frombuffer(message.floats, "<f4").reshape(-1, message.dim)
        if message.upstream:
            shape = (len(splits) - 1, message.n, message.dim) if message.kind == "first_n" else (-1, message.dim)
            upstream = np.frombuffer(message.upstream, "<f4").reshape(shape)
            out = combine.combine_gradient(message.kind, upstream, e, splits, message.n, profile=self.profile)
        else:
            out = combine.combine(message.kind, e, splits, message.n, profile=self.profile, quirks=self.quirks.names)
        return testee_pb2.Result(floats=out.astype("<f4").tobytes())

    def filter(self, message: testee_pb2.Filter) -> testee_pb2.Result:
        made = self._filter(FilterSpec(message.kind, message.capacity, message.split_num or 7))
        return play_filter(Checked(made, self.quirks.names), message)

    def _filter(self, spec: FilterSpec) -> Any:
        return make_filter(spec, self.quirks.names)

    def owners(self, ids: NDArray[np.int64], ranks: int, empty_rank0: bool) -> list[int]:
        return [owners.owner_of(fid, ranks, empty_rank0) for fid in ids.tolist()]

    def split(self, ids: NDArray[np.int64], ranks: int, empty_rank0: bool) -> tuple[list[int], list[int]]:
        return owners.send_order(ids.tolist(), ranks, empty_rank0)

    def play(self, table: TableAdaptor, step: SyncStep) -> None:
        parts = [(ids.tolist(), gradients) for ids, gradients in step.parts]
        for ids, gradients in reductions.steps_at_owner(step.reduction, parts, step.half):
            table.optimize(np.array(ids, np.int64), gradients, step.rates, step.time, step.global_step, False)

    def write_single(self, table: TableAdaptor, path: Path, shards: int) -> int:
        payloads = _ours(table).written()
        files.write_single(path, payloads, oracle_files.shard_count(shards, len(payloads)))
        return len(payloads)

    def read_single(self, table: TableAdaptor, path: Path) -> int:
        with oracle_files.reading():
            payloads = files.read_single(path)
        return _ours(table).refill(_ours(table).rows_of(payloads))

    def write_multi(self, tables: Tables, path: Path, shards: int) -> list[int]:
        first = None
        if "multi_expiry_first_table" in self.quirks:
            first = next((t.table for t in map(_ours, tables.values()) if t.table.expires), None)
        payloads = {name: _ours(table).written(first) for name, table in tables.items()}
        counts = [len(part) for part in payloads.values()]
        files.write_multi(path, payloads, oracle_files.shard_count(shards, sum(counts)))
        return counts

    def read_multi(self, tables: Tables, path: Path) -> list[int]:
        with oracle_files.reading():
            found = files.read_multi(path)
        rows = {name: _ours(table).rows_of(found.get(name, ())) for name, table in tables.items()}
        clear = "multi_restore_keeps_rows" not in self.quirks
        return [_ours(table).refill(rows[name], clear=clear) for name, table in tables.items()]

    def write_filter(self, table: TableAdaptor, path: Path) -> int:
        return oracle_files.write_filter(_ours(table).table, path)

    def read_filter(self, table: TableAdaptor, path: Path) -> int:
        return oracle_files.read_filter(_ours(table).table, path)

    def write_job(self, tables: Tables, folder: Path, step: int, delta: bool) -> list[int]:
        whole = {name: (t.config, t.table.max_ts, t.written()) for name, t in _all_ours(tables).items()}
        return self._jobs.write(whole, folder, step, delta)

    def read_job(self, tables: Tables, folder: Path) -> list[int]:
        ours = _all_ours(tables)
        found = oracle_files.read_job(folder, {name: table.config for name, table in ours.items()})
        rows = {name: table.rows_of(found[name].records) for name, table in ours.items()}
        for name, table in ours.items():
            table.refill(rows[name])
            table.table.max_ts = found[name].max_ts
        return [table.size() for table in ours.values()]

    def models_of(self, data: bytes) -> list[str]:
        with _dump_errors():
            return list(dump_wire.read_models(data))

    def canonical_of(self, data: bytes) -> bytes:
        with _dump_errors():
            return dump_wire.canonical(data)

    def slice_of(self, data: bytes, graph: tuple[str, str], dests: Sequence[str], sources: Sequence[str]) -> list[str]:
        with _dump_errors():
            return dump_slice.slice_lines(data, *graph, dests, sources)


@contextmanager
def _dump_errors() -> Iterator[None]:
    """Faults of dumps as errors of ours."""
    try:
        yield
    except dump_wire.BadDump as error:
        raise DumpError(str(error), kind="malformed") from None


def _ours(table: TableAdaptor) -> _Table:
    assert isinstance(table, _Table)
    return table


def _all_ours(tables: Tables) -> dict[str, _Table]:
    return {name: _ours(table) for name, table in tables.items()}
