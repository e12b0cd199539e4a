"""Dump files as JSON without loss: decoded content, and how the bytes depart from its canonical form.

``bytes`` that hold something known are decoded: graphs, table configurations and slice infos as messages, pickles as
instructions, typed parameters as JSON. What is left is base64. Nothing in it is a copy of the file: :func:`build` makes
the bytes again, and from an edited document the edited message.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message
from monolith_protos import graph_pb2, hash_table_pb2, model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.canonical import unknown_bytes
from monolith_ref.model_dump.departures import Departure, Groups, apply_departures, find_departures, group_departures
from monolith_ref.model_dump.file import parse_dump
from monolith_ref.model_dump.parsing import parse_whole_entries
from monolith_ref.model_dump.pickles import assemble, disassemble
from monolith_ref.model_dump.schema import Descriptor, Field, Types
from monolith_ref.model_dump.wire import Record, is_map, known_field, scan

__all__ = ["FORMAT", "build", "decode_message", "encode_message", "to_json"]

FORMAT = "monolith-ref model_dump 1"
UNKNOWN = "?"

_PREFIX = "monolith_ref.model_dump."
_MESSAGES: dict[str, type[Message]] = {
    f"{_PREFIX}ProtoModel.graph_def": graph_pb2.GraphDef,
    f"{_PREFIX}ProtoModel.SaveSliceInfoEntry.value": graph_pb2.SaveSliceInfoDef,
    f"{_PREFIX}HashTableConfig.table_config": hash_table_pb2.EmbeddingHashTableConfig,
}
_PICKLES = {f"{_PREFIX}ProtoModel.params", f"{_PREFIX}ProtoModel.optimizer"}
_JSON = {f"{_PREFIX}ProtoModel.typed_params", f"{_PREFIX}ProtoModel.typed_optimizer"}
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


# Writing -------------------------------------------------------------------------------------------------------------


def to_json(raw: bytes) -> dict[str, Any]:
    """The document of a file.

    Raises
    ------
    DumpError
        ``empty_file``, ``malformed``.
    """
    message = parse_dump(raw)
    writer = _Writer(raw)
    content = writer.message(message, "")
    # What the document says, read again: a NaN may have lost bits on its way, which then count as a departure.
    read = _Reader(group_departures(writer.departures)).message(content, model_dump_pb2.ModelDump(), "")
    departures = find_departures(raw, read, "", 0)
    return {
        "format": FORMAT,
        "message": content,
        "departures": [item.to_json() for item in [*departures, *writer.departures]],
    }


def encode_message(message: Message) -> dict[str, Any]:
    """The content of a message alone, ``bytes`` in it as they are."""
    return _Writer(None).message(message, "")


class _Writer:
    """Messages to JSON; collects the departures of decoded ``bytes``."""

    def __init__(self, raw: bytes | None) -> None:
        self.departures: list[Departure] = []
        self.decoding = raw is not None
        self.offsets = dict(_payload_offsets(raw)) if raw is not None else {}

    def message(self, message: Message, path: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        prefix = f"{path}." if path else ""
        field: Field
        for field, value in message.ListFields():
            where = f"{prefix}{field.name}"
            if is_map(field):
                part = field.message_type.fields_by_name["value"]
                keys = sorted(value, key=lambda key: key.encode() if isinstance(key, str) else key)
                out[field.name] = {str(key): self.value(part, value[key], f"{where}{{{key}}}") for key in keys}
            elif field.is_repeated:
                out[field.name] = [self.value(field, item, f"{where}[{place}]") for place, item in enumerate(value)]
            else:
                out[field.name] = self.value(field, value, where)
        rest = unknown_bytes(message)
        if rest:
            out[UNKNOWN] = [rest[record.start : record.end].hex() for record in scan(rest, 0, len(rest))]
        return out

    def value(self, field: Field, value: Any, path: str) -> Any:
        if field.message_type is not None:
            return self.message(value, path)
        if field.enum_type is not None:
            named = field.enum_type.values_by_number.get(value)
            return value if named is None else named.name
        if isinstance(value, bytes):
            return self.of_bytes(field, value, path)
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return value

    def of_bytes(self, field: Field, value: bytes, path: str) -> dict[str, Any]:
        if self.decoding and value:
            decoded = self.decoded(field.full_name, value, path)
            if decoded is not None:
                return decoded
        return plain_bytes(value)

    def decoded(self, name: str, value: bytes, path: str) -> dict[str, Any] | None:
        """A known payload, or None where that would lose something."""
        if name in _MESSAGES:
            return self.payload(_MESSAGES[name], value, path)
        if name in _PICKLES:
            instructions = disassemble(value)
            return None if instructions is None else {"pickle": instructions}
        if name in _JSON:
            try:
                found = {"json": json.loads(value.decode("utf-8"))}
                return found if json_bytes(found["json"]) == value else None
            except (ValueError, RecursionError):
                return None
        return None

    def payload(self, kind: type[Message], value: bytes, path: str) -> dict[str, Any] | None:
        try:
            read = parse_whole_entries(kind, value)
        except DecodeError:
            return None
        content = encode_message(read)
        same = _Reader(Groups()).message(content, kind(), path)
        departures = find_departures(value, same, path, self.offsets.get(path, 0))
        if apply_departures(same, path, group_departures(departures), encode_message) != value:
            return None
        self.departures += departures
        return {"message": content}


def plain_bytes(value: bytes) -> dict[str, Any]:
    """Text where the bytes are printable, else base64."""
    try:
        text = value.decode("utf-8")
        if text.isprintable():
            return {"text": text}
    except UnicodeDecodeError:
        pass
    return {"base64": base64.b64encode(value).decode()}


def json_bytes(value: Any) -> bytes:
    """Typed parameters as this project writes them."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode("utf-8")


