"""Rows as serialised EntryDump messages, and slots out of them. Rule: tables 5, 7."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from google.protobuf.message import DecodeError
from monolith_protos.hash_table_pb2 import EntryDump
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError
from monolith_ref.fid import slot_of_v1, slot_of_v2
from monolith_ref.table.core import Table
from monolith_ref.table.store import RowDump

__all__ = ["Snapshots", "entry_messages", "extract_slot_from_entry", "iterate_table_and_apply", "lookup_entries"]

_ID_BYTES = 9
_HEADER, _FOOTER = 12, 4


def entry_messages(table: Table, dump: RowDump, *, with_id: bool) -> list[bytes]:
    """One serialised EntryDump per row of ``dump``."""
    from monolith_ref.checkpoint.rows import Encoder
    from monolith_ref.checkpoint.shape import RowShape

    messages: list[bytes] = []
    for framed, lengths in Encoder(RowShape.of_config(table.plan.config)).pieces(dump):
        start = 0
        for length in lengths.tolist():
            first = start + _HEADER
            messages.append(bytes(framed[first + (0 if with_id else _ID_BYTES) : first + length]))
            start = first + length + _FOOTER
    return messages


def lookup_entries(table: Table, ids: NDArray[np.int64]) -> NDArray[np.object_]:
    """Rows of ids int64[n] as messages without id; ``b""`` for absent ids."""
    store = table.training_store
    with table.streams.lock:
        rows = np.array(table.target.to_host(store.find(table.target.asarray(ids))))
        known = rows >= 0
        dump = store.export(np.ascontiguousarray(rows[known]), np.ascontiguousarray(ids[known]))
    out = np.full(len(ids), b"", dtype=object)
    out[known] = np.array([*entry_messages(table, dump, with_id=False), b""], dtype=object)[:-1]
    return out


class Snapshots:
    """Rows of a table, shard by shard and batch by batch, each shard as it was when its first batch was asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._taken: dict[tuple[int, int], RowDump] = {}

    def batch(self, shard: int, num_shards: int, limit: int, offset: int) -> tuple[int, list[bytes]]:
        """(offset behind the batch, messages with id): at most ``limit`` rows of shard ``shard``, from ``offset`` on.

        Fewer than ``limit`` come back at the end, and none after it. Rows are in order of row number; shard s of n has
        those from s*R/n to (s+1)*R/n. ArgumentError for a shard, limit or offset out of range.
        """
        if num_shards < 1 or not 0 <= shard < num_shards:
            raise ArgumentError(f"shard {shard} of {num_shards} does not exist")
        if limit < 1:
            raise ArgumentError(f"limit must be at least 1, got {limit}")
        if offset < 0:
            raise ArgumentError(f"offset must not be negative, got {offset}")
        key = (shard, num_shards)
        if offset == 0 or key not in self._taken:
            self._taken[key] = self._shard(shard, num_shards)
        rows = self._taken[key]
        stop = min(offset + limit, len(rows))
        if stop - offset < limit:
            stop = max(stop, min(offset, len(rows)))
        part = rows.part(min(offset, len(rows)), stop)
        return stop, entry_messages(self._table, part, with_id=True)

    def _shard(self, shard: int, num_shards: int) -> RowDump:
        store = self._table.training_store
        with self._table.streams.lock:
            ids, rows = store.items()
            lo, hi = shard * len(ids) // num_shards, (shard + 1) * len(ids) // num_shards
            return store.export(rows[lo:hi], ids[lo:hi])


class _Saving(Protocol):
    def save_as_tensor(self, shard_idx: int, num_shards: int, limit: int, offset: int) -> tuple[int, list[bytes]]: ...


def iterate_table_and_apply(
    table: _Saving, apply_fn: Callable[[list[bytes]], Any], limit: int = 1000, nshards: int = 4
) -> None:
    """Call ``apply_fn`` with every batch of at most ``limit`` serialised rows; an empty shard gives one empty batch."""
    for shard in range(nshards):
        offset, full = 0, True
        while full:
            offset, dump = table.save_as_tensor(shard, nshards, limit, offset)
            apply_fn(dump)
            full = len(dump) == limit


def extract_slot_from_entry(entries: Sequence[bytes], fid_v2: bool = True) -> NDArray[np.int64]:
    """The slot of each serialised EntryDump's id. ArgumentError for bytes that are none."""
    ids = np.empty(len(entries), np.int64)
    for number, data in enumerate(entries):
        try:
            ids[number] = EntryDump.FromString(bytes(data)).id
        except DecodeError:
            raise ArgumentError(f"entry {number} is no EntryDump") from None
    return slot_of_v2(ids) if fid_v2 else slot_of_v1(ids)
