"""Messages and decoded values as the golden files write them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from google.protobuf.message import Message

from monolith_ref.model_dump.literals import TfDtype
from monolith_ref.model_dump.pickles import Inert
from monolith_ref.model_dump.schema import Field

__all__ = ["plain_bytes", "plain_message", "plain_value"]

SHORT = 128


def plain_bytes(data: bytes) -> dict[str, Any]:
    """Length, hash, and up to 128 bytes in base64."""
    out: dict[str, Any] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if len(data) <= SHORT:
        out["base64"] = base64.b64encode(data).decode()
    return out


def plain_message(message: Message) -> dict[str, Any]:
    """Every field that is there by its name; enums by name, map keys sorted."""
    out: dict[str, Any] = {}
    for field, value in message.ListFields():
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            part = kind.fields_by_name["value"]
            out[field.name] = {key: _plain(part, value[key]) for key in sorted(value)}
        elif field.is_repeated:
            out[field.name] = [_plain(field, item) for item in value]
        else:
            out[field.name] = _plain(field, value)
    return out


def _plain(field: Field, value: Any) -> Any:
    if field.message_type is not None:
        return plain_message(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    if isinstance(value, bytes):
        return plain_bytes(value)
    return value


def plain_value(value: Any) -> Any:
    """A decoded pickle or text in JSON."""
    if isinstance(value, TfDtype):
        return f"tf.{value}"
    if isinstance(value, bytes | bytearray):
        return {"bytes": len(value), "base64": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return {"tuple": [plain_value(item) for item in value]}
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, set | frozenset):
        return {"set": sorted((plain_value(item) for item in value), key=repr)}
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, Inert):
        out: dict[str, Any] = {"class": value.class_name}
        if value.args:
            out["args"] = [plain_value(item) for item in value.args]
        if value.kwargs:
            out["kwargs"] = plain_value(value.kwargs)
        if value.state is not None:
            out["state"] = plain_value(value.state)
        return out
    return value