def _payload_offsets(raw: bytes) -> Iterator[tuple[str, int]]:
    """Where in the file decoded ``bytes`` stand, by path."""
    yield from _offsets(raw, Record(0, 0, 0, 0, len(raw)), model_dump_pb2.ModelDump.DESCRIPTOR, "", {})


def _offsets(
    raw: bytes, body: Record, descriptor: Descriptor, path: str, counts: dict[str, int]
) -> Iterator[tuple[str, int]]:
    for record in scan(raw, body.body, body.end):
        field = known_field(descriptor, record)
        if field is None:
            continue
        where = f"{path}.{field.name}" if path else field.name
        if field.full_name in _MESSAGES:
            yield where, record.body
        elif field.message_type is None or field.message_type.full_name.startswith("monolith_ref.hash_table."):
            continue
        elif is_map(field):
            parts = scan(raw, record.body, record.end)
            keys = [raw[part.body : part.end].decode("utf-8", "replace") for part in parts if part.number == 1]
            place = f"{where}{{{keys[-1] if keys else ''}}}"
            for part in parts:
                inner = known_field(field.message_type, part)
                if inner is None or inner.name != "value":
                    continue
                if inner.full_name in _MESSAGES:
                    yield place, part.body
                elif inner.message_type is not None:
                    yield from _offsets(raw, part, inner.message_type, place, counts)
        else:
            if field.is_repeated:
                counts[where] = counts.get(where, -1) + 1
                where = f"{where}[{counts[where]}]"
            yield from _offsets(raw, record, field.message_type, where, counts)


# Reading -------------------------------------------------------------------------------------------------------------


