"""Job checkpoints: many ranks, one manifest, any number of ranks afterwards."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monolith_ref.checkpoint import job
from monolith_ref.checkpoint.manifest import Manifest, read_manifest
from monolith_ref.checkpoint.naming import owned
from monolith_ref.checkpoint.restore import load_job
from monolith_ref.checkpoint.rows import take
from monolith_ref.errors import ArgumentError, CheckpointError
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.table.admission import DummyFilter, SlidingHashFilter
from monolith_ref.table.streams import RandomStreams
from tests.monolith_ref.checkpoint.support import T0, by_id, config, content, on_ranks, random_rows, store_of

MESSAGES = {
    "MonolithHashTable_x": config((15, "adagrad")),
    "MonolithHashTable_y": config((1, "ftrl"), (4, "adam")),
    "feature10": config((3, "sgd")),
    "feature2": config((2, "momentum")),
}
CONFIGS = {name: message.SerializeToString() for name, message in MESSAGES.items()}
DENSE = {
    "dense_0/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "dense_0/kernel/accumulator": np.full((2, 3), 0.1, np.float32),
    "dense_0/bias": np.zeros(0, np.float32),
}


def all_rows():
    return {name: random_rows(m, 40 + 3 * k, seed=k) for k, (name, m) in enumerate(MESSAGES.items())}


def kind(name):
    return "single" if name.startswith("Mono") else "multi"


def save(directory, step, rows, ranks, owner_rule="floor-mod", **more):
    """Deal rows to ranks and save; the manifest's path."""

    def work(comm):
        tables = []
        for name, dump in rows.items():
            mine = owned(dump.ids, comm.rank, comm.size, owner_rule)
            tables.append(content(name, MESSAGES[name], take(dump, mine), kind(name), max_ts=T0 + comm.rank))
        dense = DENSE if comm.rank == 0 else {}
        return job.write_job_checkpoint(directory, step, tables, dense, comm, owner_rule=owner_rule, **more)

    results = on_ranks(ranks, work)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results[0]


def restored(directory, ranks, owner_rule="floor-mod"):
    """Every rank's stores after a restore."""
    stores = []
    for rank in range(ranks):
        mine = {name: store_of(message) for name, message in MESSAGES.items()}
        mine["feature2"].find_or_insert(np.arange(5, dtype=np.int64))
        loaded = load_job(job.latest(directory), CONFIGS, rank=rank, ranks=ranks, owner_rule=owner_rule)
        loaded.put_into(mine)
        assert {entry.max_ts for entry in loaded.entries.values()} == {T0 + job.latest(directory).manifest.ranks - 1}
        stores.append(mine)
    return stores


