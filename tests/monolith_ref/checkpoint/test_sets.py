"""Sets under a prefix: what is written comes back, in the original's files, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from monolith_protos import hash_table_pb2, optimizer_pb2

from monolith_ref.checkpoint import naming, sets
from monolith_ref.checkpoint.container import RecordFile, frame
from monolith_ref.checkpoint.manifest import read_manifest
from monolith_ref.checkpoint.rows import take
from monolith_ref.checkpoint.shape import FIELDS
from monolith_ref.errors import ArgumentError, CheckpointError
from tests.monolith_ref.checkpoint.support import T0, by_id, config, content, loaded_rows, random_rows, store_of

COMBINED = config((1, "ftrl"), (5, "adam"), (3, "moving_average"), (2, "sgd"), (4, "amsgrad"))
RULES = sorted(set(FIELDS) - {"batch_softmax"})


@pytest.mark.parametrize("message", [config((3, rule)) for rule in RULES] + [config((1, "batch_softmax")), COMBINED])
def test_a_single_table_comes_back_bit_for_bit(tmp_path, message):
    rows = random_rows(message, 50, seed=1)
    if message.entry_config.segments[0].opt_config.WhichOneof("type") == "batch_softmax":
        rows.state[0]["global_step"] = rows.state[0]["global_step"] >> 32
    manifest = sets.save_single(tmp_path / "t", content("t", message, rows), shards=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "t-00000-of-00003",
        "t-00001-of-00003",
        "t-00002-of-00003",
        "t.manifest",
    ]
    assert manifest == read_manifest(tmp_path / "t.manifest")
    loaded = sets.load_single(tmp_path / "t", message.SerializeToString())
    assert loaded_rows(loaded) == by_id(rows)
    assert loaded.ids().tolist() == rows.ids.tolist()
    assert loaded.max_ts == T0
    store = store_of(message)
    loaded.put_into(store)
    assert by_id(store.export()) == by_id(rows)


@pytest.mark.parametrize("message", [config((3, rule)) for rule in RULES] + [COMBINED])
def test_records_are_what_protobuf_writes(tmp_path, message):
    rows = random_rows(message, 9, seed=2)
    sets.save_single(tmp_path / "t", content("t", message, rows), shards=1)
    file = RecordFile(tmp_path / "t-00000-of-00001")
    k = 0
    for batch in file.batches():
        for j in range(len(batch)):
            payload = batch.payload(j)
            entry = hash_table_pb2.EntryDump.FromString(payload)
            assert entry.SerializeToString(deterministic=True) == payload
            assert entry.id == rows.ids[k]
            assert (
                np.array(entry.num, np.float32).tobytes() == rows.weights[k].tobytes()
                or np.isnan(rows.weights[k]).any()
            )
            assert isinstance(entry.opt, optimizer_pb2.OptimizerDump)
            assert entry.last_update_ts_sec == T0
            k += 1
    assert k == 9


def test_a_table_is_saved_from_its_store_without_a_copy_of_all_rows(tmp_path):
    message = config((4, "adagrad"))
    store = store_of(message)
    rows = random_rows(message, 200, seed=3)
    store.import_(rows)
    store.erase(rows.ids[::3])
    sets.save_single(tmp_path / "t", content("t", message, store), shards=4)
    kept = np.setdiff1d(np.arange(200), np.arange(0, 200, 3))
    expected = {fid: row for fid, row in by_id(rows).items() if fid in set(rows.ids[kept].tolist())}
    assert loaded_rows(sets.load_single(tmp_path / "t", message.SerializeToString())) == expected


def test_shards_are_stretches_of_row_numbers(tmp_path):
    message = config((1, "sgd"))
    rows = random_rows(message, 10)
    sets.save_single(tmp_path / "t", content("t", message, rows), shards=4)
    found = []
    for shard in range(4):
        ids = []
        for batch in RecordFile(tmp_path / naming.shard_name("t", shard, 4)).batches():
            ids += [hash_table_pb2.EntryDump.FromString(batch.payload(k)).id for k in range(len(batch))]
        found.append(ids)
    ids = rows.ids.tolist()
    assert found == [ids[0:2], ids[2:5], ids[5:7], ids[7:10]]


def test_number_of_shards_follows_the_original(tmp_path):
    assert [naming.default_shards(n) for n in (0, 999_999, 1_999_999, 2_000_000, 3_999_999, 9_000_000)] == [
        1,
        1,
        1,
        2,
        3,
        4,
    ]
    message = config((1, "sgd"))
    sets.save_single(tmp_path / "t", content("t", message, random_rows(message, 10)))
    assert (tmp_path / "t-00000-of-00001").exists()
    for wrong in (0, 100_000):
        with pytest.raises(ArgumentError):
            sets.save_single(tmp_path / "t", content("t", message, random_rows(message, 10)), shards=wrong)


def test_expired_rows_are_left_out_and_the_reference_is_the_tables_own_time(tmp_path):
    day = 86400
    message = config((1, "sgd"), expire={None: 2, 1: 0, 2: 3, 32767: 1})
    slots = [0, 0, 1, 1, 2, 2, 32767]
    ids = [(slot << 48) + k for k, slot in enumerate(slots)]
    ids[5] = ids[5] | -(2**63)
    now = T0
    times = [now - 2 * day + 1, now - 2 * day, now, now + 1, now - 3 * day + 1, now - 3 * day, now - day]
    rows = random_rows(message, 7, ids=ids, times=times)
    sets.save_single(tmp_path / "t", content("t", message, rows, max_ts=now))
    loaded = sets.load_single(tmp_path / "t", message.SerializeToString())
    assert loaded.ids().tolist() == [ids[0], ids[3], ids[4]]
    assert read_manifest(tmp_path / "t.manifest").tables[0].rows == 3


def test_a_multi_table_comes_back(tmp_path):
    messages = {"b": config((2, "adagrad")), "a": config((1, "ftrl"), (3, "adam")), "c": config((1, "sgd"))}
    rows = {
        name: random_rows(message, n, seed=n) for (name, message), n in zip(messages.items(), (30, 11, 0), strict=True)
    }
    tables = [content(name, messages[name], rows[name], "multi") for name in messages]
    sets.save_multi(tmp_path / "m", tables, shards=2)
    names = ["m-00000-of-00002", "m-00001-of-00002", "m.manifest", "m.meta-00000-of-00002", "m.meta-00001-of-00002"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    configs = {name: message.SerializeToString() for name, message in messages.items()}
    loaded = sets.load_multi(tmp_path / "m", configs)
    for name in messages:
        assert loaded_rows(loaded[name]) == by_id(rows[name])
        assert loaded[name].max_ts == T0
    assert sets.feature_counts(tmp_path / "m") == {"a": 11, "b": 30, "c": 0}
    path = sets.write_feature_counts(tmp_path, 7, {"a": 11})
    assert path.name == "ckpt.info-7"
    assert path.read_text() == 'feature_counts {\n  key: "a"\n  value: 11\n}\n'


def test_tables_of_only_one_side_are_named(tmp_path):
    messages = {name: config((1, "sgd")) for name in "ab"}
    tables = [content(name, m, random_rows(m, 4), "multi") for name, m in messages.items()]
    sets.save_multi(tmp_path / "m", tables)
    wanted = {name: messages["a"].SerializeToString() for name in ("b", "x")}
    with pytest.raises(CheckpointError, match=r"table a is in the set.*table x is in the model"):
        sets.load_multi(tmp_path / "m", wanted)
    with pytest.warns(UserWarning, match="table") as caught:
        loaded = sets.load_multi(tmp_path / "m", wanted, partial=True)
    assert len([w for w in caught if "table x" in str(w.message)]) == 2
    assert (len(loaded["b"]), len(loaded["x"])) == (4, 0)


def test_another_configuration_is_refused_unless_partial(tmp_path):
    message = config((2, "adagrad"))
    rows = random_rows(message, 5)
    sets.save_single(tmp_path / "t", content("t", message, rows))
    other = config((2, "adagrad"), expire={None: 9})
    with pytest.raises(CheckpointError, match="another configuration"):
        sets.load_single(tmp_path / "t", other.SerializeToString())
    with pytest.warns(UserWarning, match="another configuration"):
        loaded = sets.load_single(tmp_path / "t", other.SerializeToString(), partial=True)
    assert loaded_rows(loaded) == by_id(rows)


def test_a_serving_table_takes_the_weights_of_any_training_table(tmp_path):
    message = config((1, "ftrl"), (2, "adam"))
    rows = random_rows(message, 5)
    sets.save_single(tmp_path / "t", content("t", message, rows))
    serving = config((1, "ftrl"), (2, "adam"), serving=True).SerializeToString()
    for _turn in ("ours", "foreign"):
        loaded = sets.load_single(tmp_path / "t", serving)
        ((part, widths),) = loaded.parts
        assert widths is None
        assert part.weights.tobytes() == rows.weights.tobytes()
        assert part.state == []
        assert not part.update_time.any()
        (tmp_path / "t.manifest").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match="3 weights, the table has 2"):
        sets.load_single(tmp_path / "t", config((2, "adam"), serving=True).SerializeToString())


def entry(fid, num, state=(), ts=None):
    """A record by protobuf."""
    message = hash_table_pb2.EntryDump(id=fid, num=num)
    message.opt.SetInParent()
    for rule, fields in state:
        single = getattr(message.opt.dump.add(), rule)
        single.SetInParent()
        for name, values in fields.items():
            if isinstance(values, list):
                getattr(single, name).extend(values)
            else:
                setattr(single, name, values)
    if ts is not None:
        message.last_update_ts_sec = ts
    return message.SerializeToString()


def foreign(path, *payloads):
    """Write a record file by hand."""
    path.write_bytes(b"".join(frame(payload) for payload in payloads))


def test_foreign_rows_follow_the_originals_rules(tmp_path):
    message = config((1, "adagrad"), (2, "sgd"))
    state = [("adagrad", {"norm": [0.5]}), ("sgd", {})]
    foreign(tmp_path / "t-00000-of-00002", entry(1, [1.0, 2.0, 3.0], state, ts=7), entry(2, [4.0], state))
    foreign(tmp_path / "t-00001-of-00002", entry(3, [], state, ts=2**32 + 5), entry(1, [9.0, 9.0, 9.0], state, ts=8))
    (tmp_path / "t-x").write_bytes(b"not a shard")
    store = store_of(message)
    store.import_(random_rows(message, 1, ids=[2], times=[3]))
    before = store.export().weights[0].copy()
    loaded = sets.load_single(tmp_path / "t", message.SerializeToString())
    assert (len(loaded), loaded.max_ts) == (4, None)
    loaded.put_into(store)
    dump = store.export()
    rows = {fid: (dump.weights[k].tolist(), int(dump.update_time[k])) for k, fid in enumerate(dump.ids.tolist())}
    assert rows[1] == ([9.0, 9.0, 9.0], 8)
    assert rows[3] == ([0.0, 0.0, 0.0], 5)
    # The short row keeps what was there beyond its end; no time means 0.
    assert rows[2][1] == 0
    k = dump.ids.tolist().index(2)
    assert dump.weights[k, 0] == 4.0
    assert dump.weights[k, 1:].tobytes() == before[1:].tobytes()


ADAGRAD = ("adagrad", {"norm": [0.5]})
SGD = ("sgd", {})


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (entry(5, [1, 2, 3, 4], [ADAGRAD, SGD]), "id 5: 4 weights, the table has 3"),
        (entry(5, [1, 2, 3], [ADAGRAD]), r"id 5: 1 optimizer elements, the table has 2 \(segment 1\)"),
        (entry(5, [1, 2, 3], []), r"id 5: 0 optimizer elements, the table has 2 \(segment 0\)"),
        (entry(5, [1, 2, 3], [ADAGRAD, SGD, SGD]), r"id 5: 3 optimizer elements, the table has 2 \(segment 2\)"),
        (
            entry(5, [1, 2, 3], [("adam", {"m": [1.0]}), SGD]),
            r"id 5, segment 0: state adam\(m 1, .* the table has adagrad",
        ),
        (entry(5, [1, 2, 3], [("adagrad", {"norm": [1.0, 2.0]}), SGD]), r"id 5, segment 0: state adagrad\(norm 2\)"),
        (entry(5, [1, 2, 3], [ADAGRAD, ADAGRAD]), r"id 5, segment 1: state adagrad\(norm 1\), the table has sgd"),
        (entry(5, [1, 2, 3], [ADAGRAD, SGD])[9:], "the record has no id"),
        (b"\x09\x00", "no EntryDump"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, payload, text):
    message = config((1, "adagrad"), (2, "sgd"))
    good = entry(4, [1, 2, 3], [ADAGRAD, SGD])
    foreign(tmp_path / "t-00000-of-00001", good, payload)
    with pytest.raises(CheckpointError, match=text) as caught:
        sets.load_single(tmp_path / "t", message.SerializeToString())
    assert caught.value.path == str(tmp_path / "t-00000-of-00001")
    assert caught.value.record == 1
    assert caught.value.offset == len(good) + 16


def test_unusual_encodings_mean_the_same(tmp_path):
    message = config((2, "adagrad"))
    usual = entry(6, [1.5, -0.0], [("adagrad", {"norm": [0.25, 4.0]})], ts=9)
    packed = bytes.fromhex("0906000000000000001208") + np.array([1.5, -0.0], "<f4").tobytes()
    inner = bytes.fromhex("0a08") + np.array([0.25, 4.0], "<f4").tobytes()
    packed += bytes([0x1A, 4 + len(inner), 0x0A, 2 + len(inner), 0x0A, len(inner)]) + inner + b"\x20\x09"
    swapped = usual[-2:] + usual[:-2]
    unknown = usual + bytes.fromhex("f80101")
    long_time = usual[:-1] + bytes.fromhex("8900")
    for payload in (usual, packed, swapped, unknown, long_time):
        foreign(tmp_path / "t-00000-of-00001", entry(1, [0, 0], [("adagrad", {"norm": [0.0, 0.0]})]), payload)
        loaded = sets.load_single(tmp_path / "t", message.SerializeToString())
        ((rows, widths),) = loaded.parts
        assert widths is None
        assert rows.ids.tolist() == [1, 6]
        assert rows.weights[1].tobytes() == np.array([1.5, -0.0], np.float32).tobytes()
        assert rows.state[0]["norm"][1].tolist() == [0.25, 4.0]
        assert rows.update_time.tolist() == [0, 9]


def test_incomplete_sets_are_named(tmp_path):
    message = config((1, "sgd"))
    with pytest.raises(CheckpointError, match="there is no file t-SSSSS"):
        sets.load_single(tmp_path / "t", message.SerializeToString())
    for shard in (0, 2, 3):
        foreign(tmp_path / naming.shard_name("t", shard, 5))
    with pytest.raises(CheckpointError, match="2 of 5 files are missing: t-00001-of-00005, t-00004-of-00005"):
        sets.load_single(tmp_path / "t", message.SerializeToString())
    foreign(tmp_path / "t-00000-of-00002")
    with pytest.raises(CheckpointError, match="sets of 2, 5 shards"):
        sets.load_single(tmp_path / "t", message.SerializeToString())


def test_a_missing_meta_file_and_short_data_are_named(tmp_path):
    messages = {"a": config((1, "sgd")), "b": config((2, "sgd"))}
    tables = [content(name, m, random_rows(m, 6), "multi") for name, m in messages.items()]
    sets.save_multi(tmp_path / "m", tables, shards=1)
    (tmp_path / "m.manifest").unlink()
    configs = {name: message.SerializeToString() for name, message in messages.items()}
    meta = tmp_path / "m.meta-00000-of-00001"
    kept = meta.read_bytes()
    records = [hash_table_pb2.MultiHashTableMetadata(table_name=n, num_entries=c) for n, c in (("a", 6), ("b", 8))]
    meta.write_bytes(b"".join(frame(r.SerializeToString()) for r in records))
    with pytest.raises(CheckpointError, match="table b: 2 of 8 rows"):
        sets.load_multi(tmp_path / "m", configs)
    # Fewer than there are: the rest is left unread, as in the original.
    records[1].num_entries = 4
    meta.write_bytes(b"".join(frame(r.SerializeToString()) for r in records))
    assert len(sets.load_multi(tmp_path / "m", configs)["b"]) == 4
    # A table that nobody asks for is read over.
    meta.write_bytes(kept)
    assert len(sets.load_multi(tmp_path / "m", {"b": configs["b"]})["b"]) == 6
    meta.unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        sets.load_multi(tmp_path / "m", configs)


def test_a_set_of_ours_with_a_changed_file_is_refused(tmp_path):
    message = config((2, "adagrad"))
    sets.save_single(tmp_path / "t", content("t", message, random_rows(message, 5)))
    path = tmp_path / "t-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="the manifest says"):
        sets.load_single(tmp_path / "t", message.SerializeToString())
    path.write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match="the manifest says"):
        sets.load_single(tmp_path / "t", message.SerializeToString())


def test_writing_again_leaves_only_the_new_set(tmp_path):
    message = config((2, "adagrad"))
    sets.save_single(tmp_path / "t", content("t", message, random_rows(message, 20, seed=1)), shards=4)
    (tmp_path / ".tmp-0123456789abcdef-t-00000-of-00009").write_bytes(b"left by a killed writer")
    (tmp_path / ".tmp-0123456789abcdef-u-00000-of-00009").write_bytes(b"another prefix's")
    rows = random_rows(message, 20, seed=2)
    sets.save_single(tmp_path / "t", content("t", message, rows), shards=2)
    names = [".tmp-0123456789abcdef-u-00000-of-00009", "t-00000-of-00002", "t-00001-of-00002", "t.manifest"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert loaded_rows(sets.load_single(tmp_path / "t", message.SerializeToString())) == by_id(rows)


def test_equal_content_gives_equal_bytes(tmp_path):
    message = config((2, "adagrad"))
    for name in "ab":
        (tmp_path / name).mkdir()
        sets.save_single(tmp_path / name / "t", content("t", message, random_rows(message, 20, seed=1)), shards=2)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


MEASURED = """
import resource, sys
from monolith_ref.checkpoint import sets
from tests.monolith_ref.checkpoint.support import config, content, random_rows
message = config((16, "adagrad"))
folder, rows = sys.argv[1], int(sys.argv[2])
sets.load_single(folder + "/warm", message.SerializeToString())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
loaded = sets.load_single(folder + "/t", message.SerializeToString())
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
kept = sum(part.ids.nbytes + part.weights.nbytes + part.state[0]["norm"].nbytes for part, _widths in loaded.parts)
print(len(loaded), grown, kept)
"""


def test_memory_beyond_the_rows_stays_below_the_file_and_a_few_buffers(tmp_path):
    message = config((16, "adagrad"))
    rows = random_rows(message, 150_000)
    sets.save_single(tmp_path / "t", content("t", message, rows))
    sets.save_single(tmp_path / "warm", content("t", message, take(rows, slice(10))))
    command = [sys.executable, "-c", MEASURED, str(tmp_path), "150000"]
    root = Path(__file__).resolve().parents[3]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=120)
    count, grown, kept = map(int, result.stdout.split())
    assert count == 150_000
    assert grown - kept <= (tmp_path / "t-00000-of-00001").stat().st_size + (64 << 20)


def test_a_foreign_set_of_the_same_name_makes_way(tmp_path):
    message = config((2, "adagrad"))
    sets.save_single(tmp_path / "t", content("t", message, random_rows(message, 20, seed=1)), shards=4)
    (tmp_path / "t.manifest").unlink()
    (tmp_path / "tt-00003-of-00004").write_bytes(b"")
    rows = random_rows(message, 20, seed=2)
    sets.save_single(tmp_path / "t", content("t", message, rows), shards=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t-00000-of-00001", "t.manifest", "tt-00003-of-00004"]
    (tmp_path / "t.manifest").unlink()
    assert loaded_rows(sets.load_single(tmp_path / "t", message.SerializeToString())) == by_id(rows)
