"""Reads a job checkpoint without the engine: the manifest, record files and the dense file, into plain arrays.

The wire is taken apart here on its own: a resumed comparison is only as good as what path B starts from, and path B
takes no number out of the engine's hands. Only rows of adagrad segments are read. Rule: checkpoints 4.1, 4.2, 4.4, 5.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
from numpy.typing import NDArray

__all__ = ["DamagedCheckpoint", "JobContent", "read_job"]

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

_HEADER, _FOOTER = 12, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NUM, _ID, _NORM = (2,), (1,), (3, 1, 1, 1)
_MULTI, _META = "MonolithMultiHashTable_-", "MonolithMultiHashTable_.meta-"


class DamagedCheckpoint(ValueError):
    """The files are not what a checkpoint of this job must be."""


@dataclass
class JobContent:
    """A checkpoint in arrays.

    Attributes
    ----------
    step, ranks : int
    extra : dict
        The manifest's own words of the job that wrote it.
    fids : int64 [n], in no particular order
    weights, accumulators : float32 [n, D]
    dense : dict of name to array
    """

    step: int
    ranks: int
    extra: dict[str, Any]
    fids: I64
    weights: F32
    accumulators: F32
    dense: dict[str, NDArray[Any]]


def read_job(directory: Path, step: int) -> JobContent:
    """Everything that ``model.ckpt-<step>`` of a job holds."""
    manifest = json.loads((directory / f"model.ckpt-{step}.manifest").read_text(encoding="utf-8"))
    parts: list[tuple[I64, F32, F32]] = []
    dense: dict[str, NDArray[Any]] = {}
    for entry in manifest["files"]:
        name = Path(entry["path"]).name
        if name.startswith(_META):
            continue
        path = directory / entry["temporary"]
        data = (path if path.exists() else directory / entry["path"]).read_bytes()
        if len(data) != entry["bytes"]:
            raise DamagedCheckpoint(f"{name}: {len(data)} bytes, the manifest says {entry['bytes']}")
        if name.endswith(".dense"):
            dense = dict(_dense_records(data))
        else:
            parts += _rows(_plain(data) if name.startswith(_MULTI) else data)
    fids, weights, accumulators = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(fids) != sum(table["rows"] for table in manifest["tables"]):
        raise DamagedCheckpoint(f"{len(fids)} rows in the files, the manifest counts others")
    return JobContent(
        manifest["global_step"], manifest["ranks"], manifest.get("extra", {}), fids, weights, accumulators, dense
    )


def _plain(data: bytes) -> bytes:
    """A file of snappy blocks, each after its big-endian length, as the record stream it holds."""
    blocks, offset = [], 0
    while offset < len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        blocks.append(bytes(cramjam.snappy.decompress_raw(data[offset + 4 : offset + 4 + length])))
        offset += 4 + length
    return b"".join(blocks)


def _record_spans(data: bytes) -> tuple[I64, I64]:
    """Start and length of every record's payload."""
    if not data:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    (first,) = struct.unpack_from("<Q", data)
    size = first + _HEADER + _FOOTER
    if len(data) % size == 0:
        grid = np.frombuffer(data, np.uint8).reshape(-1, size)
        if (grid[:, :8] == grid[0, :8]).all():
            starts = np.arange(len(grid), dtype=np.int64) * size + _HEADER
            return starts, np.full(len(grid), first, np.int64)
    starts_list, lengths, offset = [], [], 0
    while offset < len(data):
        (length,) = struct.unpack_from("<Q", data, offset)
        starts_list.append(offset + _HEADER)
        lengths.append(length)
        offset += length + _HEADER + _FOOTER
    if offset != len(data):
        raise DamagedCheckpoint("the last record is cut")
    return np.array(starts_list, np.int64), np.array(lengths, np.int64)


def _rows(data: bytes) -> Iterator[tuple[I64, F32, F32]]:
    """(fids, weights, accumulators) of a record stream, in groups of records of one shape."""
    starts, lengths = _record_spans(data)
    flat = np.frombuffer(data, np.uint8)
    for length in np.unique(lengths):
        chosen = starts[lengths == length]
        records = np.lib.stride_tricks.sliding_window_view(flat, int(length))[chosen]
        yield from _same_shape(records)


def _same_shape(records: U8) -> Iterator[tuple[I64, F32, F32]]:
    """Records of one length: where the first one has its fields, the others must have them too."""
    while len(records):
        fields = list(_scalars(records[0].tobytes(), 0, records.shape[1], ()))
        payload = np.zeros(records.shape[1], np.bool_)
        for _, offset, size in fields:
            payload[offset : offset + size] = True
        alike = (records[:, ~payload] == records[0, ~payload]).all(axis=1)
        group = records[alike]
        ids = [offset for path, offset, _ in fields if path == _ID]
        weights = [offset for path, offset, _ in fields if path == _NUM]
        norms = [offset for path, offset, _ in fields if path == _NORM]
        if len(ids) != 1 or not weights or len(norms) != len(weights):
            raise DamagedCheckpoint("a record is not that of an adagrad row")
        yield _column(group, ids, "<i8")[:, 0], _column(group, weights, "<f4"), _column(group, norms, "<f4")
        records = records[~alike]


def _column(records: U8, offsets: list[int], dtype: str) -> Any:
    size = np.dtype(dtype).itemsize
    picked = records[:, (np.array(offsets)[:, None] + np.arange(size)).reshape(-1)]
    return np.ascontiguousarray(picked).view(dtype)


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 0x80:
            return value, offset


def _scalars(data: bytes, offset: int, end: int, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """(field numbers from the outside in, offset, bytes) of every number of a message; messages are entered."""
    while offset < end:
        tag, offset = _varint(data, offset)
        field, wire = (*path, tag >> 3), tag & 7
        if wire == _BYTES:
            length, offset = _varint(data, offset)
            yield from _scalars(data, offset, offset + length, field)
            offset += length
            continue
        start = offset
        if wire == _VARINT:
            _, offset = _varint(data, offset)
        elif wire in (_FIXED64, _FIXED32):
            offset += 8 if wire == _FIXED64 else 4
        else:
            raise DamagedCheckpoint(f"wire type {wire} in a record")
        yield field, start, offset - start


def _dense_records(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name, array) of every dense variable."""
    for start, length in zip(*_record_spans(data), strict=True):
        name, dtype, shape, content = "", "", [], b""
        offset, end = int(start), int(start + length)
        while offset < end:
            tag, offset = _varint(data, offset)
            size, offset = _varint(data, offset)
            body = data[offset : offset + size]
            offset += size
            if tag >> 3 == 1:
                name = body.decode()
            elif tag >> 3 == 2:
                dtype = body.decode()
            elif tag >> 3 == 3:
                at = 0
                while at < size:
                    extent, at = _varint(body, at)
                    shape.append(extent)
            else:
                content = body
        yield name, np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).reshape(shape)
