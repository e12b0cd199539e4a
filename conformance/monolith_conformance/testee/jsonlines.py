"""Requests and replies as JSON, one object a line: for languages without protobuf.

Names are those of the messages and a member of the oneof is a key; ids are decimal strings, ``floats``, ``rates`` and
``upstream`` are bit patterns as words of eight hex digits with single spaces, other bytes are hex; what is absent has
its default. Rule: testee.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from monolith_ref.errors import FormatError

__all__ = ["floats_to_words", "from_json", "to_json", "words_to_floats"]

FLOAT_FIELDS = frozenset({"floats", "rates", "upstream"})
ID_FIELDS = frozenset({"ids", "id"})
FEW_BYTES = 256
"""Up to here text is turned around faster than arrays are made."""

_ENCODER = json.JSONEncoder(separators=(",", ":"))


def to_json(message: Message) -> str:
    """One line of JSON (without its end) for a request or a reply."""
    return _ENCODER.encode(_encode(message))


def from_json(line: str | bytes, message: Message) -> None:
    """Fill ``message`` from one line of JSON; :class:`~monolith_ref.errors.FormatError` names the field at fault."""
    try:
        value = json.loads(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a line of JSON: {error}") from None
    _decode(value, message, type(message).__name__)


def floats_to_words(data: bytes) -> str:
    """Little-endian float32 bytes as words of eight hex digits; what is left of a float comes as a shorter word."""
    rest = len(data) % 4
    if rest:
        return f"{floats_to_words(data[:-rest])} {data[-rest:].hex()}".strip()
    if len(data) <= FEW_BYTES:
        return " ".join(data[::-1].hex(" ", 4).split()[::-1])
    return np.frombuffer(data, "<u4").astype(">u4").tobytes().hex(" ", 4)


def words_to_floats(words: str, *, rest: bool = False) -> bytes:
    """Words of eight hex digits as little-endian float32 bytes; with ``rest`` the last word may be shorter."""
    parts = words.split()
    if rest and parts and len(parts[-1]) != 8:
        return words_to_floats(" ".join(parts[:-1])) + bytes.fromhex(parts[-1])
    if parts and set(map(len, parts)) != {8}:
        raise ValueError("a float is a word of eight hex digits")
    if len(words) <= 2 * FEW_BYTES:
        return bytes.fromhex("".join(parts[::-1]))[::-1]
    return np.frombuffer(bytes.fromhex(words), ">u4").astype("<u4").tobytes()


class _Plan(NamedTuple):
    """How one field is written and read; looked up by name, because descriptors are slow to ask."""

    repeated: bool
    nested: bool
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


_PLANS: dict[str, dict[str, _Plan]] = {}


def _plans(descriptor: Any) -> dict[str, _Plan]:
    name: str = descriptor.full_name
    found = _PLANS.get(name)
    if found is None:
        found = _PLANS[name] = {field.name: _plan(field) for field in descriptor.fields}
    return found


def _plan(field: FieldDescriptor) -> _Plan:
    nested = field.type == FieldDescriptor.TYPE_MESSAGE
    write: Callable[[Any], Any] = _same
    read: Callable[[Any], Any] = _whole_number
    if nested:
        write, read = _encode, _same
    elif field.type == FieldDescriptor.TYPE_BYTES:
        floats = field.name in FLOAT_FIELDS
        write = floats_to_words if floats else bytes.hex
        # A request may hold what is no whole number of floats, to be refused; a reply may not.
        strict = field.full_name.split(".")[-2] == "Result"
        read = (_whole_floats if strict else _floats) if floats else _bytes
    elif field.type == FieldDescriptor.TYPE_BOOL:
        read = _bool
    elif field.type == FieldDescriptor.TYPE_STRING:
        read = _same
    elif field.name in ID_FIELDS:
        write = str
    return _Plan(bool(field.is_repeated), nested, write, read)


def _encode(message: Message) -> dict[str, Any]:
    plans, result = _plans(message.DESCRIPTOR), {}
    for field, value in message.ListFields():
        name = field.name
        plan = plans[name]
        if not plan.repeated:
            result[name] = plan.write(value)
        elif plan.write is _same:
            result[name] = list(value)
        else:
            result[name] = [plan.write(item) for item in value]
    return result


def _decode(value: Any, message: Message, path: str) -> None:
    if not isinstance(value, dict):
        raise FormatError(f"{path}: an object was expected, not {type(value).__name__}")
    plans = _plans(message.DESCRIPTOR)
    for name, item in value.items():
        plan = plans.get(name)
        if plan is None or item is None:
            continue  # A field unknown to this version is ignored, as in the binary encoding.
        if plan.repeated:
            _decode_list(plan, item, getattr(message, name), f"{path}.{name}")
        elif plan.nested:
            member = getattr(message, name)
            member.SetInParent()
            _decode(item, member, f"{path}.{name}")
        else:
            try:
                setattr(message, name, plan.read(item))
            except (TypeError, ValueError) as error:
                raise FormatError(f"{path}.{name}: {error}") from None


def _decode_list(plan: _Plan, items: Any, container: Any, path: str) -> None:
    if not isinstance(items, list):
        raise FormatError(f"{path}: a list was expected, not {type(items).__name__}")
    for number, item in enumerate(items):
        if plan.nested:
            _decode(item, container.add(), f"{path}[{number}]")
            continue
        try:
            container.append(plan.read(item))
        except (TypeError, ValueError) as error:
            raise FormatError(f"{path}[{number}]: {error}") from None


def _same(item: Any) -> Any:
    return item


def _floats(item: Any) -> bytes:
    return words_to_floats(_text(item), rest=True)


def _whole_floats(item: Any) -> bytes:
    return words_to_floats(_text(item))


def _bytes(item: Any) -> bytes:
    return bytes.fromhex(_text(item))


def _text(item: Any) -> str:
    if not isinstance(item, str):
        raise TypeError(f"a string was expected, not {type(item).__name__}")
    return item


def _bool(item: Any) -> bool:
    if not isinstance(item, bool):
        raise TypeError(f"true or false was expected, not {item!r}")
    return item


def _whole_number(item: Any) -> int:
    if isinstance(item, bool) or not isinstance(item, int | str):
        raise TypeError(f"a whole number was expected, not {item!r}")
    return int(item)
