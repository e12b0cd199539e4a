"""Requests and replies as JSON, one object a line: for languages without protobuf.

Names are those of the messages and a member of the oneof is a key; ids are decimal strings, ``floats``, ``rates`` and
``upstream`` are bit patterns as words of eight hex digits with single spaces, other bytes are hex; what is absent has
its default. Rule: testee.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from monolith_ref.errors import FormatError

__all__ = ["floats_to_words", "from_json", "to_json", "words_to_floats"]

FLOAT_FIELDS = frozenset({"floats", "rates", "upstream"})
ID_FIELDS = frozenset({"ids", "id"})


def to_json(message: Message) -> str:
    """One line of JSON (without its end) for a request or a reply."""
    return json.dumps(_encode(message), separators=(",", ":"))


def from_json(line: str | bytes, message: Message) -> None:
    """Fill ``message`` from one line of JSON; :class:`~monolith_ref.errors.FormatError` names the field at fault."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a line of JSON: {error}") from None
    _decode(value, message, type(message).__name__)


def floats_to_words(data: bytes) -> str:
    """Little-endian float32 bytes as words of eight hex digits."""
    return np.frombuffer(data, "<u4").astype(">u4").tobytes().hex(" ", 4)


def words_to_floats(words: str) -> bytes:
    """Words of eight hex digits as little-endian float32 bytes."""
    if any(len(word) != 8 for word in words.split()):
        raise ValueError("a float is a word of eight hex digits")
    return np.frombuffer(bytes.fromhex(words), ">u4").astype("<u4").tobytes()


def _encode(message: Message) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.is_repeated:
            result[field.name] = [_encode_one(field, item) for item in value]
        else:
            result[field.name] = _encode_one(field, value)
    return result


def _encode_one(field: FieldDescriptor, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _encode(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return floats_to_words(value) if field.name in FLOAT_FIELDS else value.hex()
    if field.name in ID_FIELDS:
        return str(value)
    return value


def _decode(value: Any, message: Message, path: str) -> None:
    if not isinstance(value, dict):
        raise FormatError(f"{path}: an object was expected, not {type(value).__name__}")
    fields: dict[str, Any] = dict(message.DESCRIPTOR.fields_by_name)
    for name, item in value.items():
        field = fields.get(name)
        if field is None or item is None:
            continue  # A field unknown to this version is ignored, as in the binary encoding.
        where = f"{path}.{name}"
        if field.is_repeated:
            if not isinstance(item, list):
                raise FormatError(f"{where}: a list was expected, not {type(item).__name__}")
            _decode_list(field, item, getattr(message, name), where)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            member = getattr(message, name)
            member.SetInParent()
            _decode(item, member, where)
        else:
            _set(lambda decoded, name=name: setattr(message, name, decoded), field, item, where)


def _decode_list(field: FieldDescriptor, items: list[Any], container: Any, where: str) -> None:
    for number, item in enumerate(items):
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            _decode(item, container.add(), f"{where}[{number}]")
        else:
            _set(container.append, field, item, f"{where}[{number}]")


def _set(put: Any, field: FieldDescriptor, item: Any, where: str) -> None:
    try:
        put(_decode_one(field, item))
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: {error}") from None


def _decode_one(field: FieldDescriptor, item: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        if not isinstance(item, str):
            raise TypeError(f"a string was expected, not {type(item).__name__}")
        return words_to_floats(item) if field.name in FLOAT_FIELDS else bytes.fromhex(item)
    if field.type == FieldDescriptor.TYPE_BOOL:
        if not isinstance(item, bool):
            raise TypeError(f"true or false was expected, not {item!r}")
        return item
    if field.type == FieldDescriptor.TYPE_STRING:
        return item
    if isinstance(item, bool) or not isinstance(item, int | str):
        raise TypeError(f"a whole number was expected, not {item!r}")
    return int(item)
