"""Protobuf's wire format, one level at a time: records of a message body, and where a body goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from monolith_ref.model_dump.schema import Descriptor, Field, Types

__all__ = [
    "DEPTH_LIMIT",
    "FIXED32",
    "FIXED64",
    "GROUP",
    "GROUP_END",
    "LENGTH",
    "VARINT",
    "Record",
    "WireFault",
    "encode_tag",
    "encode_varint",
    "field_wire_type",
    "is_map",
    "known_field",
    "locate_fault",
    "read_varint",
    "scan",
]

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
DEPTH_LIMIT = 100
"""How deep messages may be nested, as in every protobuf runtime."""

LENGTH_LIMIT = 2**31 - 1
NUMBER_LIMIT = 2**29

_FIXED = {
    Types.TYPE_DOUBLE: FIXED64,
    Types.TYPE_FIXED64: FIXED64,
    Types.TYPE_SFIXED64: FIXED64,
    Types.TYPE_FLOAT: FIXED32,
    Types.TYPE_FIXED32: FIXED32,
    Types.TYPE_SFIXED32: FIXED32,
    Types.TYPE_STRING: LENGTH,
    Types.TYPE_BYTES: LENGTH,
    Types.TYPE_MESSAGE: LENGTH,
}


class WireFault(ValueError):
    """Bytes that are no protobuf message: ``offset``, ``path`` (of fields), ``reason``, and the field's ``number``."""

    def __init__(self, offset: int, reason: str, path: str = ".", number: int = 0) -> None:
        super().__init__(f"byte {offset}, {path}: {reason}")
        self.number = number
        self.offset = offset
        self.reason = reason
        self.path = path


class Record(NamedTuple):
    """One record of a message body; at ``start`` is its tag, from ``body`` to ``end`` its value (offsets)."""

    number: int
    wire_type: int
    start: int
    body: int
    end: int


