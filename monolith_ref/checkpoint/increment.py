"""Increments: what changed since the set before, which ids went, the chain to a full set. Rule: checkpoints 5.2."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from monolith_protos import checkpoint_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.checkpoint.content import TableContent
from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.manifest import Manifest, TableEntry, read_manifest
from monolith_ref.errors import CheckpointError, CheckpointGapError, StateError
from monolith_ref.table.store import RowStore

__all__ = ["GONE_SUFFIX", "chain_of", "changes_since", "read_gone", "tombstones"]

GONE_SUFFIX = ".gone"
IDS_PER_RECORD = 10_000


def changes_since(table: TableContent, previous: TableEntry) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which rows of a table an increment holds (a mask over its rows), and the ids that went, ascending.

    Held are rows that any operation changed, and rows that the former set left out as stale and this one does not.
    Gone are ids removed since, and rows that have become stale; an id that came and went between the two sets may be
    among them, though the former set did not have it.
    """
    if not isinstance(table.rows, RowStore):
        raise StateError(f"table {table.name}: only a table that tracks its changes can be saved as an increment")
    changed, _rows, removed = table.rows.changes()
    ids, times = table.ids_and_times()
    mask = np.isin(ids, changed, assume_unique=True)
    stale_now = table.expiry.stale(ids, times, table.max_ts)
    stale_then = table.expiry.stale(ids, times, previous.max_ts)
    held = (mask | stale_then) & ~stale_now
    expired = stale_now & (mask | ~stale_then)
    return held, np.unique(np.concatenate([removed, ids[expired]]))


def tombstones(table: str, ids: NDArray[np.int64]) -> Iterator[bytes]:
    """The records that name ids of a table which are gone (``ids`` ascending)."""
    for begin in range(0, len(ids), IDS_PER_RECORD):
        part = ids[begin : begin + IDS_PER_RECORD].tolist()
        yield checkpoint_pb2.Tombstones(table_name=table, id=part).SerializeToString()


def read_gone(path: Path) -> dict[str, NDArray[np.int64]]:
    """Table → ids that are gone."""
    found: dict[str, list[NDArray[np.int64]]] = {}
    for batch in RecordFile(path).batches():
        for k in range(len(batch)):
            try:
                record = checkpoint_pb2.Tombstones.FromString(batch.payload(k))
            except DecodeError:
                raise damage(
                    "malformed_message", "the record is no Tombstones message", path, *batch.place(k)
                ) from None
            found.setdefault(record.table_name, []).append(np.array(record.id, np.int64))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def chain_of(directory: Path, manifest: Manifest) -> list[Manifest]:
    """The full set and every increment up to this manifest, in order; CheckpointGapError where one is missing."""
    if manifest.kind == "full":
        return [manifest]
    known: dict[str, Manifest] = {}
    for path in sorted(directory.glob("*" + naming.MANIFEST_SUFFIX)):
        with contextlib.suppress(CheckpointError):
            found = read_manifest(path)
            known[found.id] = found
    chain = [manifest]
    while chain[0].kind == "delta":
        here = chain[0]
        before = known.get(here.previous or "")
        if before is None:
            raise CheckpointGapError(
                f"increment {here.sequence} of step {here.global_step} follows set {here.previous}, which is not here",
                path=str(directory),
            )
        _check_link(before, here, directory)
        chain.insert(0, before)
    return chain


def _check_link(before: Manifest, here: Manifest, directory: Path) -> None:
    """CheckpointGapError unless ``here`` is the increment that follows ``before``."""
    full = before.id if before.kind == "full" else before.base
    pairs = [
        ("sequence", before.sequence, here.sequence - 1),
        ("base", full, here.base),
        ("tables", _configs(before), _configs(here)),
    ]
    for what, found, expected in pairs:
        if found != expected:
            raise CheckpointGapError(
                f"increment {here.sequence} of step {here.global_step} does not follow step {before.global_step}: "
                f"{what} found {found}, expected {expected}",
                path=str(directory),
            )


def _configs(manifest: Manifest) -> list[tuple[str, str, str]]:
    return [(table.name, table.kind, table.config) for table in manifest.tables]
