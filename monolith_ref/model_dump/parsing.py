"""Parsing with one outcome under every protobuf runtime: a message, or DecodeError."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any, TypeVar

from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from monolith_ref.model_dump.canonical import holds_maps
from monolith_ref.model_dump.schema import Descriptor
from monolith_ref.model_dump.wire import LENGTH, encode_varint, is_map, known_field, locate_fault, read_varint, scan

__all__ = ["parse", "parse_whole_entries"]

M = TypeVar("M", bound=Message)
STRICT = api_implementation.Type() == "python"
"""The pure-Python runtime lets some faults pass that the others refuse; there the bytes are walked as well."""


def parse(kind: type[M], data: bytes) -> M:
    """The message in ``data``.

    Raises
    ------
    DecodeError
    """
    out = kind()
    try:
        out.ParseFromString(data)
    except (UnicodeDecodeError, IndexError, struct.error, RecursionError, OverflowError, ValueError) as error:
        raise DecodeError(str(error) or type(error).__name__) from None
    if STRICT:
        fault = locate_fault(data, kind.DESCRIPTOR)
        if fault is not None:
            raise DecodeError(str(fault))
    return out


def parse_whole_entries(kind: type[M], data: bytes) -> M:
    """As :func:`parse`; unknown fields inside of a map entry are lost, and not the entry with them.

    Some runtimes take such an entry out of the map and keep it among the unknown fields of the message around it.
    """
    out = parse(kind, data)
    return parse(kind, _without_foreign(data, 0, len(data), kind.DESCRIPTOR)) if _lost_entries(out) else out


def _lost_entries(message: Message) -> bool:
    fields = message.DESCRIPTOR.fields_by_number
    unknown: Any = UnknownFieldSet(message)
    for item in unknown:
        field = fields.get(item.field_number)
        if field is not None and item.wire_type == LENGTH and is_map(field):
            return True
    for field in _leading_to_maps(message.DESCRIPTOR):
        value = getattr(message, field.name)
        if is_map(field):
            parts = value.values()
        elif field.is_repeated:
            parts = value
        else:
            parts = (value,) if message.HasField(field.name) else ()
        if any(_lost_entries(part) for part in parts):
            return True
    return False


@cache
def _leading_to_maps(descriptor: Descriptor) -> list[Any]:
    """Fields in whose messages there can be maps; others are not touched, since reading bytes copies them."""
    out = []
    for field in descriptor.fields:
        kind = field.message_type
        if kind is not None and is_map(field):
            kind = kind.fields_by_name["value"].message_type
        if kind is not None and holds_maps(kind):
            out.append(field)
    return out


def _without_foreign(data: bytes, start: int, end: int, descriptor: Descriptor) -> bytes:
    """A message body whose map entries hold nothing but keys and values."""
    of_entry = bool(descriptor.GetOptions().map_entry)
    out = bytearray()
    for record in scan(data, start, end):
        field = known_field(descriptor, record)
        if field is None and of_entry:
            continue
        if field is None or field.message_type is None:
            out += data[record.start : record.end]
            continue
        body = _without_foreign(data, record.body, record.end, field.message_type)
        tag_end = read_varint(data, record.start, record.end, 5)[1]
        same = len(body) == record.end - record.body
        out += data[record.start : record.body] if same else data[record.start : tag_end] + encode_varint(len(body))
        out += body
    return bytes(out)