def test_names_and_manifest(tmp_path):
    rows = all_rows()
    path = save(tmp_path, 5, rows, 2, quirks=["b", "a"], extra={"digest": "00", "deep": [1, {"x": None}]})
    assert path == tmp_path / "model.ckpt-5.manifest"
    names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assets = "model.ckpt-5.assets/"
    stems = ["MonolithHashTable_x", "MonolithHashTable_y", "MonolithMultiHashTable_", "MonolithMultiHashTable_.meta"]
    tables = {f"{assets}{stem}-0000{rank}-of-00002" for stem in stems for rank in range(2)}
    assert names == tables | {"model.ckpt-5.dense", "model.ckpt-5.manifest"}
    raw = json.loads(path.read_bytes())
    assert list(raw) == sorted(raw)
    assert path.read_bytes() == (json.dumps(raw, sort_keys=True, indent=2) + "\n").encode()
    assert (raw["format"], raw["version"], raw["kind"], raw["sequence"]) == ("monolith-ref checkpoint", 1, "full", 0)
    assert (raw["global_step"], raw["ranks"], raw["owner_rule"], raw["quirks"]) == (5, 2, "floor-mod", ["a", "b"])
    assert [t["name"] for t in raw["tables"]] == sorted(MESSAGES)
    assert {t["name"]: t["rows"] for t in raw["tables"]} == {name: len(dump) for name, dump in rows.items()}
    assert {t["max_ts"] for t in raw["tables"]} == {T0 + 1}
    assert {f["path"] for f in raw["files"]} == names - {"model.ckpt-5.manifest"}
    assert raw["extra"] == {"digest": "00", "deep": [1, {"x": None}]}
    assert job.latest(tmp_path).extra == raw["extra"]
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.parametrize(("owner_rule", "path"), [("floor-mod", [2, 3, 2, 1, 4]), ("empty-rank0", [5, 2, 6, 1])])
def test_rows_reach_their_owner_whatever_the_number_of_ranks(tmp_path, owner_rule, path):
    rows = all_rows()
    expected = {name: by_id(dump) for name, dump in rows.items()}
    save(tmp_path, 0, rows, path[0], owner_rule)
    for step, ranks in enumerate(path[1:], 1):
        stores = restored(tmp_path, ranks, owner_rule)
        for name in MESSAGES:
            found = {}
            for rank, mine in enumerate(stores):
                dump = mine[name].export()
                assert owned(dump.ids, rank, ranks, owner_rule).all()
                found |= by_id(dump)
            assert found == expected[name]
            assert sum(mine[name].size for mine in stores) == len(rows[name])

        def work(comm, stores=stores):
            tables = [content(n, m, stores[comm.rank][n], kind(n), max_ts=T0 + comm.rank) for n, m in MESSAGES.items()]
            return job.write_job_checkpoint(tmp_path, step, tables, DENSE, comm, owner_rule=owner_rule)  # noqa: B023

        assert not [r for r in on_ranks(ranks, work) if isinstance(r, Exception)]
    if owner_rule == "empty-rank0":
        assert restored(tmp_path, 6, owner_rule)[0]["feature2"].size == 0


def test_dense_variables(tmp_path):
    save(tmp_path, 3, all_rows(), 1)
    dense = job.latest(tmp_path).dense()
    assert list(dense) == ["dense_0/bias", "dense_0/kernel", "dense_0/kernel/accumulator", "global_step"]
    assert (dense["global_step"].dtype, dense["global_step"].shape, int(dense["global_step"])) == (np.int64, (), 3)
    for name, array in DENSE.items():
        assert dense[name].dtype == array.dtype
        assert dense[name].shape == array.shape
        assert dense[name].tobytes() == array.tobytes()
        assert dense[name].flags.writeable


def test_the_newest_valid_manifest_counts(tmp_path):
    assert job.latest(tmp_path) is None
    for step in (2, 10):
        save(tmp_path, step, all_rows(), 1)
    assert job.latest(tmp_path).step == 10
    path = job.manifest_path(tmp_path, 10)
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"global_step": 10', b'"global_step": 11'))
    assert job.latest(tmp_path).step == 2
    with pytest.raises(CheckpointError, match="its content gives"):
        job.open_checkpoint(tmp_path, 10)
    path.write_bytes(good.replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(CheckpointError, match="version 2 is newer"):
        job.open_checkpoint(tmp_path, 10)
    for wrong in (good[:-30], b"[]", b"\xff", b"{" * 100_000, good.replace(b'"ranks": 1', b'"ranks": "1"')):
        path.write_bytes(wrong)
        with pytest.raises(CheckpointError):
            job.open_checkpoint(tmp_path, 10)
    with pytest.raises(CheckpointError, match="no checkpoint of step 7"):
        job.open_checkpoint(tmp_path, 7)


def test_paths_cannot_lead_out_of_the_folder(tmp_path):
    save(tmp_path, 1, all_rows(), 1)
    manifest = read_manifest(job.manifest_path(tmp_path, 1))
    for wrong in ("../x", "/etc/passwd", ""):
        files = (manifest.files[0].__class__(**{**vars(manifest.files[0]), "path": wrong}), *manifest.files[1:])
        changed = Manifest(**{**vars(manifest), "files": files})
        job.manifest_path(tmp_path, 1).write_bytes(changed.to_bytes())
        with pytest.raises(CheckpointError, match="leads out"):
            job.open_checkpoint(tmp_path, 1)


def test_a_rank_that_cannot_write_fails_all_and_leaves_the_former_set(tmp_path):
    rows = all_rows()
    save(tmp_path, 1, rows, 3)
    before = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*"))

    class Broken:
        def __len__(self):
            return 5

        def __getattr__(self, name):
            raise OSError(28, "No space left on device")

    def work(comm):
        dump = Broken() if comm.rank == 1 else take(rows["feature10"], slice(0, 3))
        table = content("feature10", MESSAGES["feature10"], dump, "multi")
        return job.write_job_checkpoint(tmp_path, 2, [table], DENSE, comm)

    results = on_ranks(3, work)
    assert [type(r) for r in results] == [CheckpointError] * 3
    assert all("rank 1: " in str(r) and "No space left" in str(r) for r in results)
    after = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file() or list(p.iterdir()))
    assert after == before
    assert job.latest(tmp_path).step == 1
    job.latest(tmp_path).verify_files()


