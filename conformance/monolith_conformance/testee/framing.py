"""The two encodings of the protocol: how a request is written and where a reply ends."""

from __future__ import annotations

import struct
from typing import Protocol

from google.protobuf.message import DecodeError, Message
from monolith_protos import testee_pb2

from monolith_conformance.testee.jsonlines import from_json, to_json
from monolith_ref.errors import FormatError

__all__ = ["ENCODINGS", "MAX_FRAME", "Encoding"]

MAX_FRAME = 1 << 28
"""Largest message in bytes."""


class Encoding(Protocol):
    """One way to put messages on a pipe."""

    def write(self, message: Message) -> bytes:
        """The bytes of one message."""

    def take(self, buffer: bytearray) -> bytes | None:
        """Remove and return the first whole message of ``buffer``, or None while it is not complete.

        Raises :class:`~monolith_ref.errors.FormatError` where it can never become one.
        """

    def parse(self, data: bytes) -> testee_pb2.Reply:
        """The reply in ``data``; raises :class:`~monolith_ref.errors.FormatError`."""


class _Frames:
    """u32 little-endian length, then the serialised message."""

    def write(self, message: Message) -> bytes:
        data = message.SerializeToString()
        return struct.pack("<I", len(data)) + data

    def take(self, buffer: bytearray) -> bytes | None:
        if len(buffer) < 4:
            return None
        (length,) = struct.unpack_from("<I", buffer)
        if length > MAX_FRAME:
            raise FormatError(
                f"a frame of {length} bytes; at most {MAX_FRAME} are allowed (first bytes {buffer[:16].hex()})"
            )
        if len(buffer) < 4 + length:
            return None
        data = bytes(buffer[4 : 4 + length])
        del buffer[: 4 + length]
        return data

    def parse(self, data: bytes) -> testee_pb2.Reply:
        reply = testee_pb2.Reply()
        try:
            reply.ParseFromString(data)
        except DecodeError as error:
            raise FormatError(f"not a Reply message ({error}); its bytes begin with {data[:32].hex()}") from None
        return reply


class _Lines:
    """One JSON object a line."""

    def write(self, message: Message) -> bytes:
        return to_json(message).encode() + b"\n"

    def take(self, buffer: bytearray) -> bytes | None:
        end = buffer.find(b"\n")
        if end < 0:
            if len(buffer) > 4 * MAX_FRAME:
                raise FormatError(f"a line of more than {4 * MAX_FRAME} bytes")
            return None
        data = bytes(buffer[:end])
        del buffer[: end + 1]
        return data

    def parse(self, data: bytes) -> testee_pb2.Reply:
        reply = testee_pb2.Reply()
        try:
            from_json(data, reply)
        except FormatError as error:
            raise FormatError(f"{error}; the line begins with {data[:60]!r}") from None
        return reply


ENCODINGS: dict[str, Encoding] = {"protobuf": _Frames(), "json": _Lines()}
