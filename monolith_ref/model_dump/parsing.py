"""Parsing with one outcome under every protobuf runtime: a message, or DecodeError."""

from __future__ import annotations

import struct
from typing import TypeVar

from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError, Message

from monolith_ref.model_dump.wire import locate_fault

__all__ = ["parse"]

M = TypeVar("M", bound=Message)
STRICT = api_implementation.Type() == "python"
"""The pure-Python runtime lets some faults pass that the others refuse; there the bytes are walked as well."""


def parse(kind: type[M], data: bytes) -> M:
    """The message in ``data``.

    Raises
    ------
    DecodeError
    """
    out = kind()
    try:
        out.ParseFromString(data)
    except (UnicodeDecodeError, IndexError, struct.error, RecursionError, OverflowError, ValueError) as error:
        raise DecodeError(str(error) or type(error).__name__) from None
    if STRICT:
        fault = locate_fault(data, kind.DESCRIPTOR)
        if fault is not None:
            raise DecodeError(str(fault))
    return out