def test_ranks_with_other_tables_are_named(tmp_path):
    def work(comm):
        name = "feature10" if comm.rank == 0 else "feature2"
        table = content(name, MESSAGES[name], random_rows(MESSAGES[name], 3), "multi")
        return job.write_job_checkpoint(tmp_path, 2, [table], DENSE, comm)

    results = on_ranks(2, work)
    assert all(isinstance(r, CheckpointError) and "rank 1 holds another table feature2" in str(r) for r in results)
    assert job.latest(tmp_path) is None


@pytest.mark.parametrize(
    "names", [("a:b", "a/b"), ("a", "a"), ("hash_filter_0", "a"), ("MonolithMultiHashTable_", "a")]
)
def test_names_that_would_share_a_file_are_refused(tmp_path, names):
    message = MESSAGES["feature10"]
    tables = [content(name, message, random_rows(message, 3)) for name in names]
    with pytest.raises(ArgumentError, match=r"same file|other files"):
        job.write_job_checkpoint(tmp_path / "x", 2, tables, {}, SerialCommunicator())
    assert not (tmp_path / "x").exists()


def test_tables_and_configurations_must_agree(tmp_path):
    save(tmp_path, 1, all_rows(), 2)
    checkpoint = job.latest(tmp_path)
    fewer = {name: data for name, data in CONFIGS.items() if name != "feature2"}
    with pytest.raises(CheckpointError, match="table feature2 is in the set and not in the model"):
        load_job(checkpoint, fewer)
    with pytest.raises(CheckpointError, match="table z is in the model and not in the set"):
        load_job(checkpoint, {**CONFIGS, "z": CONFIGS["feature2"]})
    other = {**CONFIGS, "feature2": config((2, "momentum"), expire={None: 1}).SerializeToString()}
    with pytest.raises(CheckpointError, match="feature2 was saved with another configuration"):
        load_job(checkpoint, other)
    with pytest.warns(UserWarning, match="another configuration"):
        assert len(load_job(checkpoint, other, partial=True).tables["feature2"][0].rows) == 49


