"""``table verify``: every finding of the list is met, and a sound set has none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from monolith_protos import hash_filter_pb2, hash_table_pb2

from monolith_ref.checkpoint import job, naming, sets
from monolith_ref.checkpoint.container import frame
from monolith_ref.checkpoint.findings import ERRORS, WARNINGS, Findings
from monolith_ref.checkpoint.manifest import read_manifest
from monolith_ref.checkpoint.verify import verify
from monolith_ref.sync.communicator import SerialCommunicator
from tests.monolith_ref.checkpoint.support import GOLDEN, T0, config, content, random_rows, store_of
from tests.monolith_ref.checkpoint.test_container import as_file, payloads
from tests.monolith_ref.checkpoint.test_filters import change_meta, used_filter, write

MESSAGE = config((2, "adagrad"))


def finite_rows(n, seed=0, ids=None):
    rows = random_rows(MESSAGE, n, seed=seed, ids=ids)
    rows.weights[:] = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    rows.state[0]["norm"][:] = 0.5
    return rows


def entry(fid, num=(1.0, 2.0), norm=(0.5, 0.5), ts=T0):
    message = hash_table_pb2.EntryDump(id=fid, num=num, last_update_ts_sec=ts)
    message.opt.dump.add().adagrad.norm.extend(norm)
    return message.SerializeToString()


@pytest.fixture
def single(tmp_path):
    """A sound foreign single table of two shards."""
    sets.save_single(tmp_path / "t", content("t", MESSAGE, finite_rows(8)), shards=2)
    (tmp_path / "t.manifest").unlink()
    return tmp_path / "t"


@pytest.fixture
def multi(tmp_path):
    """A sound foreign multi table of two shards."""
    tables = [content(name, MESSAGE, finite_rows(6, seed=k), "multi") for k, name in enumerate("ab")]
    sets.save_multi(tmp_path / "m", tables, shards=2)
    (tmp_path / "m.manifest").unlink()
    return tmp_path / "m"


def codes(findings):
    """Codes of the findings."""
    assert isinstance(findings, Findings)
    found = {finding.code for finding in findings.listed}
    for finding in findings.listed:
        assert finding.severity == ("error" if finding.code in ERRORS else "warning")
        assert finding.text
    json.dumps(findings.to_json())
    return found


def rewrite(path, change, snappy=False):
    """Change a file's records."""
    items, _file = payloads(path, snappy)
    path.write_bytes(as_file(change(items), snappy))


def test_sound_sets_have_no_findings(single, multi, tmp_path):
    for prefix in (single, multi):
        findings = verify(prefix)
        assert codes(findings) == set()
        assert (findings.kind, findings.errors, findings.warnings) == ("foreign", 0, 0)
    assert verify(single).rows == {"t": 8}
    assert verify(multi).rows == {"a": 6, "b": 6}
    assert verify(multi).records == 16
    folder = tmp_path / "job"
    stores = store_of(MESSAGE)
    stores.import_(finite_rows(9))
    stores.track_changes()
    tables = [content("MonolithHashTable_x", MESSAGE, stores), content("f", MESSAGE, stores, "multi")]
    state = used_filter().export_state()
    path = job.write_job_checkpoint(folder, 1, tables, {"v": np.ones(3)}, SerialCommunicator(), filters=state)
    stores.erase(np.array([stores.items()[0][0]], np.int64))
    base = read_manifest(path)
    job.write_job_checkpoint(folder, 2, tables, {}, SerialCommunicator(), previous=base, filters=state)
    for prefix in (folder, folder / "model.ckpt-1", folder / "model.ckpt-2.delta", path):
        findings = verify(prefix)
        assert codes(findings) == set(), findings.listed
    assert verify(folder).kind == "ours, delta"


