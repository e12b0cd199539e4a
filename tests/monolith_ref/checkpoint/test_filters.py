"""Filter files: round trips, the reference writer's file, damage."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_kernels import cells as kernels
from monolith_protos import hash_filter_pb2

from monolith_ref.checkpoint import filters, naming
from monolith_ref.checkpoint.commit import SetWriter
from monolith_ref.checkpoint.container import RecordFile, frame
from monolith_ref.checkpoint.manifest import Manifest
from monolith_ref.errors import CheckpointError
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.table.admission import FilterState, HashFilter, SlidingHashFilter
from tests.monolith_ref.checkpoint.support import GOLDEN
from tests.support.shared import shared_path


def write(folder, state, stem="hash_filter_0"):
    writer = SetWriter(folder / "model.ckpt-1.manifest", SerialCommunicator(), alone=True)
    with writer.writing():
        filters.write_filter(writer, stem, state)
    writer.commit({}, lambda files, reports: Manifest(files=tuple(files)))


def used_filter(capacity=900, split_num=7, count=1500):
    admission = SlidingHashFilter(capacity, split_num, quirks="clean")
    for k in range(count):
        admission.add(k * 7919 << 17, 1 + k % 5)
    return admission


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 65_535), max_size=300), st.integers(0, 2**32 - 1))
def test_cells_are_what_protobuf_writes(values, offset):
    message = hash_filter_pb2.HashFilterSplitDataDump(offset=offset, data=values)
    wire = message.SerializeToString()
    cells = np.zeros(offset % 1000 + len(values), np.uint16)
    begin = offset % 1000
    cells[begin:] = values
    out = np.empty(kernels.cells_bound(len(values)), np.uint8)
    size = kernels.encode_cells(cells, begin, len(cells), out)
    assert (
        out[:size].tobytes() == hash_filter_pb2.HashFilterSplitDataDump(offset=begin, data=values).SerializeToString()
    )
    back = np.empty(len(wire), np.uint16)
    found, count = kernels.decode_cells(np.frombuffer(wire, np.uint8), 0, len(wire), back)
    assert (found, back[:count].tolist()) == (offset, values)


def test_the_reference_writers_split(tmp_path):
    path = GOLDEN / "hash_filter_0-00000-of-00007"
    meta, cells = filters.read_split(path)
    assert cells.tolist() == [0, 65_535, 3] + [0] * 66
    state = FilterState("sliding", 0, 7, meta.total_size, meta.fill_rate, [cells] * 7, [1] * 7, [0] * 7)
    write(tmp_path, state)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(CheckpointError, match=r"6 of 7 files are missing: hash_filter_0-00001-of-00007"):
        filters.read_filter(GOLDEN / "hash_filter_0")


@pytest.mark.parametrize(("capacity", "split_num"), [(300, 5), (900, 7), (60_000, 10)])
def test_a_sliding_filter_comes_back(tmp_path, capacity, split_num):
    admission = used_filter(capacity, split_num)
    if capacity == 900:
        assert admission.head_increment > 0
    write(tmp_path, admission.export_state())
    state = filters.read_filter(tmp_path / "hash_filter_0")
    assert (state.hash, state.capacity, state.split_num) == ("foreign", 0, split_num)
    state = filters.state_of_entry(filters.describe_filter(admission.export_state()), state)
    fresh = SlidingHashFilter(capacity, split_num, quirks="clean")
    fresh.import_state(state)
    assert fresh == admission
    assert fresh.failure_count == admission.failure_count
    assert json.loads(json.dumps(filters.describe_filter(state))) == filters.describe_filter(state)


def test_a_small_split_number_saves_too_few_files_only_under_its_quirk(tmp_path):
    for quirks, files in (("clean", 5), ("clean +filter_split_num_small", 3)):
        folder = tmp_path / str(files)
        folder.mkdir()
        write(folder, SlidingHashFilter(300, 3, quirks=quirks).export_state())
        assert len(list(folder.glob("hash_filter_*"))) == files


def test_a_plain_hash_filter_comes_back(tmp_path):
    admission = HashFilter(50, quirks="clean")
    for k in range(20):
        admission.add(k << 17, 3)
    write(tmp_path, admission.export_state())
    state = filters.state_of_entry(
        filters.describe_filter(admission.export_state()), filters.read_filter(tmp_path / "hash_filter_0")
    )
    fresh = HashFilter(50, quirks="clean")
    fresh.import_state(state)
    assert fresh == admission


def test_chunks_and_meta_are_the_originals(tmp_path):
    vectors = json.loads(shared_path("golden/vectors/filters.json").read_text())
    write(tmp_path, SlidingHashFilter(300_000, 7, quirks="clean").export_state())
    text = []
    for batch in RecordFile(tmp_path / naming.shard_name("hash_filter_0", 3, 7)).batches():
        for k in range(len(batch)):
            if not text:
                meta = hash_filter_pb2.HashFilterSplitMetaDump.FromString(batch.payload(k))
                text.append("M:" + " ".join(str(meta).split()))
                continue
            data = hash_filter_pb2.HashFilterSplitDataDump.FromString(batch.payload(k))
            text.append(f"D:{data.offset} n={len(data.data)}")
    assert text == vectors["save_chunks_300000_7"]


def records_of(path):
    return [batch.payload(k) for batch in RecordFile(path).batches() for k in range(len(batch))]


def change_meta(payload, **fields):
    meta = hash_filter_pb2.HashFilterSplitMetaDump.FromString(payload)
    for name, value in fields.items():
        setattr(meta if name in ("total_size", "fill_rate") else meta.sliding_hash_filter_meta, name, value)
    return meta.SerializeToString()


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("splits_differ", lambda r: [change_meta(r[0], total_size=181), *r[1:]]),
        ("splits_differ", lambda r: [change_meta(r[0], fill_rate=1.25), *r[1:]]),
        ("splits_differ", lambda r: [change_meta(r[0], head=1), *r[1:]]),
        (
            "bad_cell",
            lambda r: [r[0], hash_filter_pb2.HashFilterSplitDataDump(offset=0, data=[65_536]).SerializeToString()],
        ),
        (
            "bad_offset",
            lambda r: [*r, hash_filter_pb2.HashFilterSplitDataDump(offset=250, data=[1]).SerializeToString()],
        ),
        (
            "bad_offset",
            lambda r: [*r, hash_filter_pb2.HashFilterSplitDataDump(offset=2**32 - 1, data=[1]).SerializeToString()],
        ),
        ("malformed_message", lambda r: [b"\xff\xff", *r[1:]]),
        ("malformed_message", lambda r: [r[0], b"\xff\xff"]),
        ("truncated_record", lambda r: []),
    ],
)
def test_damage_is_named(tmp_path, code, change):
    write(tmp_path, used_filter().export_state())
    path = tmp_path / naming.shard_name("hash_filter_0", 2, 7)
    path.write_bytes(b"".join(frame(payload) for payload in change(records_of(path))))
    with pytest.raises(CheckpointError) as caught:
        filters.read_filter(tmp_path / "hash_filter_0")
    assert (caught.value.code, caught.value.path) == (code, str(path))


@pytest.mark.parametrize(
    "fields", [{"split_num": 6}, {"max_step": 64}, {"max_forward_step": 1}, {"max_backward_step": 4}]
)
def test_windows_of_another_filter_are_refused(tmp_path, fields):
    write(tmp_path, used_filter().export_state())
    for split in range(7):
        path = tmp_path / naming.shard_name("hash_filter_0", split, 7)
        first, *rest = records_of(path)
        path.write_bytes(b"".join(frame(payload) for payload in [change_meta(first, **fields), *rest]))
    with pytest.raises(CheckpointError) as caught:
        filters.read_filter(tmp_path / "hash_filter_0")
    assert caught.value.code == "splits_differ"


def test_short_data_leaves_cells_free_but_nothing_is_claimed(tmp_path):
    write(tmp_path, used_filter().export_state())
    path = tmp_path / naming.shard_name("hash_filter_0", 2, 7)
    first, *_rest = records_of(path)
    path.write_bytes(frame(first))
    state = filters.read_filter(tmp_path / "hash_filter_0")
    assert not state.cells[2].any()
    assert len(state.cells[2]) == len(state.cells[1])
    path.write_bytes(frame(change_meta(first, total_size=2**62)))
    with pytest.raises(CheckpointError, match="total_size claims"):
        filters.read_split(path)
