"""Read and write record files: TFRecord, plain or in snappy blocks. Rule: checkpoints 4.1.

Reading is streaming: memory is a few buffers, whatever a file claims. A length beyond the file, or a block beyond the
original's limit, is refused before anything is allocated for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cramjam
import numpy as np
from monolith_kernels import blocks, records
from numpy.typing import NDArray

from monolith_ref.checkpoint.damage import damage

__all__ = ["RecordBatch", "RecordFile", "SnappyBlocks", "frame"]

CHUNK = 4 << 20
BATCH = 1 << 16
MOST_COMPRESSED = 2 * blocks.BLOCK + 64
"""A raw snappy block spends at most two bytes on one, plus its length."""
MOST_INFLATED = 16 << 20
"""How much longer than its whole file one record of a compressed file may be (it has to be held in memory)."""


@dataclass
class RecordBatch:
    """Consecutive whole records; valid until the next batch is read.

    Attributes
    ----------
    data : uint8[m]
    starts, lengths : int64[k]
        Where payloads begin in ``data`` and how long they are.
    first : int
        Number of the first record in its file.
    offset : int
        Offset of ``data[0]`` in the file (in the decompressed stream).
    """

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    first: int
    offset: int

    def __len__(self) -> int:
        return len(self.starts)

    def payload(self, k: int) -> bytes:
        """Record ``k`` of the batch."""
        start = int(self.starts[k])
        return self.data[start : start + int(self.lengths[k])].tobytes()

    def place(self, k: int) -> tuple[int, int]:
        """(number in the file, byte offset of its header) of record ``k`` of the batch."""
        return self.first + k, self.offset + int(self.starts[k]) - 12


class _Source(Protocol):
    """A stream of record bytes."""

    stray: int

    def read_into(self, view: memoryview) -> int:
        """Fill some of ``view``; 0 at the end."""
        ...

    def bound(self) -> int:
        """The most bytes that can still follow."""
        ...


class _Plain:
    def __init__(self, descriptor: int) -> None:
        self.stray = 0
        self._descriptor = descriptor
        self._left = os.fstat(descriptor).st_size

    def read_into(self, view: memoryview) -> int:
        count = os.readv(self._descriptor, [view])
        self._left = max(self._left - count, 0)
        return count

    def bound(self) -> int:
        return self._left


class _Snappy:
    def __init__(self, path: Path, descriptor: int) -> None:
        self.stray = 0
        self._path = path
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._at = 0
        self._block = memoryview(b"")

    def bound(self) -> int:
        blocks_left = (self._size - self._at) // 5 + 1
        return min(len(self._block) + blocks_left * blocks.BLOCK, self._size + MOST_INFLATED)

    def read_into(self, view: memoryview) -> int:
        while not self._block:
            if not self._next_block():
                return 0
        count = min(len(self._block), len(view))
        view[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def _next_block(self) -> bool:
        """Decompress one block; False at the end (1 to 3 bytes behind the last block are the end too)."""
        header = self._exactly(4)
        if len(header) < 4:
            self.stray = len(header)
            return False
        at = self._at
        size = int.from_bytes(header, "big")
        if size > MOST_COMPRESSED:
            raise damage("block_too_large", f"a block claims {size} compressed bytes", self._path, offset=at)
        body = self._exactly(size) if at + 4 + size <= self._size else b""
        if len(body) < size:
            raise damage(
                "truncated_block", f"a block of {size} bytes is cut at byte {self._size}", self._path, offset=at
            )
        self._at = at + 4 + size
        plain = _uncompressed_length(body)
        if plain is None:
            raise damage("bad_block", "a block is no snappy data", self._path, offset=at)
        if plain > blocks.BLOCK:
            raise damage(
                "block_too_large",
                f"a block holds {plain} bytes, readers take at most {blocks.BLOCK}",
                self._path,
                offset=at,
            )
        try:
            block = bytes(cramjam.snappy.decompress_raw(body))
        except Exception as error:
            # The library's own type for bad data is not public in all its versions.
            raise damage("bad_block", f"a block is no snappy data ({error})", self._path, offset=at) from None
        if len(block) != plain:
            raise damage("bad_block", f"a block holds {len(block)} bytes, not {plain}", self._path, offset=at)
        self._block = memoryview(block)
        return True

    def _exactly(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            part = os.read(self._descriptor, size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _uncompressed_length(body: bytes) -> int | None:
    """The length that a raw snappy block begins with; None where it has none."""
    value = shift = 0
    for byte in body[:5]:
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7
    return None


class RecordFile:
    """One record file; iterate :meth:`batches` once.

    After the end, ``trailing`` is the number of bytes behind the last record that the original takes for the end of the
    file, and ``records`` the number of records. Damage raises CheckpointError with path, record and offset.
    """

    def __init__(self, path: str | Path, compressed: bool = False) -> None:
        self.path = Path(path)
        self.compressed = compressed
        self.records = 0
        self.trailing = 0
        self.position = 0

    def batches(self) -> Iterator[RecordBatch]:
        """Whole records in order; each batch is valid until the next is asked for."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            raise damage("missing_shard", "no such file", self.path) from None
        except OSError as error:
            raise damage("no_files", f"cannot be read: {error.strerror}", self.path) from error
        try:
            source = _Snappy(self.path, descriptor) if self.compressed else _Plain(descriptor)
            yield from self._batches(source)
        finally:
            os.close(descriptor)

    def _batches(self, source: _Source) -> Iterator[RecordBatch]:
        data = np.empty(CHUNK, np.uint8)
        starts = np.empty(BATCH, np.int64)
        lengths = np.empty(BATCH, np.int64)
        begin = end = 0
        ended = False
        while True:
            while not ended and end < len(data):
                count = source.read_into(data.data[end:])
                ended = count == 0
                end += count
            bound = end - begin + (0 if ended else source.bound())
            count, position, status, need = records.scan_records(data, begin, end, bound, starts, lengths)
            if count:
                yield RecordBatch(data, starts[:count], lengths[:count], self.records, self.position - begin)
                self.records += count
                self.position += position - begin
                begin = position
                continue
            if status != records.OK:
                raise self._fault(status)
            if ended:
                break
            # The bound has been checked: a record that is longer than the buffer may well be there.
            if begin == 0 and end == len(data):
                grown = np.empty(max(int(need), len(data) + BATCH), np.uint8)
                grown[:end] = data
                data = grown
            else:
                data[: end - begin] = data[begin:end].copy()
                end -= begin
                begin = 0
        left = end - begin
        if left >= 12:
            raise damage("truncated_record", "the record is cut by the end", self.path, self.records, self.position)
        self.trailing = left or source.stray

    def _fault(self, status: int) -> Exception:
        code, text = {
            records.BAD_LENGTH_CRC: ("bad_length_crc", "the checksum of the record's length is wrong"),
            records.BAD_DATA_CRC: ("bad_data_crc", "the checksum of the record's data is wrong"),
            records.LENGTH_OVER_LIMIT: ("truncated_record", "the record is longer than the rest of the file"),
        }[status]
        return damage(code, text, self.path, self.records, self.position)