def test_damage_is_noticed_before_anything_changes(tmp_path):
    save(tmp_path, 1, all_rows(), 2)
    for entry in job.latest(tmp_path).manifest.files:
        path = tmp_path / entry.path
        good = path.read_bytes()
        if not good:
            continue
        changed = bytearray(good)
        changed[len(good) // 2] ^= 4
        for wrong in (bytes(changed), good[:-1], good + b"\0"):
            path.write_bytes(wrong)
            with pytest.raises(CheckpointError, match="the manifest says") as caught:
                load_job(job.latest(tmp_path), CONFIGS)
            assert caught.value.path == str(path)
        path.unlink()
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_job(job.latest(tmp_path), CONFIGS)
        path.write_bytes(good)
    load_job(job.latest(tmp_path), CONFIGS)


def test_streams_travel_only_to_the_same_ranks(tmp_path):
    streams = RandomStreams("clean")
    streams.draws = 17
    state = {"initializer_draws": 17, "rounding": [7, 9]}
    save(tmp_path, 1, all_rows(), 2, random=state)
    loaded = load_job(job.latest(tmp_path), CONFIGS, rank=1, ranks=2)
    fresh = RandomStreams("clean")
    loaded.restore_streams(fresh)
    assert fresh.export_state() == (17, (7, 9))
    other = load_job(job.latest(tmp_path), CONFIGS, rank=1, ranks=3)
    with pytest.warns(UserWarning, match="random initial values will differ"):
        other.restore_streams(fresh)
    assert fresh.draws == 0


def counted(rank):
    admission = SlidingHashFilter(900, 7, quirks="clean", name=str(rank))
    for k in range(40 + rank):
        admission.add((k << 17) + rank, 2)
    return admission


def test_filters_travel_only_to_the_same_ranks(tmp_path):
    def work(comm):
        rows = random_rows(MESSAGES["feature10"], 3, ids=[comm.rank, comm.rank + 2, comm.rank + 4])
        table = content("feature10", MESSAGES["feature10"], rows, "multi")
        return job.write_job_checkpoint(tmp_path, 2, [table], DENSE, comm, filters=counted(comm.rank).export_state())

    assert not [r for r in on_ranks(2, work) if isinstance(r, Exception)]
    names = sorted(p.name for p in tmp_path.rglob("hash_filter_*"))
    assert names == [f"hash_filter_{rank}-0000{split}-of-00007" for rank in range(2) for split in range(7)]
    mine = {"feature10": CONFIGS["feature10"]}
    for rank in range(2):
        loaded = load_job(job.latest(tmp_path), mine, rank=rank, ranks=2)
        admission = SlidingHashFilter(900, 7, quirks="clean")
        loaded.restore_filter(admission)
        assert admission == counted(rank)
        assert admission != counted(1 - rank)
        with pytest.raises(CheckpointError, match="splits of shape"):
            loaded.restore_filter(SlidingHashFilter(1000, 7, quirks="clean"))
        with pytest.raises(CheckpointError, match="does not fit"):
            loaded.restore_filter(DummyFilter())
    other = load_job(job.latest(tmp_path), mine, rank=0, ranks=1)
    with pytest.raises(CheckpointError, match=r"filter of rank 0 holds counts.*filters='reset'"):
        other.restore_filter(SlidingHashFilter(900, 7, quirks="clean"))
    other.restore_filter(SlidingHashFilter(900, 7, quirks="clean"), "reset")


def test_writing_a_step_again_with_other_ranks_leaves_only_the_new_set(tmp_path):
    save(tmp_path, 4, all_rows(), 3)
    rows = {name: random_rows(m, 9, seed=70 + k) for k, (name, m) in enumerate(MESSAGES.items())}
    save(tmp_path, 4, rows, 2)
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    manifest = job.latest(tmp_path).manifest
    assert files == {entry.path for entry in manifest.files} | {"model.ckpt-4.manifest"}
    (stores,) = restored(tmp_path, 1)
    assert {name: by_id(stores[name].export()) for name in MESSAGES} == {n: by_id(d) for n, d in rows.items()}


def test_old_checkpoints_are_pruned_whole(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step, all_rows(), 1)
    assert job.prune(tmp_path, 2) == [1, 2]
    assert job.prune(tmp_path, 2) == []
    assert job.steps(tmp_path) == [3, 4]
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {f"model.ckpt-{s}.{end}" for s in (3, 4) for end in ("assets", "dense", "manifest")}


def test_a_serial_communicator_will_do(tmp_path):
    table = content("feature10", MESSAGES["feature10"], random_rows(MESSAGES["feature10"], 3), "multi")
    job.write_job_checkpoint(tmp_path, 0, [table], {}, SerialCommunicator())
    checkpoint = job.latest(tmp_path)
    assert sum(len(part) for part in checkpoint.rows("feature10")) == 3
    assert [name for name, _rows in checkpoint.all_rows()] == ["feature10"]
    with pytest.raises(CheckpointError, match="no table z"):
        list(checkpoint.rows("z"))
