"""The canonical bytes of a message: one form for one content, whatever the runtime. Rule: model_dump 7.5.

Known fields by number, map entries by ascending key bytes (integer keys by value), entries complete, then the unknown
fields in the order read. Runtimes disagree on the order of map keys that are prefixes of each other, so maps are
written here; messages without maps are left to the runtime's deterministic form.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from monolith_ref.model_dump.schema import Descriptor, Field, Types
from monolith_ref.model_dump.wire import LENGTH, encode_tag, encode_varint, is_map

__all__ = ["canonical_bytes", "canonical_chunks", "holds_maps", "map_keys", "unknown_bytes"]


def canonical_bytes(message: Message) -> bytes:
    """The canonical form."""
    return b"".join(canonical_chunks(message))


def canonical_chunks(message: Message) -> list[bytes]:
    """The canonical form in pieces, so that large payloads are not copied again."""
    out: list[bytes] = []
    _write(message, out)
    return out


def unknown_bytes(message: Message) -> bytes:
    """The unknown fields of this message alone (not of its parts), as read."""
    if not len(UnknownFieldSet(message)):
        return b""
    bare = type(message)()
    bare.CopyFrom(message)
    for field, _ in bare.ListFields():
        bare.ClearField(field.name)
    return bare.SerializeToString()


def map_keys(field: Field, container: Any) -> list[Any]:
    """Keys of a map in canonical order."""
    if field.message_type.fields_by_name["key"].type == Types.TYPE_STRING:
        return sorted(container, key=lambda key: key.encode("utf-8"))
    return sorted(container)


@cache
def holds_maps(descriptor: Descriptor) -> bool:
    """Whether a message of this type can hold a map, at any level."""
    seen: set[str] = set()
    waiting = [descriptor]
    while waiting:
        current = waiting.pop()
        if current.full_name in seen:
            continue
        seen.add(current.full_name)
        for field in current.fields:
            if field.message_type is not None:
                if is_map(field):
                    return True
                waiting.append(field.message_type)
    return False


@cache
def _tag(field: Field) -> bytes:
    return encode_tag(field.number, LENGTH)


def _write(message: Message, out: list[bytes]) -> int:
    """Append the canonical form to ``out`` and return its length."""
    if not holds_maps(message.DESCRIPTOR):
        data = message.SerializeToString(deterministic=True)
        out.append(data)
        return len(data)
    total = 0
    for field, value in sorted(message.ListFields(), key=lambda item: item[0].number):
        if is_map(field):
            total += _write_map(field, value, out)
        elif field.type == Types.TYPE_MESSAGE:
            for part in value if field.is_repeated else (value,):
                total += _write_part(_tag(field), part, out)
        elif field.type in (Types.TYPE_BYTES, Types.TYPE_STRING):
            for item in value if field.is_repeated else (value,):
                data = item.encode("utf-8") if isinstance(item, str) else item
                head = _tag(field) + encode_varint(len(data))
                out += (head, data)
                total += len(head) + len(data)
        else:
            total += _write_scalars(message, field, value, out)
    rest = unknown_bytes(message)
    if rest:
        out.append(rest)
    return total + len(rest)


def _write_part(tag: bytes, part: Message, out: list[bytes]) -> int:
    place = len(out)
    out.append(b"")
    size = _write(part, out)
    out[place] = tag + encode_varint(size)
    return len(out[place]) + size


def _write_scalars(message: Message, field: Field, value: Any, out: list[bytes]) -> int:
    """Numbers are left to the runtime: a message of the same type that holds this field alone."""
    alone = type(message)()
    if field.is_repeated:
        getattr(alone, field.name).extend(value)
    else:
        setattr(alone, field.name, value)
    data = alone.SerializeToString(deterministic=True)
    out.append(data)
    return len(data)


def _write_map(field: Field, container: Any, out: list[bytes]) -> int:
    key_field = field.message_type.fields_by_name["key"]
    value_field = field.message_type.fields_by_name["value"]
    of_messages = value_field.type == Types.TYPE_MESSAGE
    total = 0
    for key in map_keys(field, container):
        place = len(out)
        out.append(b"")
        size = _write_entry_part(key_field, key, out)
        if of_messages:
            size += _write_part(_tag(value_field), container[key], out)
        else:
            size += _write_entry_part(value_field, container[key], out)
        out[place] = _tag(field) + encode_varint(size)
        total += len(out[place]) + size
    return total


def _write_entry_part(field: Field, value: Any, out: list[bytes]) -> int:
    if isinstance(value, str | bytes):
        data = value.encode("utf-8") if isinstance(value, str) else value
        data = _tag(field) + encode_varint(len(data)) + data
    else:
        # Integer keys and values: varints in every map of our schemas.
        data = encode_tag(field.number, 0) + encode_varint(value)
    out.append(data)
    return len(data)
