"""Records of message bodies by name, and the values of a message that they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from monolith_ref.model_dump.schema import Descriptor, Field, Types
from monolith_ref.model_dump.wire import LENGTH, Record, field_wire_type, is_map, known_field, read_varint, scan

__all__ = ["ENTRY", "Departure", "Entry", "Named", "Value", "below_path", "canonical_records", "name_records"]


@dataclass(frozen=True)
class Departure:
    """One record (or a run of ``count``) of a body that is not canonical."""

    path: str
    part: str
    offset: int
    hex: str
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        """As it stands in a document."""
        out: dict[str, Any] = {"path": self.path, "part": self.part, "offset": self.offset, "hex": self.hex}
        return out if self.count == 1 else {**out, "count": self.count}


@dataclass(frozen=True)
class Entry:
    """A map entry, which is a message on the wire only."""

    key: Any
    value: Any


ENTRY = "(entry)"
Value = Message | Entry


@dataclass(frozen=True)
class Named:
    """A record of a canonical body: its name, and the value of a message inside of it."""

    part: str
    record: Record
    field: Field | None
    child: Value | None


def name_records(
    buffer: bytes, records: Iterable[Record], descriptor: Descriptor
) -> Iterable[tuple[str, Record, Field | None]]:
    """Records with their names; a map entry is named by its key, repeated records by their place."""
    counts: dict[int, int] = {}
    for record in records:
        field = known_field(descriptor, record)
        number = -1 if field is None else record.number
        place = counts.get(number, 0)
        counts[number] = place + 1
        if field is None:
            yield f"?[{place}]", record, None
        elif is_map(field):
            yield f"{field.name}{{{_entry_key(buffer, record, field)}}}", record, field
        elif field.is_repeated:
            yield f"{field.name}[{place}]", record, field
        else:
            yield field.name, record, field


def _entry_key(buffer: bytes, record: Record, field: Field) -> str:
    key_field = field.message_type.fields_by_name["key"]
    key: Any = "" if key_field.type == Types.TYPE_STRING else 0
    for part in scan(buffer, record.body, record.end):
        if part.number == 1 and part.wire_type == field_wire_type(key_field):
            if part.wire_type == LENGTH:
                key = buffer[part.body : part.end].decode("utf-8", "replace")
            else:
                key = read_varint(buffer, part.body, part.end)[0] & 0xFFFFFFFF
    return str(key)


def canonical_records(body: bytes, value: Value, descriptor: Descriptor) -> list[Named]:
    out = []
    for part, record, field in name_records(body, scan(body, 0, len(body)), descriptor):
        child: Value | None = None
        if field is not None and field.message_type is not None:
            child = _child(value, field, part)
        out.append(Named(part, record, field, child))
    return out


def _child(value: Value, field: Field, part: str) -> Value:
    if isinstance(value, Entry):
        found: Value = value.value
        return found
    container = getattr(value, field.name)
    if is_map(field):
        text = part[len(field.name) + 1 : -1]
        key: Any = text if field.message_type.fields_by_name["key"].type == Types.TYPE_STRING else int(text)
        return Entry(key, container[key])
    if field.is_repeated:
        item: Value = container[int(part[len(field.name) + 1 : -1])]
        return item
    single: Value = container
    return single


def below_path(path: str, value: Value, named: Named) -> str:
    """The path of a message in a body: an entry's own records go by ``<entry>(entry)``, its value by ``<entry>``."""
    if isinstance(value, Entry):
        return path.removesuffix(ENTRY)
    below = f"{path}.{named.part}" if path else named.part
    return f"{below}{ENTRY}" if isinstance(named.child, Entry) else below
