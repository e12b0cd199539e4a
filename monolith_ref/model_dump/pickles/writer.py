"""Writes protocol-4 pickles of plain values and of stand-ins for allowed classes; no live object is ever pickled."""

from __future__ import annotations

import struct
from typing import Any

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.pickles.reader import DEPTH_LIMIT, Inert, is_optimizer

__all__ = ["write_pickle"]

_REDUCED = frozenset({"monolith.native_training.model_export.export_context.ExportMode"})
"""Classes whose objects are made by a call with their arguments (enumerations); others by NEWOBJ and BUILD."""


def write_pickle(value: Any) -> bytes:
    """A protocol-4 pickle with one frame.

    Parameters
    ----------
    value
        None, bool, int, float, str, bytes, list, tuple, dict, set or :class:`Inert`, nested at most 100 deep. An
        ``Inert`` must name one of the parameter classes or an optimizer of TensorFlow or Keras.

    Raises
    ------
    DumpError
        ``unsupported_value`` for any other type, ``forbidden_global`` for any other class.
    """
    body = bytearray()
    _emit(value, body, 0)
    body += b"."
    # A frame is for at least four bytes, as Python's own writer has it.
    frame = b"\x95" + struct.pack("<Q", len(body)) if len(body) >= 4 else b""
    return b"\x80\x04" + frame + bytes(body)


def _emit(value: Any, out: bytearray, depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise DumpError(f"more than {DEPTH_LIMIT} levels", kind="unsupported_value")
    kind = type(value)
    if value is None:
        out += b"N"
    elif kind is bool:
        out += b"\x88" if value else b"\x89"
    elif kind is int:
        _emit_int(value, out)
    elif kind is float:
        out += b"G" + struct.pack(">d", value)
    elif kind is str:
        _emit_text(value, out)
    elif kind is bytes:
        out += b"C" + bytes([len(value)]) if len(value) < 256 else b"B" + struct.pack("<I", len(value))
        out += value
    elif kind is tuple:
        _emit_tuple(value, out, depth)
    elif kind is list:
        out += b"]"
        if value:
            out += b"("
            for item in value:
                _emit(item, out, depth + 1)
            out += b"e"
    elif kind is set:
        out += b"\x8f("
        for item in sorted(value, key=repr):
            _emit(item, out, depth + 1)
        out += b"\x90"
    elif kind is dict:
        out += b"}"
        if value:
            out += b"("
            for key, item in value.items():
                _emit(key, out, depth + 1)
                _emit(item, out, depth + 1)
            out += b"u"
    elif kind is Inert:
        _emit_object(value, out, depth)
    else:
        raise DumpError(f"a value of type {kind.__name__} cannot be written", kind="unsupported_value")


def _emit_int(value: int, out: bytearray) -> None:
    if 0 <= value < 256:
        out += b"K" + bytes([value])
    elif 0 <= value < 65536:
        out += b"M" + struct.pack("<H", value)
    elif -(2**31) <= value < 2**31:
        out += b"J" + struct.pack("<i", value)
    else:
        body = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
        if len(body) > 255:
            raise DumpError("an integer of more than 255 bytes", kind="unsupported_value")
        out += b"\x8a" + bytes([len(body)]) + body


def _emit_text(value: str, out: bytearray) -> None:
    data = value.encode("utf-8", "surrogatepass")
    out += b"\x8c" + bytes([len(data)]) if len(data) < 256 else b"X" + struct.pack("<I", len(data))
    out += data


def _emit_tuple(value: tuple[Any, ...], out: bytearray, depth: int) -> None:
    if not value:
        out += b")"
        return
    if len(value) > 3:
        out += b"("
    for item in value:
        _emit(item, out, depth + 1)
    out += b"t" if len(value) > 3 else bytes([0x84 + len(value)])


def _emit_object(value: Inert, out: bytearray, depth: int) -> None:
    module, _, name = value.class_name.rpartition(".")
    if not is_optimizer(module, name):
        raise DumpError(f"{value.class_name} is not allowed", kind="forbidden_global")
    _emit_text(module, out)
    _emit_text(name, out)
    out += b"\x93"
    _emit_tuple(value.args, out, depth)
    out += b"R" if value.class_name in _REDUCED else b"\x81"
    if value.state is not None:
        _emit(value.state, out, depth + 1)
        out += b"b"