def build(document: Mapping[str, Any]) -> bytes:
    """The bytes that a document stands for.

    Raises
    ------
    DumpError
        ``bad_json``, naming the place.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("message"), Mapping):
        raise DumpError("there is no message in the document", kind="bad_json")
    try:
        departures = [
            Departure(item["path"], item["part"], int(item["offset"]), str(item["hex"]), int(item.get("count", 1)))
            for item in document.get("departures", [])
        ]
        for item in departures:
            bytes.fromhex(item.hex)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DumpError(f"a departure is not path, part, offset, hex ({error!r})", kind="bad_json") from None
    groups = group_departures(departures)
    message = _Reader(groups).message(document["message"], model_dump_pb2.ModelDump(), "")
    return apply_departures(message, "", groups, encode_message)


def decode_message(content: Any, message: Message) -> Message:
    """Fill ``message`` from what :func:`encode_message` gave."""
    return _Reader(Groups()).message(content, message, "")


class _Reader:
    """JSON to messages; decoded ``bytes`` get their departures back."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups

    def fail(self, path: str, reason: str) -> DumpError:
        return DumpError(f"{path or '.'}: {reason}", kind="bad_json")

    def message(self, content: Any, message: Message, path: str) -> Message:
        if not isinstance(content, Mapping):
            raise self.fail(path, f"an object is needed, not {content!r:.60}")
        prefix = f"{path}." if path else ""
        for name, value in content.items():
            where = f"{prefix}{name}"
            if name == UNKNOWN:
                continue
            field = message.DESCRIPTOR.fields_by_name.get(name)
            if field is None:
                raise self.fail(where, f"{message.DESCRIPTOR.name} has no such field")
            try:
                self.fill(message, field, value, where)
            except (TypeError, ValueError, OverflowError) as error:
                if isinstance(error, DumpError):
                    raise
                raise self.fail(where, str(error)) from None
        self.unknown(message, content.get(UNKNOWN, []), f"{prefix}{UNKNOWN}")
        return message

    def unknown(self, message: Message, items: Any, path: str) -> None:
        try:
            data = b"".join(bytes.fromhex(item) for item in items)
            if data:
                message.MergeFromString(data)
        except (TypeError, ValueError, DecodeError) as error:
            raise self.fail(path, f"unknown fields are a list of hex texts ({error})") from None

    def fill(self, message: Message, field: Field, value: Any, path: str) -> None:
        target = getattr(message, field.name)
        if is_map(field):
            key_field = field.message_type.fields_by_name["key"]
            part = field.message_type.fields_by_name["value"]
            if not isinstance(value, Mapping):
                raise self.fail(path, "an object is needed")
            for text, item in value.items():
                key = text if key_field.type == Types.TYPE_STRING else int(text)
                where = f"{path}{{{text}}}"
                if part.message_type is not None:
                    self.message(item, target[key], where)
                else:
                    target[key] = self.scalar(part, item, where)
        elif field.is_repeated:
            if not isinstance(value, list):
                raise self.fail(path, "a list is needed")
            for place, item in enumerate(value):
                where = f"{path}[{place}]"
                if field.message_type is not None:
                    self.message(item, target.add(), where)
                else:
                    target.append(self.scalar(field, item, where))
        elif field.message_type is not None:
            target.SetInParent()
            self.message(value, target, path)
        else:
            setattr(message, field.name, self.scalar(field, value, path))

    def scalar(self, field: Field, value: Any, path: str) -> Any:
        if field.enum_type is not None and isinstance(value, str):
            named = field.enum_type.values_by_name.get(value)
            if named is None:
                raise self.fail(path, f"{field.enum_type.name} has no '{value}'")
            return named.number
        if field.type == Types.TYPE_BYTES:
            return self.of_bytes(field, value, path)
        if field.cpp_type in (Types.CPPTYPE_FLOAT, Types.CPPTYPE_DOUBLE) and value in _SPECIAL:
            return _SPECIAL[value]
        return value

    def of_bytes(self, field: Field, value: Any, path: str) -> bytes:
        if not isinstance(value, Mapping) or len(value) != 1:
            raise self.fail(path, "bytes are an object with one member: message, pickle, json, text or base64")
        kind, content = next(iter(value.items()))
        if kind == "text" and isinstance(content, str):
            return content.encode("utf-8")
        if kind == "base64" and isinstance(content, str):
            return base64.b64decode(content, validate=True)
        if kind == "json" and field.full_name in _JSON:
            return json_bytes(content)
        if kind == "pickle" and isinstance(content, list) and field.full_name in _PICKLES:
            return assemble(content)
        if kind == "message" and field.full_name in _MESSAGES:
            message = self.message(content, _MESSAGES[field.full_name](), path)
            return apply_departures(message, path, self.groups, encode_message)
        raise self.fail(path, f"bytes cannot be given as '{kind}' here")
