"""Files through the oracle's own reader and writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from monolith_protos import hash_table_pb2

from monolith_conformance.entries import entry_of, row_of
from monolith_conformance.oracle import files, filter_files, job_files
from monolith_conformance.oracle.filters import OracleSlidingFilter
from monolith_ref.errors import CheckpointError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monolith_conformance.oracle.table import OracleTable, Row

__all__ = ["Jobs", "filter_of", "read_job", "reading", "rows_of", "shard_count", "written_rows"]


@contextmanager
def reading() -> Iterator[None]:
    """Faults of files as errors of ours."""
    try:
        yield
    except files.DamagedFile as error:
        raise CheckpointError(str(error)) from None


def shard_count(asked: int, rows: int) -> int:
    """The number of files of a set: as asked, or the original's."""
    return asked or min(4, max(1, rows // 1_000_000))


def written_rows(table: OracleTable, rules: Sequence[str], expiry: OracleTable | None = None) -> list[bytes]:
    """Records of the rows that are not stale (by the days of ``expiry``, where given)."""
    if table.serving:
        raise StateError("ServingEntryAccessor doesn't support Save")
    days = expiry or table
    return [entry_of(row, rules) for row in table.dump() if not days.stale(row.id, row.ts, table.max_ts)]


def rows_of(payloads: Sequence[bytes], rules: Sequence[str], serving: bool) -> list[Row]:
    """The rows of records; a serving table takes their numbers alone."""
    rows = []
    for payload in payloads:
        try:
            entry = hash_table_pb2.EntryDump.FromString(payload)
        except DecodeError as error:
            raise CheckpointError(f"a record is no row: {error}") from None
        if not entry.HasField("id"):
            raise CheckpointError("a record has no id")
        if serving:
            entry.ClearField("opt")
        elif len(entry.opt.dump) != sum(rule != "moving_average" for rule in rules):
            raise CheckpointError(f"id {entry.id}: {len(entry.opt.dump)} optimizer dumps")
        rows.append(row_of(entry.SerializeToString(), rules))
    return rows


def filter_of(table: OracleTable) -> OracleSlidingFilter:
    """The sliding filter in front of a table."""
    if not isinstance(table.filter, OracleSlidingFilter):
        raise StateError("the table has no sliding filter in front of it")
    return table.filter


def write_filter(table: Any, path: Path) -> int:
    """See :meth:`~monolith_conformance.backends.file_requests.FileBackend.write_filter`."""
    return filter_files.write_filter(path, filter_of(table))


def read_filter(table: Any, path: Path) -> int:
    """See :meth:`~monolith_conformance.backends.file_requests.FileBackend.read_filter`."""
    with reading():
        return filter_files.read_filter(path, filter_of(table))


class Jobs:
    """Sets of several tables in one folder, and increments: what each was written with last."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[dict[str, Any], dict[str, dict[int, bytes]]]] = {}

    def write(
        self, tables: Mapping[str, tuple[bytes, int, list[bytes]]], folder: Path, step: int, delta: bool
    ) -> list[int]:
        """A whole set, or what differs from the last one; tables are (message, latest update, records)."""
        if delta and str(folder) not in self._last:
            raise StateError(f"an increment of step {step} has no set before it")
        previous, before = self._last[str(folder)] if delta else (None, {})
        now = {name: {_id(record): record for record in records} for name, (_, _, records) in tables.items()}
        parts = {}
        for name, (config, max_ts, _) in tables.items():
            old = before.get(name, {})
            changed = [record for fid, record in now[name].items() if old.get(fid) != record]
            parts[name] = job_files.JobTable(config, max_ts, changed, sorted(old.keys() - now[name].keys()))
        folder.mkdir(parents=True, exist_ok=True)
        self._last[str(folder)] = job_files.write_set(folder, step, parts, previous), now
        return [len(part.records) for part in parts.values()]


def _id(record: bytes) -> int:
    return hash_table_pb2.EntryDump.FromString(record).id


def read_job(folder: Path, configs: Mapping[str, bytes]) -> dict[str, job_files.JobTable]:
    """The tables of the newest set; CheckpointError unless they are these, with these messages."""
    with reading():
        found = job_files.read_newest(folder)
    if {name: table.config for name, table in found.items()} != dict(configs):
        raise CheckpointError("the set has other tables, or tables of other messages")
    return found
