"""The instructions of a pickle and their encodings; a pickle as a list of them is lossless."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from monolith_ref.errors import DumpError

__all__ = ["CODES", "Operation", "assemble", "disassemble", "operations"]

CODES: dict[int, tuple[str, str]] = {}
"""Byte -> (name, kind of argument)."""

_TABLE = """
( MARK -; . STOP -; 0 POP -; 1 POP_MARK -; 2 DUP -; F FLOAT line; I INT line; J BININT i4; K BININT1 u1; L LONG line
M BININT2 u2; N NONE -; P PERSID line; Q BINPERSID -; R REDUCE -; S STRING line; T BINSTRING l4; U SHORT_BINSTRING l1
V UNICODE line; X BINUNICODE t4; a APPEND -; b BUILD -; c GLOBAL lines; d DICT -; } EMPTY_DICT -; e APPENDS -
g GET line; h BINGET u1; i INST lines; j LONG_BINGET u4; l LIST -; ] EMPTY_LIST -; o OBJ -; p PUT line; q BINPUT u1
r LONG_BINPUT u4; s SETITEM -; t TUPLE -; ) EMPTY_TUPLE -; u SETITEMS -; G BINFLOAT f8
80 PROTO u1; 81 NEWOBJ -; 82 EXT1 u1; 83 EXT2 u2; 84 EXT4 i4; 85 TUPLE1 -; 86 TUPLE2 -; 87 TUPLE3 -; 88 NEWTRUE -
89 NEWFALSE -; 8a LONG1 n1; 8b LONG4 n4; B BINBYTES b4; C SHORT_BINBYTES b1; 8c SHORT_BINUNICODE t1; 8d BINUNICODE8 t8
8e BINBYTES8 b8; 8f EMPTY_SET -; 90 ADDITEMS -; 91 FROZENSET -; 92 NEWOBJ_EX -; 93 STACK_GLOBAL -; 94 MEMOIZE -
95 FRAME u8; 96 BYTEARRAY8 b8; 97 NEXT_BUFFER -; 98 READONLY_BUFFER -
"""
for _line in _TABLE.strip().splitlines():
    for _entry in _line.split("; "):
        _code, _name, _kind = _entry.split()
        CODES[int(_code, 16) if len(_code) == 2 else ord(_code)] = (_name, _kind)

_BY_NAME = {name: (code, kind) for code, (name, kind) in CODES.items()}
_FIXED = {"u1": "<B", "u2": "<H", "u4": "<I", "u8": "<Q", "i4": "<i", "f8": ">d"}
_LENGTHS = {"1": "<B", "4": "<I", "8": "<Q"}
_LONGEST_LINE = 1 << 20
_LONGEST_NUMBER = 1024


class Operation(NamedTuple):
    """One instruction: its name, its argument (None, a number, text or bytes) and its offset."""

    name: str
    argument: Any
    offset: int


def _fail(offset: int, reason: str) -> DumpError:
    return DumpError(reason, kind="malformed_pickle", offset=offset)


def operations(data: bytes) -> Iterator[tuple[Operation, int]]:
    """Instructions up to STOP, each with the offset behind it.

    Raises
    ------
    DumpError
        ``malformed_pickle``: an unknown instruction, one that is cut off, or no STOP.
    """
    at = 0
    while True:
        if at >= len(data):
            raise _fail(at, "the pickle ends without STOP")
        found = CODES.get(data[at])
        if found is None:
            raise _fail(at, f"no instruction {data[at]:#04x}")
        name, kind = found
        argument, behind = _argument(data, at + 1, kind)
        yield Operation(name, argument, at), behind
        if name == "STOP":
            return
        at = behind


def _argument(data: bytes, at: int, kind: str) -> tuple[Any, int]:
    if kind == "-":
        return None, at
    if kind in _FIXED:
        behind = at + struct.calcsize(_FIXED[kind])
        if behind > len(data):
            raise _fail(at, "an argument is cut off")
        return struct.unpack(_FIXED[kind], data[at:behind])[0], behind
    if kind in ("line", "lines"):
        first, behind = _text_line(data, at)
        if kind == "line":
            return first, behind
        second, behind = _text_line(data, behind)
        return f"{first}\n{second}", behind
    layout = _LENGTHS[kind[1]]
    start = at + struct.calcsize(layout)
    if start > len(data):
        raise _fail(at, "a length is cut off")
    length = struct.unpack(layout, data[at:start])[0]
    if length > len(data) - start:
        raise _fail(at, f"{length} bytes where {len(data) - start} are left")
    body = data[start : start + length]
    if kind[0] == "t":
        try:
            return body.decode("utf-8", "surrogatepass"), start + length
        except UnicodeDecodeError:
            raise _fail(start, "text that is not UTF-8") from None
    if kind[0] == "n":
        if length > _LONGEST_NUMBER:
            raise _fail(at, f"a number of {length} bytes")
        return int.from_bytes(body, "little", signed=True), start + length
    if kind[0] == "l":
        return body.decode("latin-1"), start + length
    return body, start + length


def _text_line(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\n", at, at + _LONGEST_LINE)
    if end < 0:
        raise _fail(at, "a line is cut off")
    return data[at:end].decode("latin-1"), end + 1


def disassemble(data: bytes) -> list[list[Any]] | None:
    """A pickle as ``[name]`` or ``[name, argument]`` lists that JSON holds, or None where that would lose something.

    Bytes become ``{"base64": text}``; anything behind STOP is a last item ``["REST", hex]``.
    """
    out: list[list[Any]] = []
    end = 0
    try:
        for operation, end in operations(data):  # noqa: B007 - the last offset is used below
            if operation.argument is None:
                out.append([operation.name])
            elif isinstance(operation.argument, bytes):
                out.append([operation.name, {"base64": base64.b64encode(operation.argument).decode()}])
            else:
                out.append([operation.name, operation.argument])
    except DumpError:
        return None
    if end < len(data):
        out.append(["REST", data[end:].hex()])
    try:
        return out if assemble(out) == data else None
    except (DumpError, UnicodeEncodeError):
        return None


def assemble(instructions: list[list[Any]]) -> bytes:
    """The bytes of what :func:`disassemble` gave; a FRAME's length is set anew where it was edited away from the end.

    Raises
    ------
    DumpError
        ``bad_json``: an instruction or argument that does not exist.
    """
    out = bytearray()
    for item in instructions:
        try:
            name, *rest = item
            if name == "REST":
                out += bytes.fromhex(rest[0])
                continue
            code, kind = _BY_NAME[name]
            out.append(code)
            out += _encode(kind, rest[0] if rest else None)
        except (KeyError, ValueError, TypeError, IndexError, struct.error, AttributeError) as error:
            raise DumpError(f"no pickle instruction {item!r} ({error})", kind="bad_json") from None
    return bytes(out)


def _encode(kind: str, argument: Any) -> bytes:
    if kind == "-":
        return b""
    if kind in _FIXED:
        return struct.pack(_FIXED[kind], argument)
    if kind in ("line", "lines"):
        return bytes(argument.encode("latin-1")) + b"\n"
    if isinstance(argument, dict):
        argument = base64.b64decode(argument["base64"], validate=True)
    if kind[0] == "t":
        body = argument.encode("utf-8", "surrogatepass")
    elif kind[0] == "n":
        length = (argument.bit_length() + 8) // 8 if argument else 0
        body = argument.to_bytes(length, "little", signed=True)
    elif kind[0] == "l":
        body = argument.encode("latin-1")
    else:
        body = argument
    return struct.pack(_LENGTHS[kind[1]], len(body)) + bytes(body)
