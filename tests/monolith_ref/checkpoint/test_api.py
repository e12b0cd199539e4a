"""The public tables' own save and restore."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

import monolith_ref.entry as entry
from monolith_ref.checkpoint import job, naming
from monolith_ref.checkpoint.api import table_content
from monolith_ref.checkpoint.inspect import open_contents
from monolith_ref.checkpoint.manifest import read_manifest
from monolith_ref.checkpoint.restore import load_job
from monolith_ref.checkpoint.tables import append_entries
from monolith_ref.checkpoint.whole import whole_tables
from monolith_ref.errors import CheckpointError, ShapeError, StateError
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.table.hash_table import hash_table_from_config
from monolith_ref.table.multi import MultiHashTable
from monolith_ref.table.names import NameScope
from monolith_ref.table.streams import RandomStreams
from tests.monolith_ref.checkpoint.support import T0, by_id, random_rows


def instance(*segments, expire=None, extra=()):
    """A configuration of ``(dim, optimizer, compressor)`` segments."""
    message = EmbeddingHashTableConfig()
    for dim, optimizer, compressor in segments:
        message.entry_config.segments.append(
            entry.CombineAsSegment(dim, entry.ZerosInitializer(), optimizer, compressor)
        )
    entry.CuckooHashTableConfig().mutate_table(message)
    if expire is not None:
        message.slot_expire_time_config.default_expire_time = expire
    return entry.HashTableConfigInstance(message, [0.1] * len(segments), list(extra))


ADAGRAD = (2, entry.AdagradOptimizer(), entry.Fp32Compressor())
ADAM = (3, entry.AdamOptimizer(), entry.Fp16Compressor())
ONE_BIT = (2, entry.SgdOptimizer(), entry.OneBitCompressor())


def single(name, *segments, **more):
    """A table in a name scope of its own."""
    options = {key: more.pop(key) for key in ("quirks", "exporting") if key in more}
    return hash_table_from_config(instance(*segments, **more), name_suffix=name, scope=NameScope(), **options)


def test_a_table_saves_and_restores_itself(tmp_path):
    table = single("x", ADAGRAD, ADAM, quirks="clean")
    ids = np.array([3, -1, 7], np.int64)
    table.apply_gradients(ids, np.arange(15, dtype=np.float32).reshape(3, 5), 1, req_time=T0)
    base = tmp_path / "model.ckpt-1.assets" / "MonolithHashTable_x"
    table.save(str(base))
    manifest = read_manifest(base.with_name("MonolithHashTable_x.manifest"))
    assert manifest.tables[0].learning_rates == ("0.1", "0.1")
    assert manifest.quirks == ()
    assert manifest.tables[0].max_ts == T0
    other = single("x", ADAGRAD, ADAM, quirks="clean")
    other.assign(np.array([9], np.int64), np.ones((1, 5), np.float32), req_time=T0 + 50)
    other.restore(str(base))
    assert by_id(other.table.export()) == by_id(table.table.export())
    # A clearing restore takes the set's maximum time, it does not keep a larger old one.
    assert other.table.max_ts == T0


def test_the_original_restores_adams_powers_wrongly(tmp_path):
    table = single("x", ADAM, quirks="clean")
    table.apply_gradients(np.array([1], np.int64), np.ones((1, 3), np.float32), 1, req_time=T0)
    table.save(str(tmp_path / "x"))
    saved = table.table.export().state[0]
    clean = single("x", ADAM, quirks="clean")
    clean.restore(str(tmp_path / "x"))
    original = single("x", ADAM, quirks="clean +adam_restore_powers")
    original.restore(str(tmp_path / "x"))
    state = original.table.export().state[0]
    assert clean.table.export().state[0]["beta1_power"] == saved["beta1_power"]
    assert state["beta1_power"] == saved["beta2_power"]
    assert state["beta2_power"] == np.float32(0.99)


def test_one_bit_scales_travel(tmp_path):
    table = single("x", ADAGRAD, ONE_BIT, quirks="clean")
    table.table.store.scales[1] = np.float32(3.25)
    table.save(str(tmp_path / "x"))
    assert read_manifest(tmp_path / "x.manifest").tables[0].one_bit_scale == ("40500000",)
    other = single("x", ADAGRAD, ONE_BIT, quirks="clean")
    other.restore(str(tmp_path / "x"))
    assert other.table.store.scales[1] == np.float32(3.25)


def test_extra_names_are_tried(tmp_path):
    table = single("old", ADAGRAD)
    table.assign(np.array([1], np.int64), np.ones((1, 2), np.float32), req_time=T0)
    table.save(str(tmp_path / "MonolithHashTable_old"))
    renamed = single("new", ADAGRAD, extra=["other", "old"])
    renamed.restore(str(tmp_path / "MonolithHashTable_new"))
    assert renamed.size() == 1
    with pytest.raises(CheckpointError, match="there is no file MonolithHashTable_third"):
        single("third", ADAGRAD, extra=["other"]).restore(str(tmp_path / "MonolithHashTable_third"))


def test_a_serving_table_reads_and_does_not_write(tmp_path):
    table = single("x", ADAGRAD, ADAM)
    table.assign(np.array([1, 2], np.int64), np.full((2, 5), 0.1, np.float32), req_time=T0)
    table.save(str(tmp_path / "x"))
    serving = single("x", ADAGRAD, ADAM, exporting=True)
    serving.restore(str(tmp_path / "x"))
    read = serving.lookup(np.array([1, 3], np.int64))
    assert read[0].tolist() == [*[float(np.float32(0.1))] * 2, *[float(np.float16(0.1))] * 3]
    assert not read[1].any()
    with pytest.raises(StateError, match="doesn't support Save"):
        serving.save(str(tmp_path / "y"))


def test_a_failing_restore_changes_nothing(tmp_path):
    table = single("x", ADAGRAD)
    table.assign(np.array([1], np.int64), np.ones((1, 2), np.float32), req_time=T0)
    table.save(str(tmp_path / "x"))
    path = tmp_path / naming.shard_name("x", 0, 1)
    path.write_bytes(path.read_bytes()[:-1])
    for name in ("x.manifest", "nothing"):
        before = by_id(table.table.export())
        with pytest.raises(CheckpointError):
            table.restore(str(tmp_path / "x"))
        assert by_id(table.table.export()) == before
        (tmp_path / name).unlink(missing_ok=True)


def multi(quirks="clean", **more):
    """Two tables."""
    configs = {"b": instance(ADAGRAD, **more), "a": instance(ADAM, expire=1)}
    return MultiHashTable.from_configs(configs, scope=NameScope(), quirks=quirks)


def test_a_multi_table_saves_and_restores_itself(tmp_path):
    table = multi()
    for name, width in (("a", 3), ("b", 2)):
        values = np.ones((2, width), np.float32)
        table.assign({name: (np.array([1, 2], np.int64), values)}, req_time=T0)
    table.save(str(tmp_path / "MonolithMultiHashTable_0"))
    assert table.feature_stat(str(tmp_path / "MonolithMultiHashTable_0")) == {"a": 2, "b": 2}
    for quirks, kept in (("clean", 2), ("clean +multi_restore_keeps_rows", 3)):
        other = multi(quirks)
        other.assign({"b": (np.array([9], np.int64), np.ones((1, 2), np.float32))}, req_time=T0 + 9)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            other.restore(str(tmp_path / "MonolithMultiHashTable_0"))
        assert other.size() == {"a": 2, "b": kept}
        assert other.tables["b"].max_ts == (T0 if kept == 2 else T0 + 9)


@pytest.mark.parametrize(
    ("quirks", "left"), [("clean", {"a": 1, "b": 2}), ("clean +multi_expiry_first_table", {"a": 1, "b": 1})]
)
def test_each_table_expires_by_its_own_days(tmp_path, quirks, left):
    table = multi(quirks)
    for name, width in (("a", 3), ("b", 2)):
        for fid, time in ((1, T0), (2, T0 - 86400)):
            table.assign({name: (np.array([fid], np.int64), np.ones((1, width), np.float32))}, req_time=time)
    table.save(str(tmp_path / "m"))
    assert table.feature_stat(str(tmp_path / "m")) == left


def test_a_job_restores_into_tables(tmp_path):
    streams = RandomStreams("clean")
    table = single("x", ADAGRAD, ONE_BIT, quirks="clean")
    table.assign(np.array([1, 2], np.int64), np.ones((2, 4), np.float32), req_time=T0)
    table.table.store.scales[1] = np.float32(2.5)
    saved = table_content(table.table, "MonolithHashTable_x", "single", [0.1, 0.1])
    draws, rounding = streams.export_state()
    random = {"initializer_draws": draws + 40, "rounding": list(rounding)}
    job.write_job_checkpoint(tmp_path, 3, [saved], {}, SerialCommunicator(), random=random)
    other = single("x", ADAGRAD, ONE_BIT, quirks="clean")
    other.assign(np.array([5], np.int64), np.ones((1, 4), np.float32), req_time=T0 + 7)
    loaded = load_job(job.latest(tmp_path), {"MonolithHashTable_x": saved.config})
    loaded.put_into_tables({"MonolithHashTable_x": other.table})
    loaded.restore_streams(streams)
    assert by_id(other.table.export()) == by_id(table.table.export())
    assert (other.table.max_ts, other.table.store.scales[1]) == (T0, np.float32(2.5))
    assert streams.draws == draws + 40


def test_the_item_caches_file(tmp_path):
    path = tmp_path / "MonolithHashTable_cached_item_embeddings-00000-of-00001"
    append_entries(path, np.array([7], np.int64), np.array([[0.5, 1.0, 2.0]]))
    append_entries(path, np.array([-1, 9], np.int64), np.zeros((2, 3), np.float32))
    ((shape, rows),) = whole_tables(open_contents(tmp_path / path.name.split("-0")[0]))[
        path.name.split("-0")[0]
    ].items()
    assert (shape.dim, shape.has_opt, shape.has_time) == (3, False, False)
    assert rows.ids.tolist() == [7, -1, 9]
    assert rows.weights[0].tolist() == [0.5, 1.0, 2.0]
    assert path.read_bytes()[12:36].hex() == "090700000000000000" + "150000003f" + "150000803f" + "1500000040"
    with pytest.raises(ShapeError):
        append_entries(path, np.array([1], np.int64), np.zeros((2, 3), np.float32))


def test_a_foreign_set_tells_its_time_by_its_rows(tmp_path):
    table = single("x", ADAGRAD)
    rows = random_rows(instance(ADAGRAD).table_config, 3, times=[5, T0, 7])
    table.table.restore(rows)
    table.table.max_ts = T0 + 1000
    table.save(str(tmp_path / "x"))
    (tmp_path / "x.manifest").unlink()
    other = single("x", ADAGRAD)
    other.table.max_ts = T0 + 5
    other.restore(str(tmp_path / "x"))
    assert other.table.max_ts == T0
    assert by_id(other.table.export()) == by_id(rows)
