"""Arrays of all ranks in one exchange of bytes: how path B learns what the other ranks have. No pickle."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["pack", "unpack"]

_ALIGN = 16


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Named arrays as bytes: length of a JSON header, the header, then every array's bytes."""
    header = json.dumps([[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()]).encode()
    header += b" " * (-(len(header) + 4) % _ALIGN)
    parts = [struct.pack("<I", len(header)), header]
    for array in arrays.values():
        data = np.ascontiguousarray(array).tobytes()
        parts += [data, b"\0" * (-len(data) % _ALIGN)]
    return b"".join(parts)


def unpack(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of :func:`pack`, as read-only views of ``data``."""
    (length,) = struct.unpack_from("<I", data)
    offset = 4 + length
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype, shape in json.loads(data[4:offset]):
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, dtype, count, offset).reshape(shape)
        size = count * np.dtype(dtype).itemsize
        offset += size + -size % _ALIGN
    return arrays