def test_sets_that_are_not_whole(single, multi, tmp_path):
    assert codes(verify(tmp_path / "nothing")) == {"no_files"}
    (tmp_path / "t-00001-of-00002").unlink()
    assert codes(verify(single)) == {"missing_shard"}
    shutil.copy(tmp_path / "t-00000-of-00002", tmp_path / "t-00000-of-00003")
    assert "shard_count_differs" in codes(verify(single))
    (tmp_path / "m.meta-00001-of-00002").unlink()
    assert codes(verify(multi)) == {"missing_meta"}


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("bad_length_crc", lambda data: bytes([data[0] ^ 1]) + data[1:]),
        ("bad_data_crc", lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:]),
        ("truncated_record", lambda data: data[:-1]),
        ("trailing_bytes", lambda data: data + b"\0" * 11),
    ],
)
def test_containers(single, multi, code, change):
    path = single.with_name("t-00001-of-00002")
    path.write_bytes(change(path.read_bytes()))
    findings = verify(single)
    assert codes(findings) == {code}
    assert findings.listed[0].file == str(path)
    assert findings.listed[0].offset is not None


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("bad_block", lambda data: data[:6] + b"\xff\xff" + data[8:]),
        ("block_too_large", lambda data: b"\x7f\xff\xff\xff" + data[4:]),
        ("truncated_block", lambda data: data[:-1]),
        ("trailing_bytes", lambda data: data + b"\0\0\0"),
    ],
)
def test_compressed_containers(multi, code, change):
    path = multi.with_name("m-00001-of-00002")
    path.write_bytes(change(path.read_bytes()))
    assert code in codes(verify(multi))


@pytest.mark.parametrize(
    ("code", "item"),
    [
        ("malformed_message", b"\x09\x00"),
        ("missing_id", entry(5)[9:]),
        ("unknown_field", entry(5) + b"\xf8\x01\x01"),
        ("mixed_widths", entry(5, num=[1.0])),
        ("time_beyond_u32", entry(5, ts=2**32)),
        ("time_beyond_u32", entry(5, ts=-1)),
        ("non_finite", entry(5, num=[1.0, np.inf])),
        ("non_finite", entry(5, norm=[np.nan, 1.0])),
    ],
)
def test_records(single, code, item):
    rewrite(single.with_name("t-00000-of-00002"), lambda items: [items[0], item, *items[1:]])
    findings = verify(single)
    assert codes(findings) == {code}
    (finding,) = findings.listed
    assert code == "mixed_widths" or finding.record == 1
    assert findings.errors == (code in ERRORS)


@pytest.mark.parametrize(
    ("code", "item"),
    [
        ("wrong_width", entry(5, num=[1.0])),
        ("wrong_width", entry(5, num=[1.0, 2.0, 3.0])),
        ("wrong_width", entry(5, norm=[1.0])),
        ("wrong_optimizer", hash_table_pb2.EntryDump(id=5, num=[1.0, 2.0], last_update_ts_sec=1).SerializeToString()),
    ],
)
def test_records_against_a_configuration(single, code, item):
    rewrite(single.with_name("t-00000-of-00002"), lambda items: [items[0], item, *items[1:]])
    assert codes(verify(single, None, MESSAGE)) == {code}
    assert codes(verify(single, {"t": MESSAGE})) == {code}


def test_repeated_ids_are_found_across_shards(single):
    items, _file = payloads(single.with_name("t-00000-of-00002"))
    rewrite(single.with_name("t-00001-of-00002"), lambda others: [*others, items[2], items[0]])
    findings = verify(single)
    assert codes(findings) == {"duplicate_id"}
    assert findings.errors == 2
    assert [finding.record for finding in findings.listed] == [4, 5]


def test_many_findings_are_counted_not_listed(single):
    rewrite(single.with_name("t-00000-of-00002"), lambda items: [entry(1000 + k, num=[np.nan, 0]) for k in range(70)])
    findings = verify(single)
    assert codes(findings) == {"non_finite"}
    assert len(findings.listed) == 10
    assert findings.warnings == 70
    assert findings.listed[-1].text.endswith("(and 60 more)")


