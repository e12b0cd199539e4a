"""What is unusual in the bytes of a dump's own messages: unknown fields, duplicates. Rule: model_dump 1.1, 7.5."""

from __future__ import annotations

from collections.abc import Iterator

from monolith_protos import model_dump_pb2

from monolith_ref.model_dump.findings import Finding
from monolith_ref.model_dump.schema import Descriptor, Field
from monolith_ref.model_dump.wire import Record, is_map, known_field, scan

__all__ = ["wire_findings"]

Extent = tuple[int, int]


def wire_findings(raw: bytes) -> Iterator[Finding]:
    """Findings of a file that parses; parts of a split message are looked at together."""
    yield from _body(raw, [(0, len(raw))], model_dump_pb2.ModelDump.DESCRIPTOR, "")


def _body(raw: bytes, parts: list[Extent], descriptor: Descriptor, path: str) -> Iterator[Finding]:
    fields: dict[int, tuple[Field, list[Record]]] = {}
    where = path or "."
    for start, end in parts:
        for record in scan(raw, start, end):
            field = known_field(descriptor, record)
            if field is None:
                yield Finding("warning", "unknown_field", where, str(record.number))
            else:
                fields.setdefault(record.number, (field, []))[1].append(record)
    prefix = f"{path}." if path else ""
    for _, (field, records) in sorted(fields.items()):
        if len(records) > 1 and not field.is_repeated:
            yield Finding("warning", "duplicate_field", where, field.name)
    for _, (field, records) in sorted(fields.items()):
        if field.message_type is None:
            continue
        extents = [(record.body, record.end) for record in records]
        if is_map(field):
            yield from _entries(raw, extents, field.message_type, f"{prefix}{field.name}")
        elif field.is_repeated:
            for place, extent in enumerate(extents):
                yield from _body(raw, [extent], field.message_type, f"{prefix}{field.name}[{place}]")
        else:
            yield from _body(raw, extents, field.message_type, f"{prefix}{field.name}")


def _entries(raw: bytes, extents: list[Extent], entry: Descriptor, path: str) -> Iterator[Finding]:
    value_type = entry.fields_by_name["value"].message_type
    seen: set[str] = set()
    twice: list[str] = []
    for start, end in extents:
        key = ""
        values: list[Extent] = []
        counts = {1: 0, 2: 0}
        unknown: list[int] = []
        for record in scan(raw, start, end):
            field = known_field(entry, record)
            if field is None:
                unknown.append(record.number)
                continue
            counts[record.number] += 1
            if record.number == 1:
                key = raw[record.body : record.end].decode("utf-8", "replace")
            else:
                values.append((record.body, record.end))
        where = f"{path}{{{key}}}"
        for number in unknown:
            yield Finding("warning", "unknown_in_map_entry", where, str(number))
        for number, name in ((1, "key"), (2, "value")):
            if counts[number] > 1:
                yield Finding("warning", "duplicate_field", where, name)
        if key in seen and key not in twice:
            twice.append(key)
        seen.add(key)
        if value_type is not None:
            yield from _body(raw, values, value_type, where)
    for key in twice:
        yield Finding("warning", "duplicate_key", path, key)
