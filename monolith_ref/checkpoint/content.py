"""What a save takes of a table, and its rows a few at a time. Rule: checkpoints 4.3, 5.1."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from google.protobuf.message import DecodeError
from monolith_protos import hash_table_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint.rows import take
from monolith_ref.checkpoint.shape import RowShape, whole_columns
from monolith_ref.errors import CheckpointError
from monolith_ref.table.config import Expiry
from monolith_ref.table.row_codec import TableRows
from monolith_ref.table.store import RowDump, RowStore

__all__ = ["TableContent", "shape_of_config", "with_expiry_of_first"]

PART = 1 << 16


@dataclass(frozen=True)
class TableContent:
    """What this rank holds of one table.

    Attributes
    ----------
    name : str
        ``MonolithHashTable_<suffix>`` without rank (kind single), or the name inside the multi table (kind multi).
    kind : str
        ``"single"``: files of its own; ``"multi"``: one pair of files a shard for all tables of this kind.
    config : bytes
        Serialised ``EmbeddingHashTableConfig``; must be equal on all ranks.
    learning_rates : tuple of str
        ``str()`` of each segment's rate.
    rows : RowStore or RowDump
        This rank's rows (a store is read a part at a time, so that saving takes no second copy of them).
    max_ts : int
        The table's maximum time on this rank (the manifest keeps the maximum over ranks). Rows whose age by it has
        reached the expiry of their slot are not saved.
    one_bit_scale : tuple of int
        Bits of the float32 scale of each one_bit segment.
    expire_by : bytes or None
        Another serialised ``SlotExpireTimeConfig`` than the config's own.
    """

    name: str
    kind: Literal["single", "multi"]
    config: bytes
    learning_rates: tuple[str, ...]
    rows: RowStore | RowDump
    max_ts: int
    one_bit_scale: tuple[int, ...] = ()
    expire_by: bytes | None = None

    @cached_property
    def message(self) -> hash_table_pb2.EmbeddingHashTableConfig:
        """The parsed configuration."""
        return hash_table_pb2.EmbeddingHashTableConfig.FromString(self.config)

    @cached_property
    def shape(self) -> RowShape:
        """The shape of its records."""
        return RowShape.of_config(self.message)

    @cached_property
    def expiry(self) -> Expiry:
        """Days by slot."""
        config = self.message.slot_expire_time_config
        if self.expire_by is not None:
            config = hash_table_pb2.SlotExpireTimeConfig.FromString(self.expire_by)
        with warnings.catch_warnings():
            # Slots that can never match were warned about when the table was built.
            warnings.simplefilter("ignore")
            return Expiry(config)

    @property
    def size(self) -> int:
        """Rows present, stale ones included."""
        return self.rows.size if isinstance(self.rows, RowStore) else len(self.rows)

    def ids_and_times(self) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Ids and times of all rows present, stale ones included."""
        if isinstance(self.rows, RowStore):
            ids, numbers = self.rows.items()
            return ids, self.rows.times(numbers)
        return self.rows.ids, self.rows.update_time

    def parts(
        self, begin: int = 0, end: int | None = None, only: NDArray[np.bool_] | None = None
    ) -> Iterator[RowDump | TableRows]:
        """The rows at places ``begin`` to ``end`` (those of the mask ``only``), without stale ones."""
        if isinstance(self.rows, RowStore):
            ids, numbers = self.rows.items()
        else:
            ids, numbers = self.rows.ids, np.arange(len(self.rows), dtype=np.int32)
        ids, numbers = ids[begin:end], numbers[begin:end]
        if only is not None:
            ids, numbers = ids[only[begin:end]], numbers[only[begin:end]]
        for at in range(0, len(ids), PART):
            some, those = ids[at : at + PART], numbers[at : at + PART]
            part = self._part(some, those)
            stale = self.expiry.stale(part.ids, part.update_time, self.max_ts)
            if stale.any():
                part = part.where(~stale) if isinstance(part, TableRows) else take(part, ~stale)
            yield part

    def _part(self, ids: NDArray[np.int64], numbers: NDArray[np.int32]) -> RowDump | TableRows:
        if isinstance(self.rows, RowDump):
            return take(self.rows, numbers)
        lying = self.rows.in_place(numbers, ids) if whole_columns(self.rows.layout, self.shape) is not None else None
        return lying if lying is not None else self.rows.export(numbers, ids)


def with_expiry_of_first(tables: list[TableContent]) -> list[TableContent]:
    """Every table with the first non-empty expiry of all (quirk ``multi_expiry_first_table``)."""
    first = next((t for t in tables if t.message.slot_expire_time_config.ByteSize()), None)
    if first is None:
        return tables
    expire_by = first.message.slot_expire_time_config.SerializeToString()
    return [table if table.expire_by is not None else replace(table, expire_by=expire_by) for table in tables]


def shape_of_config(config: bytes, table: str) -> RowShape:
    """The shape of records of a table of this configuration; CheckpointError where it does not parse."""
    try:
        message = hash_table_pb2.EmbeddingHashTableConfig.FromString(config)
    except DecodeError:
        raise CheckpointError(f"the configuration of table {table} is no EmbeddingHashTableConfig") from None
    return RowShape.of_config(message)