def read_varint(buffer: bytes, at: int, end: int, longest: int = 10) -> tuple[int, int]:
    """The unsigned number at ``at`` and the offset behind it.

    Raises
    ------
    WireFault
        It is cut off, or longer than ``longest`` bytes.
    """
    value = shift = 0
    for position in range(at, min(end, at + longest)):
        byte = buffer[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    if end < at + longest:
        raise WireFault(at, "a number is cut off")
    raise WireFault(at, f"a number of more than {longest} bytes")


def encode_varint(value: int) -> bytes:
    """The shortest encoding; negative numbers as 64-bit two's complement."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_tag(number: int, wire_type: int) -> bytes:
    """Field number and wire type, shortest encoding."""
    return encode_varint(number << 3 | wire_type)


def scan(buffer: bytes, start: int, end: int, depth: int = 0) -> list[Record]:
    """Records of the message body ``buffer[start:end]`` in file order; groups are one record.

    Raises
    ------
    WireFault
        With the offset in ``buffer``.
    """
    out: list[Record] = []
    at = start
    while at < end:
        tag = buffer[at]
        if tag < 0x80:
            body = at + 1
        else:
            tag, body = read_varint(buffer, at, end, 5)
            if tag >> 32:
                raise WireFault(at, "a field number of more than 29 bits")
        number = tag >> 3
        wire_type = tag & 7
        if number == 0:
            raise WireFault(at, "field number 0")
        if wire_type == LENGTH:
            if body < end and buffer[body] < 0x80:
                value = body + 1
                stop = value + buffer[body]
            else:
                length, value = read_varint(buffer, body, end)
                if length > LENGTH_LIMIT:
                    raise WireFault(body, f"a length of {length} bytes")
                stop = value + length
            if stop > end:
                raise WireFault(body, f"{stop - value} bytes where {end - value} are left", number=number)
            body = value
        elif wire_type == VARINT:
            stop = read_varint(buffer, body, end)[1]
        elif wire_type in (FIXED32, FIXED64):
            stop = body + (4 if wire_type == FIXED32 else 8)
            if stop > end:
                raise WireFault(at, "a number is cut off", number=number)
        elif wire_type == GROUP:
            stop = _skip_group(buffer, body, end, number, depth + 1)
        elif wire_type == GROUP_END:
            raise WireFault(at, f"the end of a group {number} that was not begun")
        else:
            raise WireFault(at, f"wire type {wire_type}")
        out.append(Record(number, wire_type, at, body, stop))
        at = stop
    return out


def _skip_group(buffer: bytes, at: int, end: int, number: int, depth: int) -> int:
    """Offset behind the end tag of group ``number`` whose body begins at ``at``."""
    open_groups = [number]
    while at < end:
        tag, body = read_varint(buffer, at, end, 5)
        inner, wire_type = tag >> 3, tag & 7
        if inner == 0 or inner >= NUMBER_LIMIT:
            raise WireFault(at, f"field number {inner}")
        if wire_type == GROUP:
            open_groups.append(inner)
            if depth + len(open_groups) > DEPTH_LIMIT:
                raise WireFault(at, f"more than {DEPTH_LIMIT} levels")
            at = body
        elif wire_type == GROUP_END:
            if open_groups.pop() != inner:
                raise WireFault(at, f"the end of a group {inner} that was not begun")
            at = body
            if not open_groups:
                return at
        elif wire_type == VARINT:
            at = read_varint(buffer, body, end)[1]
        elif wire_type == LENGTH:
            length, value = read_varint(buffer, body, end)
            at = value + length
        elif wire_type in (FIXED32, FIXED64):
            at = body + (4 if wire_type == FIXED32 else 8)
        else:
            raise WireFault(at, f"wire type {wire_type}")
        if at > end:
            raise WireFault(body, f"field {inner} is cut off")
    raise WireFault(at, f"group {number} is cut off")


def field_wire_type(field: Field) -> int:
    """How one value of the field is written."""
    return _FIXED.get(field.type, VARINT)


def is_map(field: Field) -> bool:
    """Whether the field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


@cache
def _fields(descriptor: Descriptor) -> dict[int, tuple[Field, int, bool]]:
    """Per field number the field, its wire type, and whether its values may be packed."""
    return {
        field.number: (field, field_wire_type(field), field.is_repeated and field_wire_type(field) != LENGTH)
        for field in descriptor.fields
    }


def known_field(descriptor: Descriptor, record: Record) -> Field | None:
    """The field that a record belongs to; None where its number or wire type is not the schema's."""
    found = _fields(descriptor).get(record.number)
    if found is None:
        return None
    # Repeated numbers are read packed and unpacked alike.
    return found[0] if record.wire_type == found[1] or (found[2] and record.wire_type == LENGTH) else None


def locate_fault(buffer: bytes, descriptor: Descriptor) -> WireFault | None:
    """Where a buffer stops being a message of this type, or None where no fault is found."""
    try:
        _walk(buffer, 0, len(buffer), descriptor, (), 0)
    except WireFault as fault:
        return fault
    return None


def _walk(buffer: bytes, start: int, end: int, descriptor: Descriptor, path: Sequence[str], depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise WireFault(start, f"more than {DEPTH_LIMIT} levels", ".".join(path))
    counts: dict[int, int] = {}
    try:
        found = scan(buffer, start, end, depth)
    except WireFault as fault:
        field = descriptor.fields_by_number.get(fault.number)
        where = [*path, field.name] if field is not None else path
        raise WireFault(fault.offset, fault.reason, ".".join(where) or ".") from None
    for record in found:
        field = known_field(descriptor, record)
        if field is None:
            continue
        label = field.name
        if field.is_repeated and not is_map(field):
            label += f"[{counts.get(record.number, 0)}]"
            counts[record.number] = counts.get(record.number, 0) + 1
        where = [*path, label]
        if field.type == Types.TYPE_MESSAGE:
            _walk(buffer, record.body, record.end, field.message_type, where, depth + 1)
        elif field.type == Types.TYPE_STRING:
            try:
                buffer[record.body : record.end].decode("utf-8")
            except UnicodeDecodeError as error:
                raise WireFault(record.body + error.start, "text that is not UTF-8", ".".join(where)) from None
        elif record.wire_type == LENGTH and field_wire_type(field) != LENGTH:
            _check_packed(buffer, record, field, ".".join(where))


def _check_packed(buffer: bytes, record: Record, field: Field, path: str) -> None:
    expected = field_wire_type(field)
    if expected == VARINT:
        at = record.body
        while at < record.end:
            try:
                at = read_varint(buffer, at, record.end)[1]
            except WireFault as fault:
                raise WireFault(fault.offset, fault.reason, path) from None
        return
    size = 4 if expected == FIXED32 else 8
    if (record.end - record.body) % size:
        raise WireFault(record.body, f"{record.end - record.body} bytes of {size}-byte numbers", path)