def frame(payload: bytes) -> bytes:
    """One payload as a TFRecord."""
    size = np.frombuffer(len(payload).to_bytes(8, "little"), np.uint8)
    body = np.frombuffer(payload, np.uint8)
    return b"".join(
        (
            size.tobytes(),
            records.masked_crc(size).to_bytes(4, "little"),
            payload,
            records.masked_crc(body).to_bytes(4, "little"),
        )
    )


class SnappyBlocks:
    """Cuts framed records into blocks at the original's boundaries and compresses them."""

    def __init__(self) -> None:
        self._waiting = b""

    def add(self, framed: memoryview, lengths: NDArray[np.int64]) -> list[bytes]:
        """Take records (``framed`` holds them whole, with these payload lengths); the blocks that are complete."""
        pending = len(self._waiting)
        cuts = np.empty(2 * ((pending + len(framed)) // blocks.BLOCK) + 3 * len(lengths) + 2, np.int64)
        count, left = blocks.cut_blocks(lengths, pending, blocks.BLOCK, cuts)
        written: list[bytes] = []
        done = 0
        for cut in cuts[:count].tolist():
            piece = framed[max(done - pending, 0) : cut - pending]
            written.extend(_block(self._waiting + bytes(piece) if done < pending else piece))
            done = cut
        rest = framed[max(done - pending, 0) :]
        self._waiting = self._waiting + bytes(rest) if done < pending else bytes(rest)
        if len(self._waiting) != left:
            raise AssertionError(f"{len(self._waiting)} bytes wait where {left} should")
        return written

    def finish(self) -> list[bytes]:
        """The last block, if any bytes wait."""
        written = _block(self._waiting) if self._waiting else []
        self._waiting = b""
        return written


def _block(data: bytes | memoryview) -> list[bytes]:
    body = bytes(cramjam.snappy.compress_raw(data))
    return [len(body).to_bytes(4, "big"), body]
