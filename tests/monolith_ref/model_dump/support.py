"""Golden dump files, and generated messages of any shape."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from monolith_ref.model_dump.wire import encode_tag, encode_varint, is_map

GOLDEN = Path(str(files("monolith_conformance") / "golden" / "model_dump"))
DUMPS = sorted(path.name for path in GOLDEN.glob("*.pb"))

SMALL = b"\x0a\x07\x0a\x05train"
"""The smallest file that can be read: an empty train model."""


def golden(name: str) -> bytes:
    """The bytes of a golden file."""
    return (GOLDEN / name).read_bytes()


KEYS = st.sampled_from(["", "T", "Tshape", "Tidx", "a", "ab", "a.b", "k}", "été", "ps_1", "ps_10", "name"])
TEXTS = st.text(alphabet="ab'\"\\\n{}é中", max_size=6)
INTS = st.sampled_from([0, 1, 2, 127, 128, 300, -1, 2**31 - 1, -(2**31)])


@st.composite
def unknown_records(draw: st.DrawFn) -> bytes:
    """Unknown fields with numbers that no schema of ours uses, of every wire type."""
    out = b""
    for _ in range(draw(st.integers(0, 2))):
        number = draw(st.sampled_from([900, 2000, 18999]))
        kind = draw(st.sampled_from([0, 1, 2, 5, 3]))
        body = {
            0: encode_varint(draw(st.integers(0, 2**64 - 1))),
            1: b"12345678",
            2: encode_varint(3) + b"\x08\x01\xff",
            5: b"1234",
            3: encode_tag(1, 0) + b"\x05" + encode_tag(number, 4),
        }[kind]
        out += encode_tag(number, kind) + body
    return out


def scalars(field: Any) -> st.SearchStrategy[Any]:
    """Values of a field that is no message."""
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=6)
    return {
        FieldDescriptor.CPPTYPE_STRING: TEXTS,
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
        FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
        FieldDescriptor.CPPTYPE_INT32: INTS,
        FieldDescriptor.CPPTYPE_INT64: st.sampled_from([0, 1, -1, 2**62]),
        FieldDescriptor.CPPTYPE_UINT32: st.sampled_from([0, 1, 2**32 - 1]),
        FieldDescriptor.CPPTYPE_UINT64: st.sampled_from([0, 1, 2**64 - 1]),
    }[field.cpp_type]


@st.composite
def filled(draw: st.DrawFn, kind: type[Message], depth: int = 3) -> Message:
    """A message with any set of fields, unknown ones among them."""
    out = kind()
    _fill(draw, out, depth)
    return out


def _fill(draw: st.DrawFn, message: Message, depth: int) -> None:
    descriptor: Any = message.DESCRIPTOR
    if not descriptor.fields:
        return
    chosen = draw(st.lists(st.sampled_from(list(descriptor.fields)), max_size=4, unique_by=lambda field: field.number))
    field: Any
    for field in chosen:
        target = getattr(message, field.name)
        if is_map(field):
            part = field.message_type.fields_by_name["value"]
            text_keys = field.message_type.fields_by_name["key"].type == FieldDescriptor.TYPE_STRING
            for key in draw(st.lists(KEYS if text_keys else st.integers(0, 300), max_size=3)):
                if part.message_type is None:
                    target[key] = draw(scalars(part))
                elif depth:
                    _fill(draw, target[key], depth - 1)
        elif field.message_type is not None:
            if not depth:
                continue
            for _ in range(draw(st.integers(1, 2)) if field.is_repeated else 1):
                part_message = target.add() if field.is_repeated else target
                part_message.SetInParent()
                _fill(draw, part_message, depth - 1)
        elif field.is_repeated:
            target.extend(draw(st.lists(scalars(field), max_size=3)))
        else:
            setattr(message, field.name, draw(scalars(field)))
    message.MergeFromString(draw(unknown_records()))
