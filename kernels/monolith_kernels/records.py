"""Record files: TFRecord framing and masked crc32c, many records at a time. Host only. Rule: checkpoints 4.1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monolith_kernels.jit import kernel
from monolith_kernels.words import HARDWARE_CRC, crc_step8, crc_step64, load32, load64

__all__ = [
    "BAD_DATA_CRC",
    "BAD_LENGTH_CRC",
    "LENGTH_OVER_LIMIT",
    "OK",
    "crc32c",
    "masked",
    "masked_crc",
    "scan_records",
]

OK = 0
BAD_LENGTH_CRC = 1
BAD_DATA_CRC = 2
LENGTH_OVER_LIMIT = 3


def _crc_tables() -> NDArray[np.uint32]:
    """Tables of the Castagnoli polynomial (reflected): table k advances a byte past k further bytes."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        tables[0, byte] = value
    for k in range(1, 8):
        previous = tables[k - 1]
        tables[k] = (previous >> np.uint32(8)) ^ tables[0, previous & np.uint32(0xFF)]
    return tables


CRC = _crc_tables()
MASK_DELTA = 0xA282EAD8


@kernel
def _crc_by_tables(data, start, stop, seed):  # type: ignore[no-untyped-def]
    """Running crc32c (inverted state) over ``data[start:stop]``, eight bytes a turn."""
    c = np.uint32(seed)
    i = np.int64(start)
    while i + 8 <= stop:
        low = np.uint32(load32(data, i) ^ c)
        high = load32(data, i + 4)
        c = (
            CRC[7, low & 0xFF]
            ^ CRC[6, (low >> 8) & 0xFF]
            ^ CRC[5, (low >> 16) & 0xFF]
            ^ CRC[4, low >> 24]
            ^ CRC[3, high & 0xFF]
            ^ CRC[2, (high >> 8) & 0xFF]
            ^ CRC[1, (high >> 16) & 0xFF]
            ^ CRC[0, high >> 24]
        )
        i += 8
    while i < stop:
        c = np.uint32((c >> np.uint32(8)) ^ CRC[0, (c ^ data[i]) & 0xFF])
        i += 1
    return c


@kernel
def _crc_in_hardware(data, start, stop, seed):  # type: ignore[no-untyped-def]
    """The same with the machine's own instruction."""
    wide = np.uint64(seed)
    i = np.int64(start)
    while i + 8 <= stop:
        wide = crc_step64(wide, load64(data, i))
        i += 8
    c = np.uint32(wide)
    while i < stop:
        c = crc_step8(c, data[i])
        i += 1
    return c


_crc = _crc_in_hardware if HARDWARE_CRC else _crc_by_tables


@kernel
def masked(data, start, stop):  # type: ignore[no-untyped-def]
    """The masked crc32c of ``data[start:stop]``, for kernels."""
    c = np.uint32(_crc(data, start, stop, np.uint32(0xFFFFFFFF)) ^ np.uint32(0xFFFFFFFF))
    return np.uint32((c >> np.uint32(15) | c << np.uint32(17)) + np.uint32(MASK_DELTA))


def crc32c(data: NDArray[np.uint8], before: int = 0) -> int:
    """crc32c of a uint8 array; ``before``: that of the bytes that go before it. Runs without Python's lock."""
    return int(_crc(data, 0, len(data), np.uint32(before ^ 0xFFFFFFFF))) ^ 0xFFFFFFFF


def masked_crc(data: NDArray[np.uint8]) -> int:
    """The masked crc32c that TFRecord stores: the crc rotated right by 15, plus a constant."""
    return int(masked(data, 0, len(data)))


@kernel
def scan_records(data, start, stop, limit, starts, lengths):  # type: ignore[no-untyped-def]
    """Find and check whole records in ``data[start:stop]``.

    ``starts`` and ``lengths`` (int64, equal sizes) receive where payloads begin and how long they are, as many as fit.
    ``limit`` is the greatest payload length that can still follow in the stream counted from ``start``: a record that
    claims more is refused. Returns ``(count, position, status, need)``: ``position`` is behind the last whole record,
    ``status`` is OK or what is wrong with the record there, ``need`` the bytes from ``position`` that the record there
    needs (0 where even its header is not whole).
    """
    count = 0
    at = start
    while count < len(starts) and at + 12 <= stop:
        if load32(data, at + 8) != masked(data, at, at + 8):
            return count, at, BAD_LENGTH_CRC, np.int64(0)
        length = load64(data, at)
        if length > np.uint64(max(limit - (at - start) - 16, 0)):
            return count, at, LENGTH_OVER_LIMIT, np.int64(0)
        need = np.int64(length) + 16
        if at + need > stop:
            return count, at, OK, need
        first = at + 12
        if load32(data, at + need - 4) != masked(data, first, at + need - 4):
            return count, at, BAD_DATA_CRC, need
        starts[count] = first
        lengths[count] = np.int64(length)
        count += 1
        at += need
    return count, at, OK, np.int64(0)
