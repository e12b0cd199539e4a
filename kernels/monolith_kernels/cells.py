"""Cells of admission filters to and from the record ``HashFilterSplitDataDump``. Host only. Rule: checkpoints 4.5."""

from __future__ import annotations

import numpy as np

from monolith_kernels.jit import kernel

__all__ = ["BAD", "TOO_GREAT", "cells_bound", "decode_cells", "encode_cells"]

BAD = -1
TOO_GREAT = -2
GREATEST = 65_535


def cells_bound(count: int) -> int:
    """The most bytes that a record of ``count`` cells has."""
    return 6 + 4 * count


@kernel
def encode_cells(cells, begin, end, out):  # type: ignore[no-untyped-def]
    """Write ``offset = begin`` and the cells ``begin`` to ``end`` (unsigned, any width); returns the bytes written."""
    out[0] = 0x08
    at = 1
    value = np.uint64(begin)
    while value >= np.uint64(128):
        out[at] = np.uint8(value & np.uint64(127)) | np.uint8(128)
        value >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(value)
    at += 1
    for k in range(end - begin):
        value = np.uint64(cells[begin + k])
        out[at] = 0x10
        at += 1
        while value >= np.uint64(128):
            out[at] = np.uint8(value & np.uint64(127)) | np.uint8(128)
            value >>= np.uint64(7)
            at += 1
        out[at] = np.uint8(value)
        at += 1
    return at


@kernel
def decode_cells(data, start, stop, cells):  # type: ignore[no-untyped-def]
    """Read a record in the form that :func:`encode_cells` writes.

    Returns ``(offset, count)``, the cells in ``cells[:count]`` (uint16, as many as ``stop - start`` at most); count
    is BAD where the record has another form, TOO_GREAT where a cell is above 65,535.
    """
    if stop - start < 2 or data[start] != 0x08:
        return np.int64(0), np.int64(BAD)
    at = start + 1
    offset = np.int64(0)
    shift = 0
    while True:
        if at >= stop or shift > 28:
            return offset, np.int64(BAD)
        byte = np.int64(data[at])
        at += 1
        offset |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    if offset > 0xFFFFFFFF:
        return offset, np.int64(BAD)
    count = np.int64(0)
    while at < stop:
        if data[at] != 0x10:
            return offset, np.int64(BAD)
        at += 1
        value = np.int64(0)
        shift = 0
        while True:
            if at >= stop or shift > 28:
                return offset, np.int64(BAD)
            byte = np.int64(data[at])
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
        if value > GREATEST:
            return offset, np.int64(TOO_GREAT)
        cells[count] = np.uint16(value)
        count += 1
    return offset, count