def test_meta_files(multi):
    def meta(*pairs):
        records = [hash_table_pb2.MultiHashTableMetadata(table_name=n, num_entries=c) for n, c in pairs]
        multi.with_name("m.meta-00000-of-00002").write_bytes(b"".join(frame(r.SerializeToString()) for r in records))
        return codes(verify(multi))

    assert meta(("a", 3), ("b", 3)) == set()
    assert meta(("a", 3), ("b", 4)) == {"meta_count_short"}
    assert meta(("a", 3), ("b", 2**64 - 1)) == {"meta_count_short"}
    assert meta(("a", 3), ("b", 2)) == {"surplus_records"}
    assert "duplicate_table" in meta(("a", 3), ("a", 3))
    assert meta(("b", 3), ("a", 3)) - {"duplicate_id"} == {"unsorted_tables"}


def test_large_payloads_of_compressed_files(tmp_path):
    wide = config((60_000, "sgd"))
    sets.save_multi(tmp_path / "m", [content("a", wide, random_rows(wide, 1, ids=[1]), "multi")])
    assert codes(verify(tmp_path / "m")) - {"non_finite"} == {"large_payload"}


def test_leftovers(single):
    single.with_name("t-00000-of-00002-tmp-1234567").write_bytes(b"x")
    single.with_name(".tmp-0123456789abcdef-t-00000-of-00002").write_bytes(b"x")
    single.with_name("u-00000-of-00002-tmp-1234567").write_bytes(b"x")
    findings = verify(single)
    assert codes(findings) == {"leftover_temporary"}
    assert findings.warnings == 2


def test_filters(tmp_path):
    write(tmp_path, used_filter().export_state())
    (tmp_path / "model.ckpt-1.manifest").unlink()
    prefix = tmp_path / "hash_filter_0"
    assert codes(verify(prefix)) == set()
    path = tmp_path / naming.shard_name("hash_filter_0", 2, 7)
    good = path.read_bytes()
    data = hash_filter_pb2.HashFilterSplitDataDump
    rewrite(path, lambda items: [*items, data(offset=0, data=[70_000]).SerializeToString()])
    assert codes(verify(prefix)) == {"bad_cell"}
    path.write_bytes(good)
    rewrite(path, lambda items: [*items, data(offset=9999, data=[7]).SerializeToString()])
    assert codes(verify(prefix)) == {"bad_offset"}
    path.write_bytes(good)
    rewrite(path, lambda items: [change_meta(items[0], head=3), *items[1:]])
    assert codes(verify(prefix)) == {"splits_differ"}
    assert codes(verify(GOLDEN / "hash_filter_0")) == {"missing_shard"}


def test_manifests(tmp_path):
    store = store_of(MESSAGE)
    store.import_(finite_rows(9))
    store.track_changes()
    tables = [content("MonolithHashTable_x", MESSAGE, store)]
    base = read_manifest(job.write_job_checkpoint(tmp_path, 1, tables, {}, SerialCommunicator()))
    path = job.write_job_checkpoint(tmp_path, 2, tables, {}, SerialCommunicator(), previous=base)
    (tmp_path / "model.ckpt-1.manifest").rename(tmp_path / "aside")
    assert codes(verify(tmp_path / "model.ckpt-2.delta")) == {"broken_chain"}
    assert codes(verify(tmp_path)) == {"broken_chain"}
    (tmp_path / "aside").rename(tmp_path / "model.ckpt-1.manifest")
    file = tmp_path / "model.ckpt-1.assets" / "MonolithHashTable_x-00000-of-00001"
    good = file.read_bytes()
    file.write_bytes(as_file([entry(fid) for fid in range(9)]))
    assert codes(verify(tmp_path / "model.ckpt-1")) == {"manifest_mismatch"}
    file.unlink()
    assert "manifest_mismatch" in codes(verify(tmp_path / "model.ckpt-1"))
    file.write_bytes(good)
    path.write_bytes(path.read_bytes()[:-9])
    assert codes(verify(path)) == {"manifest_malformed"}
    assert codes(verify(tmp_path / "model.ckpt-2.delta")) == {"manifest_malformed"}


def test_the_golden_folder():
    findings = verify(GOLDEN)
    assert codes(findings) == {"mixed_widths", "missing_shard"}
    assert findings.errors == 6


def test_every_finding_has_a_case_here():
    source = Path(__file__).read_text()
    assert [code for code in sorted(ERRORS | WARNINGS) if f'"{code}"' not in source] == []
