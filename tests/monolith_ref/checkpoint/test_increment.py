"""Increments: base plus deltas equals a full save at that moment; gaps are refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_protos import checkpoint_pb2

from monolith_ref.checkpoint import job
from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.checkpoint.manifest import read_manifest
from monolith_ref.checkpoint.restore import fold, load_job
from monolith_ref.errors import CheckpointError, CheckpointGapError, StateError
from monolith_ref.sync.communicator import SerialCommunicator
from tests.monolith_ref.checkpoint.support import T0, by_id, config, content, on_ranks, random_rows, store_of

DAY = 86400
MESSAGES = {"MonolithHashTable_x": config((2, "adagrad"), expire={None: 2}), "f": config((1, "sgd"), expire={None: 2})}
CONFIGS = {name: message.SerializeToString() for name, message in MESSAGES.items()}


def save(directory, step, stores, max_ts=T0, previous=None, comm=None):
    """A save of these stores on one rank."""
    tables = [
        content(name, MESSAGES[name], store, "single" if name.startswith("M") else "multi", max_ts)
        for name, store in stores.items()
    ]
    path = job.write_job_checkpoint(directory, step, tables, {}, comm or SerialCommunicator(), previous=previous)
    return read_manifest(path)


def tracked():
    """Two tables of ten rows that track their changes."""
    stores = {name: store_of(message) for name, message in MESSAGES.items()}
    for k, (name, store) in enumerate(stores.items()):
        store.import_(random_rows(MESSAGES[name], 10, seed=k, ids=np.arange(10) * 3))
        store.track_changes()
    return stores


def restored(directory, ranks=1):
    """Rows by id of every table, over all ranks."""
    found = {name: {} for name in MESSAGES}
    for rank in range(ranks):
        stores = {name: store_of(message) for name, message in MESSAGES.items()}
        load_job(job.latest(directory), CONFIGS, rank=rank, ranks=ranks).put_into(stores)
        for name, store in stores.items():
            found[name] |= by_id(store.export())
    return found


def folded(directory):
    """The same by merging the chain without tables."""
    loaded = load_job(job.latest(directory), CONFIGS)
    dumps = {name: fold(layers) for name, layers in loaded.tables.items()}
    return {name: by_id(dump) if dump is not None else {} for name, dump in dumps.items()}


def gone_ids(directory, step):
    """Tombstones of an increment as (table, ids)."""
    found = []
    for path in directory.glob(f"model.ckpt-{step}.delta.gone-*"):
        for batch in RecordFile(path).batches():
            for k in range(len(batch)):
                record = checkpoint_pb2.Tombstones.FromString(batch.payload(k))
                found.append((record.table_name, list(record.id)))
    return found


def test_only_what_changed_is_written(tmp_path):
    stores = tracked()
    base = save(tmp_path, 1, stores)
    assert (base.kind, base.base, base.previous, base.sequence) == ("full", None, None, 0)
    x = stores["MonolithHashTable_x"]
    x.assign_add(x.find(np.array([6], np.int64)), np.ones(2, np.float32), T0)
    x.find_or_insert(np.array([100, 101], np.int64))
    x.import_(random_rows(MESSAGES["MonolithHashTable_x"], 1, seed=9, ids=[100]))
    x.erase(np.array([0, 27, 101], np.int64))
    delta = save(tmp_path, 2, stores, previous=base)
    assert (delta.kind, delta.base, delta.previous, delta.sequence) == ("delta", base.id, base.id, 1)
    assert {table.name: table.rows for table in delta.tables} == {"MonolithHashTable_x": 2, "f": 0}
    assert gone_ids(tmp_path, 2) == [("MonolithHashTable_x", [0, 27])] or gone_ids(tmp_path, 2) == [
        ("MonolithHashTable_x", [0, 27, 101])
    ]
    expected = {name: by_id(store.export()) for name, store in stores.items()}
    assert len(expected["MonolithHashTable_x"]) == 9
    assert restored(tmp_path) == expected
    assert restored(tmp_path, ranks=3) == expected
    assert folded(tmp_path) == expected
    names = {p.name for p in tmp_path.iterdir() if "delta" in p.name}
    assert names == {
        "model.ckpt-2.delta.assets",
        "model.ckpt-2.delta.dense",
        "model.ckpt-2.delta.gone-00000-of-00001",
        "model.ckpt-2.delta.manifest",
    }


def test_expired_rows_become_tombstones_and_come_back(tmp_path):
    stores = tracked()
    x = stores["MonolithHashTable_x"]
    x.import_(random_rows(MESSAGES["MonolithHashTable_x"], 2, seed=5, ids=[3, 6], times=[T0 - DAY, T0 - 2 * DAY]))
    base = save(tmp_path, 1, stores)
    assert base.table("MonolithHashTable_x").rows == 9
    # 3 grows stale without being touched; 6 was stale already and is touched.
    x.assign_add(x.find(np.array([6], np.int64)), np.ones(2, np.float32), T0 + DAY)
    delta = save(tmp_path, 2, stores, max_ts=T0 + DAY, previous=base)
    assert gone_ids(tmp_path, 2) == [("MonolithHashTable_x", [3])]
    assert delta.table("MonolithHashTable_x").rows == 1
    expected = by_id(x.export())
    del expected[3]
    assert restored(tmp_path)["MonolithHashTable_x"] == expected


def test_tombstones_come_ten_thousand_a_record(tmp_path):
    stores = tracked()
    ids = np.arange(25_000, dtype=np.int64) * 5 - 60_000
    f = stores["f"]
    f.import_(random_rows(MESSAGES["f"], len(ids), ids=ids))
    base = save(tmp_path, 1, stores)
    f.erase(ids)
    save(tmp_path, 2, stores, previous=base)
    found = gone_ids(tmp_path, 2)
    assert [len(part) for _name, part in found] == [10_000, 10_000, 5_000]
    assert [k for _name, part in found for k in part] == ids.tolist()
    assert set(restored(tmp_path)["f"]) == set((np.arange(10) * 3).tolist()) - set(ids.tolist())


def test_a_gap_is_refused_before_anything_changes(tmp_path):
    stores = tracked()
    manifest = save(tmp_path, 1, stores)
    for step in (2, 3):
        stores["f"].find_or_insert(np.array([step * 1000], np.int64))
        manifest = save(tmp_path, step, stores, previous=manifest)
    assert [m.sequence for m in job.latest(tmp_path).chain] == [0, 1, 2]
    hole = tmp_path / "hole"
    shutil.copytree(tmp_path, hole, ignore=shutil.ignore_patterns("hole"))
    (hole / "model.ckpt-2.delta.manifest").unlink()
    with pytest.raises(CheckpointGapError, match=rf"increment 2 of step 3 follows set {manifest.previous}"):
        job.latest(hole)
    # Another base of the same step is another set.
    other = tmp_path / "other"
    shutil.copytree(tmp_path, other, ignore=shutil.ignore_patterns("hole", "other"))
    save(other, 1, tracked() | {"f": store_of(MESSAGES["f"])})
    with pytest.raises(CheckpointGapError, match="follows set"):
        job.latest(other)
    with pytest.raises(CheckpointGapError):
        job.open_checkpoint(other, 2)


def test_a_forged_link_is_refused(tmp_path):
    stores = tracked()
    base = save(tmp_path, 1, stores)
    save(tmp_path, 2, stores, previous=base)
    path = tmp_path / "model.ckpt-2.delta.manifest"
    good = read_manifest(path)
    for change, what in (
        ({"sequence": 2}, "sequence found 0, expected 1"),
        ({"base": "0" * 32}, "base found"),
        ({"tables": good.tables[:1]}, "tables found"),
    ):
        path.write_bytes(type(good)(**{**vars(good), **change}).to_bytes())
        with pytest.raises(CheckpointGapError, match=what):
            job.latest(tmp_path)


def test_only_tables_that_track_can_be_saved_as_increments(tmp_path):
    stores = tracked()
    base = save(tmp_path, 1, stores)
    stores["f"].track_changes(False)
    with pytest.raises(StateError, match="not tracked"):
        save(tmp_path, 2, stores, previous=base)
    with pytest.raises(CheckpointError, match="no table"):
        save(tmp_path, 2, {"g": stores["f"]} if MESSAGES.setdefault("g", MESSAGES["f"]) else {}, previous=base)
    del MESSAGES["g"]


def test_ranks_save_increments_together(tmp_path):
    def work(comm):
        stores = {name: store_of(message) for name, message in MESSAGES.items()}
        ids = np.arange(comm.rank, 12, comm.size, dtype=np.int64)
        for name, store in stores.items():
            store.import_(random_rows(MESSAGES[name], len(ids), seed=comm.rank, ids=ids))
            store.track_changes()
        base = save(tmp_path, 1, stores, comm=comm)
        stores["f"].erase(ids[:1])
        stores["f"].assign(stores["f"].find_or_insert(ids[:1] + 30), np.ones(1, np.float32), T0)
        save(tmp_path, 2, stores, comm=comm, previous=base)
        return {name: by_id(store.export()) for name, store in stores.items()}

    expected = {name: {} for name in MESSAGES}
    for result in on_ranks(3, work):
        for name, rows in result.items():
            expected[name] |= rows
    for ranks in (1, 2, 3):
        assert restored(tmp_path, ranks) == expected


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["assign", "assign_add", "erase", "optimize", "reinitialize", "clear", "save", "import"]),
        st.sampled_from(sorted(MESSAGES)),
        st.lists(st.integers(-6, 12), min_size=1, max_size=5),
        st.integers(0, 3 * DAY),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_every_operation_leaves_its_mark(tmp_path_factory, operations):
    directory = tmp_path_factory.mktemp("chain")
    stores = tracked()
    now = T0
    manifest = save(directory, 0, stores)
    for step, (what, name, ids, age) in enumerate([*operations, ("save", "f", [0], 0)], 1):
        store = stores[name]
        fids = np.array(ids, np.int64)
        if what == "save":
            manifest = save(directory, step, stores, max_ts=now, previous=manifest)
            continue
        if what == "erase":
            store.erase(fids)
            continue
        if what == "clear":
            store.clear()
            continue
        now = max(now, T0 + age)
        values = np.full(len(ids) * store.dim, 0.5 + step, np.float32)
        if what == "import":
            store.import_(random_rows(MESSAGES[name], len(ids), seed=step, ids=fids, times=[T0 + age] * len(ids)))
        elif what == "reinitialize":
            store.reinitialize(fids, T0 + age)
        elif what == "optimize":
            store.optimize(store.find_or_insert(fids), values, np.array([0.1], np.float32), step, T0 + age)
        else:
            getattr(store, what)(store.find_or_insert(fids), values, T0 + age)
    expected = {}
    for name, store in stores.items():
        dump = store.export()
        fresh = now - dump.update_time.astype(np.int64) < 2 * DAY
        expected[name] = {fid: row for fid, row in by_id(dump).items() if fid in set(dump.ids[fresh].tolist())}
    assert restored(directory) == expected
    assert folded(directory) == expected
    assert {entry.max_ts for entry in job.latest(directory).manifest.tables} == {now}
