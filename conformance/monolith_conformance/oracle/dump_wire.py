"""Dump files, byte by byte: what is a message, what is not, and its canonical form. Rule: model_dump 2.4, 7.5.

Only the schema (numbers and kinds of fields) is taken from protobuf; the bytes are taken apart and put together here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monolith_protos import model_dump_pb2

__all__ = ["BadDump", "canonical", "read_models"]

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
DEPTH = 100
SIZES = {FIXED64: 8, FIXED32: 4}
U64 = (1 << 64) - 1


class BadDump(ValueError):
    """The bytes are no dump."""


class _Record(NamedTuple):
    number: int
    kind: int
    value: Any
    raw: bytes


def read_models(data: bytes) -> dict[str, bytes]:
    """Bodies of the models of a dump by name; BadDump for what must be refused."""
    canonical(data)
    field = model_dump_pb2.ModelDump.DESCRIPTOR.fields_by_name["model_dump"]
    models = _entries(field, [r.value for r in _records(data) if r.number == field.number and r.kind == LENGTH], 0)
    if "train" not in models:
        raise BadDump("there is no train model")
    return models


def canonical(data: bytes) -> bytes:
    """The canonical form of a dump file."""
    if not data:
        raise BadDump("the file is empty")
    return _message(model_dump_pb2.ModelDump.DESCRIPTOR, data, 0)


def _varint(data: bytes, at: int, longest: int = 10) -> tuple[int, int]:
    value = 0
    for count in range(longest):
        if at + count >= len(data):
            raise BadDump(f"byte {at}: a number is cut")
        byte = data[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value & U64, at + count + 1
    raise BadDump(f"byte {at}: a number is too long")


def _records(data: bytes, depth: int = 0) -> list[_Record]:
    """All records of one message."""
    found, at = [], 0
    while at < len(data):
        begin = at
        number, kind, value, at = _one(data, at, depth)
        if kind == GROUP_END:
            raise BadDump(f"byte {begin}: the end of nothing")
        found.append(_Record(number, kind, value, data[begin:at]))
    return found


def _one(data: bytes, at: int, depth: int) -> tuple[int, int, Any, int]:
    """(number, kind, value, what comes after) of the record at a byte."""
    tag, body = _varint(data, at, 5)
    number, kind = tag >> 3, tag & 7
    if number == 0 or tag >> 32:
        raise BadDump(f"byte {at}: field {number}")
    if kind == VARINT:
        return number, kind, *_varint(data, body)
    if kind == LENGTH:
        length, body = _varint(data, body)
        if length > len(data) - body:
            raise BadDump(f"byte {at}: {length} bytes where {len(data) - body} are left")
        return number, kind, data[body : body + length], body + length
    if kind in SIZES:
        if SIZES[kind] > len(data) - body:
            raise BadDump(f"byte {at}: a number is cut")
        return number, kind, data[body : body + SIZES[kind]], body + SIZES[kind]
    if kind == GROUP:
        if depth + 1 > DEPTH:
            raise BadDump(f"byte {at}: too deep")
        while True:
            inner, inner_kind, _, body = _one(data, body, depth + 1)
            if inner_kind == GROUP_END:
                if inner != number:
                    raise BadDump(f"byte {body}: the end of another group")
                return number, kind, None, body
    if kind == GROUP_END:
        return number, kind, None, body
    raise BadDump(f"byte {at}: kind {kind}")


def _kind(field: Any) -> int:
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_MESSAGE):
        return LENGTH
    if field.type in (field.TYPE_DOUBLE, field.TYPE_FIXED64, field.TYPE_SFIXED64):
        return FIXED64
    if field.type in (field.TYPE_FLOAT, field.TYPE_FIXED32, field.TYPE_SFIXED32):
        return FIXED32
    return VARINT


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _message(descriptor: Any, data: bytes, depth: int) -> bytes:
    """The canonical form of one message."""
    if depth > DEPTH:
        raise BadDump("too deep")
    known: dict[int, list[Any]] = {}
    chosen: dict[str, int] = {}
    unknown = b""
    for record in _records(data, depth):
        field = descriptor.fields_by_number.get(record.number)
        values = _values(field, record) if field is not None else None
        if field is None or values is None:
            unknown += record.raw
            continue
        if field.containing_oneof is not None:
            before = chosen.get(field.containing_oneof.name)
            if before not in (None, field.number):
                known.pop(before, None)  # Of several members of a oneof the last one stays.
            chosen[field.containing_oneof.name] = field.number
        strange = [v for v in values if field.enum_type is not None and not _named(field, v)]
        unknown += b"".join(_tag(field.number, VARINT) + _encoded(v & U64) for v in strange)
        kept = [v for v in values if v not in strange] if strange else values
        if kept or not strange:
            known.setdefault(field.number, []).extend(kept)
    out = b""
    for number in sorted(known):
        out += _field(descriptor.fields_by_number[number], known[number], depth)
    return out + unknown


def _named(field: Any, value: int) -> bool:
    """Whether an enum has a value, where it is one of those that say what they do not know."""
    closed = field.enum_type.is_closed if hasattr(field.enum_type, "is_closed") else False
    return not closed or value in field.enum_type.values_by_number


def _values(field: Any, record: _Record) -> list[Any] | None:
    """The values of a record, or None where it is of another kind than its field."""
    kind = _kind(field)
    if record.kind == kind:
        return [_value(field, record.value)]
    if record.kind == LENGTH and field.is_repeated and kind != LENGTH:
        found, at = [], 0
        while at < len(record.value):
            if kind == VARINT:
                raw, at = _varint(record.value, at)
            else:
                raw, at = record.value[at : at + SIZES[kind]], at + SIZES[kind]
                if len(raw) < SIZES[kind]:
                    raise BadDump("a packed number is cut")
            found.append(_value(field, raw))
        return found
    return None


def _value(field: Any, raw: Any) -> Any:
    """A number as its kind holds it; bytes and messages as they are."""
    if field.type == field.TYPE_STRING:
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadDump(f"{field.name}: {error}") from None
    if _kind(field) != VARINT:
        return raw
    if field.type == field.TYPE_BOOL:
        return int(raw != 0)
    bits = 32 if field.type in (field.TYPE_INT32, field.TYPE_UINT32, field.TYPE_SINT32, field.TYPE_ENUM) else 64
    raw &= (1 << bits) - 1
    signed = field.type in (field.TYPE_INT32, field.TYPE_INT64, field.TYPE_ENUM)
    return raw - (1 << bits) if signed and raw >> (bits - 1) else raw


def _field(field: Any, values: list[Any], depth: int) -> bytes:
    """One field with all its values."""
    if _is_map(field):
        return _map(field, values, depth)
    kind = _kind(field)
    if field.is_repeated:
        if field.is_packed and values:
            return _chunk(field.number, b"".join(_scalar(kind, value) for value in values))
        return b"".join(_single(field, value, depth) for value in values)
    if field.type == field.TYPE_MESSAGE:
        return _single(field, b"".join(values), depth)  # What is said in parts is one message.
    last = values[-1]
    if not field.has_presence and _scalar(kind, last).strip(b"\0") == b"":
        return b""
    return _single(field, last, depth)


def _single(field: Any, value: Any, depth: int) -> bytes:
    if field.type == field.TYPE_MESSAGE:
        return _chunk(field.number, _message(field.message_type, value, depth + 1))
    kind = _kind(field)
    return _chunk(field.number, value) if kind == LENGTH else _tag(field.number, kind) + _scalar(kind, value)


def _entries(field: Any, values: list[bytes], depth: int) -> dict[Any, Any]:
    """Canonical values of a map by key; of two entries with one key the last one stays."""
    parts = field.message_type.fields_by_name
    found: dict[Any, Any] = {}
    for entry in values:
        key: Any = "" if parts["key"].type == field.TYPE_STRING else 0
        bodies: list[Any] = []
        for record in _records(entry, depth + 1):
            part = field.message_type.fields_by_number.get(record.number)
            got = _values(part, record) if part is not None else None
            if got and part is not None and part.name == "key":
                key = got[-1].decode() if isinstance(got[-1], bytes) else got[-1]
            elif got:
                bodies += got
        value = parts["value"]
        if value.type == field.TYPE_MESSAGE:
            found[key] = _message(value.message_type, b"".join(bodies), depth + 2)
        else:
            found[key] = bodies[-1] if bodies else (b"" if _kind(value) == LENGTH else 0)
    return found


def _map(field: Any, values: list[bytes], depth: int) -> bytes:
    key_field, value_field = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    out = b""
    found = _entries(field, values, depth)
    for key in sorted(found, key=lambda k: k.encode() if isinstance(k, str) else k):
        parts = b""
        for part, value in ((key_field, key), (value_field, found[key])):
            raw = value.encode() if isinstance(value, str) else value
            kind = _kind(part)
            parts += _chunk(part.number, raw) if kind == LENGTH else _tag(part.number, kind) + _scalar(kind, raw)
        out += _chunk(field.number, parts)
    return out


def _scalar(kind: int, value: Any) -> bytes:
    return _encoded(value & U64) if kind == VARINT else bytes(value)


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, kind: int) -> bytes:
    return _encoded(number << 3 | kind)


def _chunk(number: int, body: bytes) -> bytes:
    return _tag(number, LENGTH) + _encoded(len(body)) + body
