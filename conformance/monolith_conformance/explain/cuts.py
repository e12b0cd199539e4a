"""How requests are made smaller without becoming nonsense: rows leave with their floats, columns with their state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2

from monolith_conformance.explain.trial import copied
from monolith_conformance.transcript import Mismatch, Step

__all__ = ["divisions", "plainer", "single_columns"]

MOST_FLOATS = 24
Rebuilt = Callable[[Sequence[int]], Step]


def divisions(step: Step) -> Iterator[tuple[int, Rebuilt]]:
    """(number of parts, step with some of them) for everything in a request that can be cut."""
    kind = step.request.WhichOneof("kind")
    if kind == "op":
        op = step.request.op
        if op.ids:
            yield len(op.ids), lambda kept: _with_rows(step, step.request.op, kept, lambda copy: copy.request.op)
        if op.entries:
            yield len(op.entries), lambda kept: _with_entries(step, kept)
    elif kind == "filter":
        yield len(step.request.filter.ops), lambda kept: _with_filter_ops(step, kept)
    elif kind == "combine":
        yield len(step.request.combine.row_splits) - 1, lambda kept: _with_bags(step, kept)
    elif kind == "sync":
        for number, part in enumerate(step.request.sync.parts):
            if part.ids:
                yield len(part.ids), _part(step, number)


def _part(step: Step, number: int) -> Rebuilt:
    def rebuilt(kept: Sequence[int]) -> Step:
        return _with_rows(step, step.request.sync.parts[number], kept, lambda copy: copy.request.sync.parts[number])

    return rebuilt


def _with_rows(step: Step, message: Any, kept: Sequence[int], place: Callable[[Step], Any]) -> Step:
    smaller = copied(step)
    target = place(smaller)
    del target.ids[:]
    target.ids.extend(message.ids[index] for index in kept)
    if message.floats:
        width = len(message.floats) // len(message.ids)
        target.floats = b"".join(message.floats[index * width : (index + 1) * width] for index in kept)
    return smaller


def _with_entries(step: Step, kept: Sequence[int]) -> Step:
    smaller = copied(step)
    del smaller.request.op.entries[:]
    smaller.request.op.entries.extend(step.request.op.entries[index] for index in kept)
    return smaller


def _with_filter_ops(step: Step, kept: Sequence[int]) -> Step:
    smaller = copied(step)
    del smaller.request.filter.ops[:]
    smaller.request.filter.ops.extend(step.request.filter.ops[index] for index in kept)
    return smaller


def _with_bags(step: Step, kept: Sequence[int]) -> Step:
    smaller, old = copied(step), step.request.combine
    new = smaller.request.combine
    width = 4 * old.dim
    bags = [old.floats[old.row_splits[i] * width : old.row_splits[i + 1] * width] for i in kept]
    del new.row_splits[:]
    new.row_splits.extend([0, *np.cumsum([len(bag) // width for bag in bags]).tolist()])
    new.floats = b"".join(bags)
    if old.upstream:
        share = len(old.upstream) // max(len(old.row_splits) - 1, 1)
        new.upstream = b"".join(old.upstream[i * share : (i + 1) * share] for i in kept)
    return smaller


def single_columns(steps: Sequence[Step], mismatch: Mismatch) -> Iterator[list[Step]]:
    """The steps with one float a row, for tables of one segment; the column of the difference first."""
    widths = {}
    for step in steps:
        if step.request.HasField("create"):
            config = hash_table_pb2.EmbeddingHashTableConfig.FromString(step.request.create.config)
            if len(config.entry_config.segments) != 1:
                return
            widths[step.request.create.table] = config.entry_config.segments[0].dim_size
    if len(set(widths.values())) != 1:
        return
    (width,) = set(widths.values())
    if width < 2 or any(step.request.WhichOneof("kind") in ("combine", "files", "dump") for step in steps):
        return
    digits = mismatch.what.rpartition("[")[2].rstrip("]")
    first = int(digits) % width if digits.isdigit() else 0
    for column in (first, *(c for c in range(width) if c != first)):
        yield [_one_column(step, column, width) for step in steps]


def _one_column(step: Step, column: int, width: int) -> Step:
    smaller = copied(step)
    request = smaller.request
    if request.HasField("create"):
        config = hash_table_pb2.EmbeddingHashTableConfig.FromString(request.create.config)
        config.entry_config.segments[0].dim_size = 1
        request.create.config = config.SerializeToString(deterministic=True)
    elif request.HasField("op"):
        request.op.floats = _column_of(request.op.floats, column, width)
        entries = [_entry_of_one(entry, column, width) for entry in request.op.entries]
        del request.op.entries[:]
        request.op.entries.extend(entries)
    elif request.HasField("sync"):
        for part in request.sync.parts:
            part.floats = _column_of(part.floats, column, width)
    return smaller


def _column_of(floats: bytes, column: int, width: int) -> bytes:
    rows = np.frombuffer(floats, "<f4")
    return rows.reshape(-1, width)[:, column].tobytes() if rows.size % width == 0 else floats


def _entry_of_one(entry: bytes, column: int, width: int) -> bytes:
    message = hash_table_pb2.EntryDump.FromString(entry)
    _keep(message, column, width)
    return message.SerializeToString(deterministic=True)


def _keep(message: Any, column: int, width: int) -> None:
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if field.is_repeated else [value]:
                _keep(part, column, width)
        elif field.type == field.TYPE_FLOAT and field.is_repeated and len(value) == width:
            value[:] = [value[column]]


def plainer(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps with one float made 1 or 0, place by place; nothing where there are very many floats."""
    places = [
        (number, index)
        for number, step in enumerate(steps)
        if step.request.HasField("op")
        for index in range(len(step.request.op.floats) // 4)
    ]
    if len(places) > MOST_FLOATS:
        return
    for number, index in places:
        for value in (1.0, 0.0):
            changed = copied(steps[number])
            floats = np.frombuffer(changed.request.op.floats, "<f4").copy()
            floats[index] = value if floats[index] not in (0.0, 1.0) else floats[index]
            changed.request.op.floats = floats.tobytes()
            yield [*steps[:number], changed, *steps[number + 1 :]]
