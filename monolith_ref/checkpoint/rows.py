"""Rows of a table to and from the records of its files, in batches. Rule: checkpoints 4.2, 4.3.

Records in the usual form go through kernels; the rest (packed floats, fields in another order, unknown fields) through
the protobuf parser, one at a time: same rows, only slower.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from monolith_kernels import row_records
from monolith_protos import hash_table_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint.container import RecordBatch
from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.shape import FIELDS, Element, RowShape, StateColumns
from monolith_ref.table.row_codec import StagedRows, TableRows
from monolith_ref.table.store import RowDump

__all__ = [
    "Decoded",
    "Encoder",
    "check_fits",
    "decode",
    "decode_any",
    "has_unknown",
    "one_row",
    "parse_entry",
    "take",
    "usual_rows",
]

CHUNK = 4 << 20


def take(rows: RowDump, which: NDArray[np.bool_] | NDArray[np.integer[Any]] | slice) -> RowDump:
    """The rows that a mask, numbers or a slice selects."""
    return RowDump(
        rows.ids[which],
        rows.weights[which],
        [{name: values[which] for name, values in arrays.items()} for arrays in rows.state],
        rows.update_time[which],
    )


class Encoder:
    """Makes framed records of rows, a few MiB at a time; a piece stays valid until the one after the next is made."""

    def __init__(self, shape: RowShape) -> None:
        self.shape = shape
        self._step = max(1, CHUNK // shape.row_bound)
        self._buffers = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    def pieces(self, rows: RowDump | TableRows) -> Iterator[tuple[memoryview, NDArray[np.int64]]]:
        """``(framed records, payload lengths)`` of these rows."""
        if isinstance(rows, TableRows):
            ints = np.empty((len(rows), 0), np.int64)
            yield from self._pieces(rows.ids, rows.numbers, rows.words, ints, rows.update_time, rows.columns)
            return
        for begin in range(0, len(rows), self._step):
            part = rows.part(begin, begin + self._step)
            words, ints = self.shape.pack(part)
            numbers = np.arange(len(part), dtype=np.int32)
            yield from self._pieces(part.ids, numbers, words, ints, part.update_time, None)

    def _pieces(
        self,
        ids: NDArray[np.int64],
        numbers: NDArray[np.int32],
        words: NDArray[np.uint32],
        ints: NDArray[np.int64],
        times: NDArray[np.uint32],
        columns: StateColumns | None,
    ) -> Iterator[tuple[memoryview, NDArray[np.int64]]]:
        plan, elements, flags = self.shape.plan if columns is None else self.shape.plan_with(columns)
        for begin in range(0, len(ids), self._step):
            some = slice(begin, begin + self._step)
            n = len(ids[some])
            lengths = np.empty(n, np.int64)
            room = n * self.shape.row_bound + row_records.SLACK
            out = self._buffers[0] if len(self._buffers[0]) >= room else np.empty(room, np.uint8)
            self._buffers = [self._buffers[1], out]
            late = times[some].astype(np.int64)
            size = row_records.encode_rows(
                ids[some], numbers[some], words, self.shape.dim, ints[some], late, plan, elements, flags, out, lengths
            )
            yield out.data[:size], lengths


@dataclass
class Decoded:
    """Rows of one shape out of one batch.

    Attributes
    ----------
    shape : RowShape
    rows : RowDump
    found : int64[n]
        Weights that each record really had (fewer than D: the rest of its row is 0).
    positions : int64[n]
        Places of the rows in the batch, ascending.
    times : int64[n]
        ``last_update_ts_sec`` as it stands in the record, before it is cut to 32 bits.
    """

    shape: RowShape
    rows: RowDump
    found: NDArray[np.int64]
    positions: NDArray[np.int64]
    times: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> Decoded:
        """The rows that a mask selects."""
        if mask.all():
            return self
        return Decoded(self.shape, take(self.rows, mask), self.found[mask], self.positions[mask], self.times[mask])


def decode(
    batch: RecordBatch, path: Path, shape: RowShape, part: slice = slice(None), stage: StagedRows | None = None
) -> Decoded:
    """The rows of a batch (or of ``part`` of it) of a table whose shape is known, in order; ``stage``: read into it.

    Fewer weights than the shape has are allowed (the table keeps what the row had), no ``last_update_ts_sec`` means 0;
    more weights, a missing, surplus or foreign optimizer element or a wrong number of state values is a CheckpointError
    that names file, record, id and segment.
    """
    positions = np.arange(len(batch), dtype=np.int64)[part]
    if shape.weights_only:
        return _weights(batch, path, shape, positions)
    arrays = _Arrays(shape, len(positions), stage)
    others = arrays.read(batch, part, row_records.TIME_OPTIONAL)
    if others:
        for k in np.flatnonzero(arrays.found < 0).tolist():
            place = batch.place(int(positions[k]))
            entry = parse_entry(batch.payload(int(positions[k])), path, place)
            check_fits(entry, shape, path, place)
            arrays.fill(k, entry)
    return arrays.decoded(positions)


def decode_any(batch: RecordBatch, path: Path, shapes: list[RowShape], part: slice = slice(None)) -> list[Decoded]:
    """The rows of a batch (or of ``part``) of a table that nothing is known about, by shape; ``shapes`` collects them.

    A record that is no EntryDump, has no id or an optimizer element without rule is a CheckpointError.
    """
    left = np.arange(len(batch), dtype=np.int64)[part]
    results: list[Decoded] = []
    for shape in shapes:
        decoded, left = usual_rows(batch, shape, left, exact=True)
        results.append(decoded)
    while len(left):
        at = int(left[0])
        place = batch.place(at)
        entry = parse_entry(batch.payload(at), path, place)
        shape = RowShape.of_entry(entry, path, place)
        results.append(one_row(entry, shape, at))
        left = left[1:]
        if shape not in shapes:
            shapes.append(shape)
            decoded, left = usual_rows(batch, shape, left, exact=True)
            results.append(decoded)
    return [decoded for decoded in results if len(decoded.rows)]


def parse_entry(payload: bytes, path: Path, place: tuple[int, int]) -> hash_table_pb2.EntryDump:
    """One record by the protobuf parser; CheckpointError where it is no EntryDump or has no id."""
    try:
        entry = hash_table_pb2.EntryDump.FromString(payload)
    except DecodeError:
        raise damage("malformed_message", "the record is no EntryDump message", path, *place) from None
    if not entry.HasField("id"):
        raise damage("missing_id", "the record has no id", path, *place)
    return entry


def has_unknown(entry: hash_table_pb2.EntryDump) -> bool:
    """Whether the record, or a message in it, has fields that no schema knows."""
    parts = [entry, entry.opt, *entry.opt.dump]
    for single in entry.opt.dump:
        rule = single.WhichOneof("type")
        if rule is not None:
            parts.append(getattr(single, rule))
    return any(len(UnknownFieldSet(part)) for part in parts)


class _Arrays:
    """Room for ``n`` rows of one shape: of its own, or among the rows of a table to be."""

    def __init__(self, shape: RowShape, n: int, stage: StagedRows | None = None) -> None:
        self.shape = shape
        self.columns = None if stage is None else stage.columns
        self.ids = np.zeros(n, np.int64)
        self.words = np.zeros((n, shape.widths[0]), np.uint32) if stage is None else stage.take(n)
        self.ints = np.zeros((n, shape.widths[1]), np.int64)
        self.times = np.zeros(n, np.int64)
        self.found = np.zeros(n, np.int64)

    @property
    def weights(self) -> NDArray[np.uint32]:
        """The words of the weights [n, dim], a view."""
        return self.words[:, : self.shape.dim]

    def read(self, batch: RecordBatch, positions: NDArray[np.int64] | slice, more_flags: int = 0) -> int:
        """Read the records at these places; how many are not in the usual form."""
        plan, elements, flags = self.shape.plan_with(self.columns)
        flags |= more_flags
        starts, lengths = batch.starts[positions], batch.lengths[positions]
        arrays = (self.ids, self.words, self.ints, self.times, self.found)
        return int(row_records.decode_rows(batch.data, starts, lengths, plan, elements, flags, self.shape.dim, *arrays))

    def fill(self, k: int, entry: hash_table_pb2.EntryDump) -> None:
        """Take row ``k`` from a parsed record that fits the shape."""
        self.ids[k] = entry.id
        count = len(entry.num)
        self.weights[k, :count] = np.array(entry.num, np.float32).view(np.uint32)
        self.found[k] = count
        self.times[k] = entry.last_update_ts_sec
        plan = self.shape.plan_with(self.columns)[0]
        row = 0
        for element, single in zip(self.shape.elements, entry.opt.dump, strict=True):
            message = getattr(single, element.rule)
            for described, present in zip(FIELDS[element.rule], element.counts, strict=True):
                if present:
                    value, column = getattr(message, described.name), int(plan[row, 4])
                    row += 1
                    if described.kind == "int":
                        self.ints[k, column] = value
                    else:
                        floats = np.array(value if described.kind == "vector" else [value], np.float32)
                        self.words[k, column : column + present] = floats.view(np.uint32)

    def decoded(self, positions: NDArray[np.int64], which: NDArray[np.bool_] | None = None) -> Decoded:
        """The rows (those of ``which``) as a RowDump."""
        if which is not None and not which.all():
            kept = np.flatnonzero(which)
            self.ids, self.words, self.found = self.ids[kept], self.words[kept], self.found[kept]
            self.ints, self.times = self.ints[kept], self.times[kept]
        short = np.flatnonzero(self.found < self.shape.dim)
        for k in short.tolist():
            self.weights[k, self.found[k] :] = 0
        state = self.shape.unpack(self.words, self.ints, self.columns)
        stamps = (self.times & 0xFFFFFFFF).astype(np.uint32)
        rows = RowDump(self.ids, self.weights.view(np.float32), state, stamps)
        return Decoded(self.shape, rows, self.found, positions, self.times)


def _weights(batch: RecordBatch, path: Path, shape: RowShape, positions: NDArray[np.int64]) -> Decoded:
    """Ids and weights of records whatever their state; times are 0."""
    arrays = _Arrays(shape, len(positions))
    for decoded in decode_any(batch, path, [], slice(positions[0], positions[-1] + 1) if len(positions) else slice(0)):
        where = decoded.positions - positions[0]
        if decoded.shape.dim > shape.dim:
            who = f"id {decoded.rows.ids[0]}: {decoded.shape.dim} weights"
            place = batch.place(int(decoded.positions[0]))
            raise damage("wrong_width", f"{who}, the table has {shape.dim}", path, *place)
        arrays.ids[where] = decoded.rows.ids
        arrays.weights[where, : decoded.shape.dim] = decoded.rows.weights.view(np.uint32)
        arrays.found[where] = decoded.found
    return arrays.decoded(positions)


def usual_rows(
    batch: RecordBatch, shape: RowShape, places: NDArray[np.int64], exact: bool
) -> tuple[Decoded, NDArray[np.int64]]:
    """The records at these places that have this shape and the usual form, and the places that are left.

    ``exact``: records with fewer weights are left, too.
    """
    arrays = _Arrays(shape, len(places))
    arrays.read(batch, places)
    fits = arrays.found == shape.dim if exact else arrays.found >= 0
    rest: NDArray[np.int64] = places[~fits]
    return arrays.decoded(places[fits], fits), rest


def one_row(entry: hash_table_pb2.EntryDump, shape: RowShape, place: int) -> Decoded:
    """A parsed record of this shape."""
    arrays = _Arrays(shape, 1)
    arrays.fill(0, entry)
    return arrays.decoded(np.array([place], np.int64))


def check_fits(
    entry: hash_table_pb2.EntryDump, shape: RowShape, path: Path, place: tuple[int, int], exact: bool = False
) -> None:
    """CheckpointError unless a parsed record fits a table's shape (``exact``: with all its weights)."""
    who = f"id {entry.id}"
    if len(entry.num) > shape.dim or (exact and len(entry.num) != shape.dim):
        raise damage("wrong_width", f"{who}: {len(entry.num)} weights, the table has {shape.dim}", path, *place)
    if shape.weights_only:
        return
    wanted = [(number, element) for number, element in enumerate(shape.segments) if element is not None]
    for (number, element), single in zip(wanted, entry.opt.dump, strict=False):
        found = Element.of_message(single)
        if found == element:
            continue
        code = "wrong_width" if found is not None and found.rule == element.rule else "wrong_optimizer"
        text = f"{who}, segment {number}: state {found or 'of no rule'}, the table has {element}"
        raise damage(code, text, path, *place)
    if len(entry.opt.dump) != len(wanted):
        text = f"{who}: {len(entry.opt.dump)} optimizer elements, the table has {len(wanted)}"
        segment = wanted[len(entry.opt.dump)][0] if len(entry.opt.dump) < len(wanted) else len(shape.segments)
        raise damage("wrong_optimizer", f"{text} (segment {segment})", path, *place)
