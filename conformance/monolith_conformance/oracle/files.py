"""Record files, read and written naively: containers, sets of shards, single and multi tables, filters.

Rule: checkpoints 4. Everything is held in memory; a fault is a :class:`DamagedFile` that says what is wrong.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cramjam
import google_crc32c
from monolith_protos import hash_table_pb2

__all__ = [
    "DamagedFile",
    "blocks_of",
    "find_shards",
    "frame",
    "in_blocks",
    "masked_crc",
    "payloads_of",
    "read_multi",
    "read_single",
    "shard_name",
    "write_multi",
    "write_single",
]

BLOCK = 262_144
_SHARD = re.compile(r"^(.*)-(\d{5})-of-(\d{5})$")


class DamagedFile(ValueError):
    """A file, or a set of files, is not what it must be."""


def masked_crc(data: bytes) -> int:
    """The checksum as records hold it."""
    crc = int(google_crc32c.value(data))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(payload: bytes) -> list[bytes]:
    """The three pieces of a record: header, payload, footer."""
    length = struct.pack("<Q", len(payload))
    return [length + struct.pack("<I", masked_crc(length)), payload, struct.pack("<I", masked_crc(payload))]


def payloads_of(data: bytes) -> list[bytes]:
    """The payloads of a record stream; up to eleven bytes after the last record count as its end."""
    return list(_payloads(data, 11))


def _payloads(data: bytes, stray: int) -> Iterator[bytes]:
    at = 0
    while len(data) - at > stray:
        if len(data) - at < 12:
            raise DamagedFile(f"byte {at}: a cut header")
        (length,) = struct.unpack_from("<Q", data, at)
        if struct.unpack_from("<I", data, at + 8)[0] != masked_crc(data[at : at + 8]):
            raise DamagedFile(f"byte {at}: the checksum of a length is wrong")
        payload = data[at + 12 : at + 12 + length]
        footer = data[at + 12 + length : at + 16 + length]
        if len(payload) < length or len(footer) < 4:
            raise DamagedFile(f"byte {at}: a cut record")
        if struct.unpack("<I", footer)[0] != masked_crc(payload):
            raise DamagedFile(f"byte {at}: the checksum of a record is wrong")
        yield payload
        at += 16 + length


def in_blocks(payloads: Iterable[bytes]) -> bytes:
    """Records as compressed blocks: a piece that does not fit into 262,144 bytes begins the next one."""
    out, buffer = [], b""

    def flush(data: bytes) -> None:
        if data:
            packed = bytes(cramjam.snappy.compress_raw(data))
            out.append(struct.pack(">I", len(packed)) + packed)

    for payload in payloads:
        for piece in frame(payload):
            if len(buffer) + len(piece) > BLOCK:
                flush(buffer)
                buffer = b""
            if len(piece) > BLOCK:
                flush(piece)
            else:
                buffer += piece
    flush(buffer)
    return b"".join(out)


def blocks_of(data: bytes) -> bytes:
    """The record stream of a file of compressed blocks."""
    out, at = [], 0
    while len(data) - at > 3:
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 4 + length]
        if len(body) < length:
            raise DamagedFile(f"byte {at}: a cut block")
        try:
            plain = bytes(cramjam.snappy.decompress_raw(body))
        except Exception as error:  # whatever the decompressor calls it
            raise DamagedFile(f"byte {at}: no compressed block ({error})") from None
        if len(plain) > BLOCK:
            raise DamagedFile(f"byte {at}: a block of {len(plain)} bytes")
        out.append(plain)
        at += 4 + length
    return b"".join(out)


def shard_name(stem: str, shard: int, shards: int) -> str:
    """``stem-SSSSS-of-NNNNN``."""
    return f"{stem}-{shard:05d}-of-{shards:05d}"


def find_shards(prefix: Path) -> list[Path]:
    """The files of a set, shard 0 first; every other name is ignored."""
    found: dict[int, Path] = {}
    counts = set()
    for path in sorted(prefix.parent.glob("*")):
        match = _SHARD.match(path.name)
        if match and match[1] == prefix.name:
            counts.add(int(match[3]))
            found[int(match[2])] = path
    if not found or len(counts) != 1 or sorted(found) != list(range(next(iter(counts)))):
        raise DamagedFile(f"{prefix.name}: shards {sorted(found)} of {sorted(counts)}")
    return [found[shard] for shard in sorted(found)]


def write_single(prefix: Path, payloads: Sequence[bytes], shards: int) -> None:
    """A plain record file a shard, rows dealt out in order."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for shard, part in enumerate(_dealt(payloads, shards)):
        data = b"".join(piece for payload in part for piece in frame(payload))
        (prefix.parent / shard_name(prefix.name, shard, shards)).write_bytes(data)


def read_single(prefix: Path) -> list[bytes]:
    """The payloads of all shards, shard 0 first."""
    return [payload for path in find_shards(prefix) for payload in payloads_of(path.read_bytes())]


def write_multi(prefix: Path, tables: Mapping[str, Sequence[bytes]], shards: int) -> None:
    """A compressed file and its table of contents a shard; tables in order of their names."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(tables, key=str.encode)
    dealt = {name: _dealt(tables[name], shards) for name in names}
    for shard in range(shards):
        rows = [payload for name in names for payload in dealt[name][shard]]
        meta = b"".join(piece for name in names for piece in frame(_meta(name, len(dealt[name][shard]))))
        (prefix.parent / shard_name(prefix.name, shard, shards)).write_bytes(in_blocks(rows))
        (prefix.parent / shard_name(prefix.name + ".meta", shard, shards)).write_bytes(meta)


def read_multi(prefix: Path) -> dict[str, list[bytes]]:
    """Payloads by table, all shards; surplus records are nobody's."""
    found: dict[str, list[bytes]] = {}
    paths = find_shards(prefix)
    for shard, path in enumerate(paths):
        meta = prefix.parent / shard_name(prefix.name + ".meta", shard, len(paths))
        if not meta.exists():
            raise DamagedFile(f"{meta.name} is not there")
        rows = _payloads(blocks_of(path.read_bytes()), 0)
        for record in payloads_of(meta.read_bytes()):
            entry = _parsed(hash_table_pb2.MultiHashTableMetadata.FromString, record, meta.name)
            part = [payload for _, payload in zip(range(entry.num_entries), rows, strict=False)]
            if len(part) < entry.num_entries:
                raise DamagedFile(f"{path.name}: {len(part)} rows of {entry.table_name}, not {entry.num_entries}")
            found.setdefault(entry.table_name, []).extend(part)
    return found


def _parsed(
    parse: Callable[[bytes], hash_table_pb2.MultiHashTableMetadata], data: bytes, name: str
) -> hash_table_pb2.MultiHashTableMetadata:
    try:
        return parse(data)
    except Exception as error:  # protobuf's DecodeError
        raise DamagedFile(f"{name}: {error}") from None


def _meta(name: str, rows: int) -> bytes:
    return hash_table_pb2.MultiHashTableMetadata(table_name=name, num_entries=rows).SerializeToString()


def _dealt(payloads: Sequence[bytes], shards: int) -> list[list[bytes]]:
    return [list(payloads[s * len(payloads) // shards : (s + 1) * len(payloads) // shards]) for s in range(shards)]
