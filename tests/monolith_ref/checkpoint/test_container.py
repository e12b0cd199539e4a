"""Record files: the reference writer's bytes, every row of the table of damage, memory, block boundaries."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys

import cramjam
import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_kernels import blocks, records
from monolith_protos import hash_filter_pb2, hash_table_pb2

from monolith_ref.checkpoint import container
from monolith_ref.checkpoint.container import RecordFile, SnappyBlocks, frame
from monolith_ref.errors import CheckpointError
from tests.monolith_ref.checkpoint.support import GOLDEN, T0

FILES = sorted(path for path in GOLDEN.iterdir() if path.suffix != ".md")


def compressed(path):
    return path.name.startswith("MonolithMulti") and ".meta-" not in path.name


def payloads(path, snappy=False):
    """Every record of a file, and the reader."""
    file = RecordFile(path, snappy)
    return [batch.payload(k) for batch in file.batches() for k in range(len(batch))], file


def as_file(items, snappy=False):
    """The bytes of a file of these payloads."""
    framed = b"".join(frame(item) for item in items)
    if not snappy:
        return framed
    writer = SnappyBlocks()
    lengths = np.array([len(item) for item in items], np.int64)
    return b"".join(writer.add(memoryview(framed), lengths) + writer.finish())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_byte_identity_with_the_reference_writer(path):
    found, file = payloads(path, compressed(path))
    assert file.trailing == 0
    assert as_file(found, compressed(path)) == path.read_bytes()


def test_golden_entries():
    (e1, e2), _file = payloads(GOLDEN / "MonolithHashTable_demo-00000-of-00002")
    first, second = hash_table_pb2.EntryDump.FromString(e1), hash_table_pb2.EntryDump.FromString(e2)
    assert (first.id, list(first.num), first.last_update_ts_sec) == (1, [0.5, -0.5], T0)
    assert first.opt.dump[0].WhichOneof("type") == "sgd"
    assert (second.id, list(second.num)) == (3 << 48 | 7, [1, 2, 3])
    assert [single.WhichOneof("type") for single in second.opt.dump] == ["ftrl", "adagrad"]
    (e3,), _file = payloads(GOLDEN / "MonolithMultiHashTable_0-00001-of-00002", snappy=True)
    assert hash_table_pb2.EntryDump.FromString(e3).id == -1
    meta, _cells = payloads(GOLDEN / "hash_filter_0-00000-of-00007")[0]
    assert hash_filter_pb2.HashFilterSplitMetaDump.FromString(meta).total_size == 5


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_checksums(data):
    array = np.frombuffer(data, np.uint8)
    crc = google_crc32c.value(data)
    assert records.crc32c(array) == crc
    by_tables = records._crc_by_tables(array, 0, len(data), np.uint32(0xFFFFFFFF)) ^ 0xFFFFFFFF
    assert by_tables == crc
    assert records.masked_crc(array) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


ITEMS = [b"", b"x", bytes(range(256)) * 3, b"last one"]
FRAMED = as_file(ITEMS)
OFFSETS = [0, 16, 33, 33 + 784]


def read_bytes(tmp_path, data, snappy=False):
    path = tmp_path / "file"
    path.write_bytes(data)
    return payloads(path, snappy)


def test_plain_files_that_are_fine(tmp_path):
    assert read_bytes(tmp_path, b"")[0] == []
    assert read_bytes(tmp_path, FRAMED)[0] == ITEMS
    assert read_bytes(tmp_path, FRAMED * 3)[0] == ITEMS * 3
    for stray in range(1, 12):
        for data, expected in ((b"", []), (FRAMED, ITEMS)):
            found, file = read_bytes(tmp_path, data + bytes(stray))
            assert (found, file.trailing) == (expected, stray)


def test_a_cut_plain_file(tmp_path):
    for size in range(len(FRAMED)):
        whole = sum(1 for offset, item in zip(OFFSETS, ITEMS, strict=True) if offset + 16 + len(item) <= size)
        start = OFFSETS[whole]
        if size - start < 12:
            found, file = read_bytes(tmp_path, FRAMED[:size])
            assert (found, file.trailing) == (ITEMS[:whole], size - start)
            continue
        with pytest.raises(CheckpointError) as caught:
            read_bytes(tmp_path, FRAMED[:size])
        assert (caught.value.code, caught.value.record, caught.value.offset) == ("truncated_record", whole, start)


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    for place in range(len(FRAMED)):
        data = bytearray(FRAMED)
        data[place] ^= 1 << place % 8
        record = max(k for k, offset in enumerate(OFFSETS) if offset <= place)
        with pytest.raises(CheckpointError) as caught:
            read_bytes(tmp_path, bytes(data))
        code = "bad_length_crc" if place - OFFSETS[record] < 12 else "bad_data_crc"
        assert (caught.value.code, caught.value.record, caught.value.offset) == (code, record, OFFSETS[record])
        assert caught.value.path == str(tmp_path / "file")


def with_length(length):
    """A record header that claims this length, its checksum right."""
    size = struct.pack("<Q", length)
    return size + struct.pack("<I", records.masked_crc(np.frombuffer(size, np.uint8)))


@pytest.mark.parametrize("length", [1, 100, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_length_beyond_the_file_is_refused_before_allocation(tmp_path, length):
    for snappy in (False, True):
        data = FRAMED + with_length(length)
        if snappy:
            body = bytes(cramjam.snappy.compress_raw(data))
            data = struct.pack(">I", len(body)) + body
        with pytest.raises(CheckpointError) as caught:
            read_bytes(tmp_path, data, snappy)
        assert (caught.value.code, caught.value.record, caught.value.offset) == ("truncated_record", 4, len(FRAMED))


def test_the_wrong_compression_is_noticed(tmp_path):
    with pytest.raises(CheckpointError):
        read_bytes(tmp_path, FRAMED, snappy=True)
    with pytest.raises(CheckpointError):
        read_bytes(tmp_path, as_file(ITEMS, snappy=True))


def test_snappy_files_that_are_fine(tmp_path):
    data = as_file(ITEMS, snappy=True)
    assert read_bytes(tmp_path, b"", snappy=True)[0] == []
    assert read_bytes(tmp_path, data, snappy=True)[0] == ITEMS
    assert read_bytes(tmp_path, data * 3, snappy=True)[0] == ITEMS * 3
    for stray in (1, 2, 3):
        found, file = read_bytes(tmp_path, data + bytes(stray), snappy=True)
        assert (found, file.trailing) == (ITEMS, stray)
    # An empty block is a block.
    found, _file = read_bytes(tmp_path, b"\0\0\0\x01\0" + data, snappy=True)
    assert found == ITEMS


def test_damaged_snappy_blocks(tmp_path):
    data = as_file(ITEMS, snappy=True)
    for size in range(4, len(data)):
        with pytest.raises(CheckpointError) as caught:
            read_bytes(tmp_path, data[:size], snappy=True)
        assert (caught.value.code, caught.value.offset) == ("truncated_block", 0)
    whole = bytes(cramjam.snappy.compress_raw(FRAMED[:-3]))
    with pytest.raises(CheckpointError) as caught:
        read_bytes(tmp_path, struct.pack(">I", len(whole)) + whole, snappy=True)
    assert (caught.value.code, caught.value.record) == ("truncated_record", 3)
    with pytest.raises(CheckpointError) as caught:
        read_bytes(tmp_path, data + b"\0\0\0\x03\x05\xff\xff", snappy=True)
    assert (caught.value.code, caught.value.offset) == ("bad_block", len(data))


def test_blocks_beyond_the_limit_are_refused_before_allocation(tmp_path):
    limit = blocks.BLOCK
    fits = bytes(cramjam.snappy.compress_raw(bytes(limit)))
    with pytest.raises(CheckpointError) as caught:
        read_bytes(tmp_path, struct.pack(">I", len(fits)) + fits, snappy=True)
    assert caught.value.code == "bad_length_crc"
    over = bytes(cramjam.snappy.compress_raw(bytes(limit + 1)))
    huge = b"\xff\xff\xff\xff\x0f" + bytes(20)
    claims = [struct.pack(">I", len(over)) + over, struct.pack(">I", len(huge)) + huge, b"\xff\xff\xff\xff" + bytes(9)]
    for data in claims:
        with pytest.raises(CheckpointError) as caught:
            read_bytes(tmp_path, data, snappy=True)
        assert (caught.value.code, caught.value.offset) == ("block_too_large", 0)


def naive_blocks(items):
    """Block contents by the rule, one piece at a time."""
    done, fill = [], b""
    for item in items:
        whole = frame(item)
        for piece in (whole[:12], item, whole[-4:]):
            if len(fill) + len(piece) > blocks.BLOCK and fill:
                done.append(fill)
                fill = b""
            fill += piece
    return [*done, fill] if fill else done


def block_contents(data):
    """Decompressed blocks of a file."""
    found = []
    while data:
        (size,) = struct.unpack(">I", data[:4])
        found.append(bytes(cramjam.snappy.decompress_raw(data[4 : 4 + size])))
        data = data[4 + size :]
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 262_144), max_size=12), st.randoms(use_true_random=False))
def test_block_boundaries(sizes, random):
    items = [random.randbytes(min(size, 64)) * (size // 64 + 1) for size in sizes]
    items = [item[:size] for item, size in zip(items, sizes, strict=True)]
    writer = SnappyBlocks()
    written = b""
    begin = 0
    while begin < len(items):
        end = begin + random.randint(1, 4)
        part = items[begin:end]
        lengths = np.array([len(item) for item in part], np.int64)
        written += b"".join(writer.add(memoryview(b"".join(frame(item) for item in part)), lengths))
        begin = end
    written += b"".join(writer.finish())
    assert block_contents(written) == naive_blocks(items)


@pytest.mark.parametrize("size", [blocks.BLOCK - 12, blocks.BLOCK - 11, blocks.BLOCK, blocks.BLOCK + 1, 1_100_000])
def test_large_payloads_stay_readable(tmp_path, size):
    items = [b"a", bytes(size), b"b"]
    data = as_file(items, snappy=True)
    assert all(len(block) <= blocks.BLOCK for block in block_contents(data))
    assert read_bytes(tmp_path, data, snappy=True)[0] == items


def test_records_longer_than_the_buffer(tmp_path, monkeypatch):
    monkeypatch.setattr(container, "CHUNK", 64)
    items = [bytes([k]) * size for k, size in enumerate([0, 47, 48, 49, 63, 64, 65, 500, 10_000, 3])]
    assert read_bytes(tmp_path, as_file(items))[0] == items
    monkeypatch.setattr(container, "BATCH", 3)
    assert read_bytes(tmp_path, as_file(items))[0] == items


LIMITED = """
import resource, sys
from pathlib import Path
from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.errors import CheckpointError
warm = [len(batch) for batch in RecordFile(Path(sys.argv[1]), sys.argv[2] == "1").batches()]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    total = sum(len(batch) for batch in RecordFile(Path(sys.argv[3]), sys.argv[2] == "1").batches())
except CheckpointError as error:
    total = error.code
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("snappy", [False, True])
def test_memory_stays_within_a_few_buffers(tmp_path, snappy):
    assert resource.getpagesize() > 0
    warm, large = tmp_path / "warm", tmp_path / "large"
    warm.write_bytes(as_file(ITEMS, snappy))
    if snappy:
        # 200 MB of zeros in less than 10 MB: a block of zeros, many times, after a header that claims it all.
        body = bytes(cramjam.snappy.compress_raw(bytes(blocks.BLOCK)))
        head = bytes(cramjam.snappy.compress_raw(with_length(1 << 27)))
        data = struct.pack(">I", len(head)) + head + (struct.pack(">I", len(body)) + body) * 800
    else:
        data = as_file([bytes(1000)]) * 100_000
    large.write_bytes(data)
    command = [sys.executable, "-c", LIMITED, str(warm), "1" if snappy else "0", str(large)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    total, grown = result.stdout.split()
    assert total == ("truncated_record" if snappy else "100000")
    assert int(grown) * 1024 <= len(data) + (64 << 20)
