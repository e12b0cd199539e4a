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

from monolith_ref.checkpoint.ahead import ahead
from monolith_ref.checkpoint.damage import damage

__all__ = ["RecordBatch", "RecordFile", "SnappyBlocks", "frame"]

CHUNK = 4 << 20
HEAD = 1 << 16
"""Room before a chunk for the rest of the one before."""
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
    """A stream of record bytes; ``checksum``: crc32c of what was read of the file, ``whole``: that was all of it."""

    stray: int
    checksum: int
    whole: bool

    def fill(self, view: NDArray[np.uint8]) -> tuple[int, bool]:
        """Fill ``view`` as far as it goes: how many bytes, and whether they are the last."""
        ...

    def bound(self) -> int:
        """The most bytes that can still follow."""
        ...


class _Plain:
    def __init__(self, descriptor: int) -> None:
        self.stray = 0
        self.checksum = 0
        self.whole = False
        self._descriptor = descriptor
        self._left = os.fstat(descriptor).st_size

    def fill(self, view: NDArray[np.uint8]) -> tuple[int, bool]:
        count = _read_whole(self._descriptor, view)
        self.checksum = records.crc32c(view[:count], self.checksum)
        self._left = max(self._left - count, 0)
        self.whole = count < len(view)
        return count, self.whole

    def bound(self) -> int:
        return self._left


class _Snappy:
    def __init__(self, path: Path, descriptor: int) -> None:
        self.stray = 0
        self.checksum = 0
        self.whole = False
        self._path = path
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._at = 0
        self._body = np.empty(MOST_COMPRESSED, np.uint8)

    def bound(self) -> int:
        blocks_left = (self._size - self._at) // 5 + 1
        return min(blocks_left * blocks.BLOCK, self._size + MOST_INFLATED)

    def fill(self, view: NDArray[np.uint8]) -> tuple[int, bool]:
        count = 0
        while len(view) - count >= blocks.BLOCK:
            got = self._next_block(view[count:])
            if got is None:
                return count, True
            count += got
        return count, False

    def _next_block(self, out: NDArray[np.uint8]) -> int | None:
        """Decompress one block; None at the end (1 to 3 bytes behind the last block are the end too)."""
        header = self._read(4)
        if len(header) < 4:
            self.stray = len(header)
            self.whole = True
            return None
        at = self._at
        size = int.from_bytes(header.tobytes(), "big")
        if size > MOST_COMPRESSED:
            raise damage("block_too_large", f"a block claims {size} compressed bytes", self._path, offset=at)
        body = self._read(size if at + 4 + size <= self._size else 0)
        if len(body) < size:
            raise damage(
                "truncated_block", f"a block of {size} bytes is cut at byte {self._size}", self._path, offset=at
            )
        self._at = at + 4 + size
        plain = _uncompressed_length(body[:5].tobytes())
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
            count = int(cramjam.snappy.decompress_raw_into(body.data, out[:plain].data))
        except Exception as error:
            # The library's own type for bad data is not public in all its versions.
            raise damage("bad_block", f"a block is no snappy data ({error})", self._path, offset=at) from None
        if count != plain:
            raise damage("bad_block", f"a block holds {count} bytes, not {plain}", self._path, offset=at)
        return count

    def _read(self, size: int) -> NDArray[np.uint8]:
        """The next bytes of the file, fewer at its end; valid until the next call."""
        body = self._body[: _read_whole(self._descriptor, self._body[:size])]
        self.checksum = records.crc32c(body, self.checksum)
        return body


def _read_whole(descriptor: int, view: NDArray[np.uint8]) -> int:
    """Read until ``view`` is full or the file ends; how many bytes."""
    count = 0
    while count < len(view):
        got = os.readv(descriptor, [view[count:].data])
        if not got:
            break
        count += got
    return count


def _uncompressed_length(body: bytes) -> int | None:
    """The length that a raw snappy block begins with; None where it has none."""
    value = shift = 0
    for byte in body[:5]:
        value |= (byte & 127) << shift
        if byte < 128:
            return value
        shift += 7
    return None


@dataclass
class _Chunk:
    """``count`` bytes of a stream behind the first HEAD of ``data``; at most ``bound`` more can follow."""

    data: NDArray[np.uint8]
    count: int
    bound: int

    def behind(
        self, rest: NDArray[np.uint8], before: NDArray[np.uint8], begin: int, need: int
    ) -> tuple[NDArray[np.uint8], int, int]:
        """Put these bytes behind the ``rest`` of those before (at ``begin`` in ``before``): (data, begin, end).

        ``need``: how long the record is whose beginning the rest is. Its length has been checked: it may well be there.
        """
        if len(rest) <= HEAD:
            first = HEAD - len(rest)
            self.data[first:HEAD] = rest
            return self.data, first, HEAD + self.count
        end = begin + len(rest)
        if len(before) < end + self.count:
            before = np.empty(max(need, len(rest)) + 2 * CHUNK, np.uint8)
            before[: len(rest)] = rest
            begin, end = 0, len(rest)
        before[end : end + self.count] = self.data[HEAD : HEAD + self.count]
        return before, begin, end + self.count


def _chunks(source: _Source) -> Iterator[_Chunk]:
    """The stream to its end; a chunk's memory is used again for the third after it."""
    ring: list[NDArray[np.uint8]] = []
    ended = False
    while not ended:
        data = ring.pop(0) if len(ring) == 3 else np.empty(HEAD + CHUNK, np.uint8)
        ring.append(data)
        count, ended = source.fill(data[HEAD:])
        yield _Chunk(data, count, 0 if ended else source.bound())


class RecordFile:
    """One record file; iterate :meth:`batches` once.

    ``consumed`` is how many bytes of the file have been read so far, compressed or not, somewhat ahead of the batches.
    After the end, ``trailing`` is the number of bytes behind the last record that the original takes for the end of the
    file, ``records`` the number of records and ``checksum`` the crc32c of the whole file (before, it is None). Damage
    raises CheckpointError with path, record and offset.
    """

    def __init__(self, path: str | Path, compressed: bool = False) -> None:
        self.path = Path(path)
        self.compressed = compressed
        self.records = 0
        self.trailing = 0
        self.position = 0
        self.consumed = 0
        self.checksum: int | None = None

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
            yield from self._batches(source, descriptor)
        finally:
            os.close(descriptor)

    def _batches(self, source: _Source, descriptor: int) -> Iterator[RecordBatch]:
        starts = np.empty(BATCH, np.int64)
        lengths = np.empty(BATCH, np.int64)
        data = np.empty(0, np.uint8)
        begin = end = need = 0
        # Waiting for the disk and decompressing is work for another thread, where there is more than one chunk of it.
        chunks = ahead(_chunks(source)) if os.fstat(descriptor).st_size > CHUNK else _chunks(source)
        for chunk in chunks:
            self.consumed = os.lseek(descriptor, 0, os.SEEK_CUR)
            data, begin, end = chunk.behind(data[begin:end], data, begin, need)
            while True:
                bound = end - begin + chunk.bound
                count, position, status, need = records.scan_records(data, begin, end, bound, starts, lengths)
                if count:
                    yield RecordBatch(data, starts[:count], lengths[:count], self.records, self.position - begin)
                    self.records += count
                    self.position += position - begin
                    begin = position
                    continue
                if status != records.OK:
                    raise self._fault(status)
                break
        if end - begin >= 12:
            raise damage("truncated_record", "the record is cut by the end", self.path, self.records, self.position)
        self.trailing = end - begin or source.stray
        self.checksum = source.checksum if source.whole else None

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
