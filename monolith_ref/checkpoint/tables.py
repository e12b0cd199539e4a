"""Write and read table files: one a shard for single tables, a pair for multi tables. Rule: checkpoints 4.3, 4.4."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from google.protobuf.message import DecodeError
from monolith_protos import hash_table_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint.commit import Sink
from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.rows import Decoded, Encoder, decode
from monolith_ref.checkpoint.shape import RowShape
from monolith_ref.errors import ShapeError
from monolith_ref.table.row_codec import StagedRows, TableRows
from monolith_ref.table.store import RowDump

__all__ = [
    "META_SUFFIX",
    "MetaEntry",
    "append_entries",
    "duplicates",
    "meta_payload",
    "read_meta",
    "read_multi",
    "read_single",
    "shard_bounds",
    "write_rows",
]

META_SUFFIX = ".meta"


def write_rows(sink: Sink, shape: RowShape, parts: Iterable[RowDump | TableRows]) -> int:
    """Append rows to a file, returns how many; one thread encodes, another compresses and writes."""
    encoder = Encoder(shape)
    count = 0
    with ThreadPoolExecutor(1) as writer:
        busy: Future[None] | None = None
        for part in parts:
            count += len(part)
            for framed, lengths in encoder.pieces(part):
                # The encoder has two buffers: the one that is written now must be free before the next is begun.
                if busy is not None:
                    busy.result()
                busy = writer.submit(sink.write, framed, lengths)
        if busy is not None:
            busy.result()
    return count


@dataclass(frozen=True)
class MetaEntry:
    """One record of a meta file: a table and how many rows it has in this shard."""

    table: str
    rows: int
    record: int
    offset: int


def meta_payload(table: str, rows: int) -> bytes:
    """The meta record of one table (a count of 0 is written)."""
    return hash_table_pb2.MultiHashTableMetadata(table_name=table, num_entries=rows).SerializeToString()


def read_meta(path: Path) -> list[MetaEntry]:
    """The tables of one shard, in the order of its data."""
    entries = []
    if not path.exists():
        raise damage("missing_meta", "no such file", path)
    for batch in RecordFile(path).batches():
        for k in range(len(batch)):
            place = batch.place(k)
            try:
                message = hash_table_pb2.MultiHashTableMetadata.FromString(batch.payload(k))
            except DecodeError:
                raise damage("malformed_message", "no MultiHashTableMetadata message", path, *place) from None
            entries.append(MetaEntry(message.table_name, message.num_entries, *place))
    return entries


def read_single(file: RecordFile, shape: RowShape, stage: StagedRows | None = None) -> Iterator[Decoded]:
    """The rows of one file of a single table, in batches; read into ``stage`` if given."""
    for batch in file.batches():
        yield decode(batch, file.path, shape, stage=stage)


def read_multi(
    file: RecordFile,
    meta: Sequence[MetaEntry],
    shape_of: Callable[[str], RowShape | None],
    stages: Mapping[str, StagedRows] = MappingProxyType({}),
) -> Iterator[tuple[str, Decoded]]:
    """The rows of a multi table's data file, into ``stages`` where there is one; tables without a shape are read over.

    Fewer records than the meta file promises is a CheckpointError (``meta_count_short``); more are left unread.
    """
    path = file.path
    batches = file.batches()
    batch = None
    at = 0
    for entry in meta:
        left = entry.rows
        shape = shape_of(entry.table)
        while left:
            if batch is None or at == len(batch):
                batch = next(batches, None)
                at = 0
                if batch is None:
                    raise damage(
                        "meta_count_short",
                        f"table {entry.table}: {left} of {entry.rows} rows that the meta file counts are not there",
                        path,
                        file.records,
                        file.position,
                    )
            count = min(left, len(batch) - at)
            if shape is not None:
                yield entry.table, decode(batch, path, shape, slice(at, at + count), stages.get(entry.table))
            at += count
            left -= count


def append_entries(path: Path, ids: NDArray[np.int64], values: NDArray[np.float32]) -> None:
    """Append records of ids [n] and floats [n, k] alone, without state and time, as the item cache's file has them.

    Rule: checkpoints 4.6 (there ``MonolithHashTable_cached_item_embeddings-00000-of-00001``). ShapeError where the
    arrays do not go together.
    """
    if ids.ndim != 1 or values.ndim != 2 or len(ids) != len(values):
        raise ShapeError(f"ids [n] and values [n, k] are needed, not {ids.shape} and {values.shape}")
    shape = RowShape(values.shape[1], (), has_opt=False, has_time=False)
    rows = RowDump(ids.astype(np.int64), values.astype(np.float32), [], np.zeros(len(ids), np.uint32))
    with open(path, "ab") as file:
        for framed, _lengths in Encoder(shape).pieces(rows):
            file.write(framed)
        file.flush()
        os.fsync(file.fileno())


def shard_bounds(rows: int, shards: int) -> list[tuple[int, int]]:
    """Row numbers of each shard: floor(s*R/n) to floor((s+1)*R/n)."""
    return [(s * rows // shards, (s + 1) * rows // shards) for s in range(shards)]


def duplicates(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids that occur more than once, ascending."""
    ordered = np.sort(ids)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
