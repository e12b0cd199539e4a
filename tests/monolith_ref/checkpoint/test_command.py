"""``monolith-ref table``: what it prints, writes and returns."""

from __future__ import annotations

import json

import numpy as np
import pytest
from monolith_protos import hash_table_pb2

from monolith_ref.checkpoint import job, sets
from monolith_ref.checkpoint.diff import ulps
from monolith_ref.checkpoint.manifest import read_manifest
from monolith_ref.checkpoint.naming import owned
from monolith_ref.checkpoint.restore import load_job
from monolith_ref.checkpoint.rows import take
from monolith_ref.cli.app import run
from monolith_ref.table.admission import SlidingHashFilter
from tests.monolith_ref.checkpoint.support import (
    GOLDEN,
    T0,
    by_id,
    config,
    content,
    loaded_rows,
    on_ranks,
    random_rows,
    store_of,
)

MESSAGE = config((2, "adagrad"), (1, "adam"), expire={None: 1})
DEMO = str(GOLDEN / "MonolithHashTable_demo")
MULTI = str(GOLDEN / "MonolithMultiHashTable_0")


@pytest.fixture
def table(capsys):
    """Run ``monolith-ref table ...``: (exit code, standard output)."""

    def call(*words, code=0):
        result = run(["table", *map(str, words)])
        captured = capsys.readouterr()
        assert result == code, captured
        return captured.out if code < 2 else captured.err

    return call


def as_json(text):
    return json.loads(text)


def test_verify(table, tmp_path):
    text = table("verify", DEMO)
    assert "mixed_widths" in text
    assert "0 errors, 1 warnings" in text
    data = as_json(table("verify", "--json", GOLDEN, code=1))
    assert (data["errors"], data["warnings"]) == (6, 1)
    assert {f["code"] for f in data["findings"]} == {"mixed_widths", "missing_shard"}
    assert "no_files" in table("verify", tmp_path / "nothing", code=1)
    rows = random_rows(MESSAGE, 3)
    sets.save_single(tmp_path / "t", content("t", MESSAGE, rows))
    (tmp_path / "t.manifest").unlink()
    path = tmp_path / "config"
    other = config((2, "sgd"), (1, "adam"))
    for data in (other.SerializeToString(), str(other).encode()):
        path.write_bytes(data)
        assert "wrong_optimizer" in table("verify", "--config", path, tmp_path / "t", code=1)
    both = hash_table_pb2.MultiEmbeddingHashTableConfig(names=["t"], configs=[MESSAGE])
    path.write_bytes(both.SerializeToString())
    table("verify", "--config", path, tmp_path / "t")
    path.write_bytes(b"\xff")
    assert "neither an EmbeddingHashTableConfig" in table("verify", "--config", path, tmp_path / "t", code=2)
    assert "cannot be read" in table("verify", "--config", tmp_path / "no", tmp_path / "t", code=2)


def test_show_figures(table, tmp_path):
    rows = random_rows(MESSAGE, 4, ids=[1, 1 << 48, 3 << 48, (3 << 48) + 1], times=[T0, T0 - 43200, T0 - 1, T0])
    rows.weights[:] = [[3, 4, 0], [0, 0, 0], [np.inf, 0, 0], [0, 0, 12]]
    sets.save_single(tmp_path / "t", content("t", MESSAGE, rows), quirks=["ftrl_l1_sign"], global_step=7)
    data = as_json(table("show", "--json", tmp_path / "t"))
    assert data["set"]["origin"] == "ours"
    assert (data["set"]["global_step"], data["set"]["quirks"]) == (7, ["ftrl_l1_sign"])
    (shown,) = data["tables"]
    assert (shown["name"], shown["kind"], shown["rows"]) == ("t", "single", 4)
    assert [segment["optimizer"] for segment in shown["segments"]] == ["adagrad", "adam"]
    assert shown["slots"] == {"distinct": 3, "largest": [[3, 2], [0, 1], [1, 1]]}
    assert shown["age_days"]["most"] == 0.5
    assert (shown["norm"]["least"], shown["norm"]["median"], shown["norm"]["most"]) == (0, 5, 12)
    assert (shown["zero_rows"], shown["not_finite_rows"]) == (1, 1)
    text = table("show", tmp_path / "t")
    for word in ("global_step 7", "adagrad(norm 2)", "adam(m 1, v 1, beta1_power 1, beta2_power 1)", "3: 2, 0: 1"):
        assert word in text
    assert "hash_filter_0" in table("show", GOLDEN)
    assert "has no table u" in table("show", "--table", "u", tmp_path / "t", code=2)


def test_show_rows(table):
    text = table("show", DEMO, "--fid", "0x3000000000007")
    assert "slot 3" in text
    assert "record 1, byte 47" in text
    assert "3e4ccccd" in text
    data = as_json(table("show", DEMO, "--fid", "1", "--fid", "5", "--json", code=1))
    assert data["missing"] == [5]
    (row,) = data["rows"]
    assert row["weights"] == {"floats": [0.5, -0.5], "bits": ["3f000000", "bf000000"]}
    assert (row["state"], row["update_time"], row["record"], row["offset"]) == ([{"rule": "sgd"}], T0, 0, 0)
    assert as_json(table("show", MULTI, "--fid", str(2**64 - 1), "--json"))["rows"][0]["fid"] == -1
    for wrong in ("x", str(2**64)):
        assert "--fid" in table("show", DEMO, "--fid", wrong, code=2)


def test_ulps():
    a = np.array([0.0, 1.0, -1.0, np.nan, 1.0, 2.0**-149], np.float32)
    b = np.array([-0.0, np.nextafter(np.float32(1), np.float32(2)), 1.0, np.nan, np.nan, -(2.0**-149)], np.float32)
    assert ulps(a, b).tolist()[:4] == [1, 1, 2 * 0x3F800000 + 1, 0]
    assert ulps(a, b)[4] > 0
    assert ulps(a, b)[5] == 3


def test_diff_explains_fids_and_ulps(table, tmp_path):
    rows = random_rows(MESSAGE, 9)
    rows.weights[:] = 1
    sets.save_single(tmp_path / "a", content("t", MESSAGE, rows), shards=3)
    order = np.arange(9)[::-1]
    changed = take(rows, order)
    changed.weights = changed.weights.copy()
    sets.save_single(tmp_path / "same", content("t", MESSAGE, changed))
    assert table("diff", tmp_path / "a", tmp_path / "same").endswith("equal\n")
    fid = int(changed.ids[4])
    changed.weights[4, 1] = np.nextafter(np.float32(1), np.float32(2))
    changed.state[1]["beta2_power"] = np.where(np.arange(9) == 2, np.float32(0.5), changed.state[1]["beta2_power"])
    changed = take(changed, np.arange(9) != 7)
    sets.save_single(tmp_path / "b", content("t", MESSAGE, changed))
    data = as_json(table("diff", "--json", tmp_path / "a", tmp_path / "b", code=1))
    (found,) = data["tables"]
    assert (found["rows_a"], found["rows_b"], found["different_rows"], found["different_elements"]) == (9, 8, 2, 2)
    assert found["only_a"] == {"count": 1, "fids": [int(rows.ids[1])]}
    row = next(row for row in found["rows"] if row["fid"] == fid)
    assert row["elements"] == [
        {"field": "weights", "index": 1, "a": "1.0", "b": "1.0000001", "bits": ["3f800000", "3f800001"], "ulps": 1}
    ]
    text = table("diff", tmp_path / "a", tmp_path / "b", code=1)
    assert str(fid) in text
    assert "segment 1 adam.beta2_power" in text
    times = take(rows, slice(None))
    times.update_time = times.update_time + np.uint32(1)
    sets.save_single(tmp_path / "c", content("t", MESSAGE, times, max_ts=T0 + 1))
    assert "update_time" in table("diff", tmp_path / "a", tmp_path / "c", code=1)
    table("diff", "--ignore-times", tmp_path / "a", tmp_path / "c")
    assert "is only in" in table("diff", DEMO, MULTI, code=1)
    assert "neither side" in table("diff", DEMO, DEMO, "--table", "x", code=2)


def job_rows():
    messages = {"MonolithHashTable_x": MESSAGE, "f": config((1, "sgd")), "g": config((3, "momentum"))}
    return messages, {name: random_rows(m, 31 + k, seed=k) for k, (name, m) in enumerate(messages.items())}


def save_job(folder, ranks, filters=None):
    messages, rows = job_rows()

    def work(comm):
        tables = [
            content(name, m, take(rows[name], owned(rows[name].ids, comm.rank, comm.size, "floor-mod")), kind, T0 + 9)
            for name, m in messages.items()
            for kind in ["single" if name.startswith("M") else "multi"]
        ]
        state = {"initializer_draws": comm.rank, "rounding": [1, 2]}
        dense = {"w": np.float32([1, 2])}
        return job.write_job_checkpoint(
            folder,
            6,
            tables,
            dense,
            comm,
            extra={"k": 1},
            filters=filters,
            random=state,
            quirks=["multi_expiry_first_table"],
        )

    assert not [result for result in on_ranks(ranks, work) if isinstance(result, Exception)]
    return rows


def test_two_to_three_to_two_ranks(table, tmp_path):
    rows = save_job(tmp_path / "two", 2)
    with pytest.warns(UserWarning, match="random initial values"):
        table("convert", tmp_path / "two", tmp_path / "three", "--shards", 3)
    # What the way lost is lost: the third has no streams, so that going back warns of nothing.
    table("convert", tmp_path / "three", tmp_path / "back", "--shards", 2)
    for name, ranks in (("three", 3), ("back", 2)):
        assert "0 errors" in table("verify", tmp_path / name)
        manifest = job.latest(tmp_path / name).manifest
        assert (manifest.ranks, manifest.global_step, manifest.extra) == (ranks, 6, {"k": 1})
        assert {entry.max_ts for entry in manifest.tables} == {T0 + 9}
        table("diff", tmp_path / "two", tmp_path / name)
    one, other = job.latest(tmp_path / "two"), job.latest(tmp_path / "back")
    assert sum(len(part) for part in other.rows("f")) == len(rows["f"])
    table("convert", tmp_path / "two", tmp_path / "same")
    assert job.latest(tmp_path / "same").manifest.random == one.manifest.random


def test_filters_hold_a_job_on_its_ranks(table, tmp_path):
    admission = SlidingHashFilter(300, 5, quirks="clean")
    admission.add(3)
    save_job(tmp_path / "two", 2, admission.export_state())
    assert "filter of rank 0 holds counts" in table("convert", tmp_path / "two", tmp_path / "x", "--shards", 3, code=2)
    assert not (tmp_path / "x").exists()
    table("convert", tmp_path / "two", tmp_path / "same")
    assert job.latest(tmp_path / "same").filter(1).num_elements == admission.export_state().num_elements
    with pytest.warns(UserWarning, match="random initial values"):
        table("convert", tmp_path / "two", tmp_path / "x", "--shards", 3, "--reset-filters")
    assert job.latest(tmp_path / "x").filter(1) is None


def test_a_chain_is_folded(table, tmp_path):
    store = store_of(MESSAGE)
    store.import_(random_rows(MESSAGE, 20, ids=range(20)))
    store.track_changes()
    tables = [content("MonolithHashTable_x", MESSAGE, store)]
    comm = on_ranks(1, lambda comm: comm)[0]
    path = on_ranks(1, lambda comm: job.write_job_checkpoint(tmp_path / "c", 1, tables, {}, comm))[0]
    for step in (2, 3):
        store.erase(np.array([step, step + 5], np.int64))
        store.import_(random_rows(MESSAGE, 3, seed=step, ids=[step + 10, step + 40, step + 41]))
        previous = read_manifest(path)
        path = job.write_job_checkpoint(
            tmp_path / "c", step, tables, {}, comm.__class__(0, 1, _alone()), previous=previous
        )
    table("convert", tmp_path / "c", tmp_path / "folded")
    checkpoint = job.latest(tmp_path / "folded")
    assert (checkpoint.manifest.kind, checkpoint.step) == ("full", 3)
    fresh = store_of(MESSAGE)
    load_job(checkpoint, {"MonolithHashTable_x": MESSAGE.SerializeToString()}).put_into({"MonolithHashTable_x": fresh})
    assert by_id(fresh.export()) == by_id(store.export())
    table("diff", tmp_path / "c", tmp_path / "folded")
    table("verify", tmp_path / "folded")


def _alone():
    class Nothing:
        def wait(self, seconds):
            return 0

    return [None], Nothing()


def test_foreign_sets_change_shards_and_form(table, tmp_path):
    table("convert", MULTI, tmp_path / "m", "--shards", 3)
    table("diff", MULTI, tmp_path / "m")
    assert not (tmp_path / "m.manifest").exists()
    table("convert", MULTI, tmp_path / "singles", "--format", "single")
    assert sorted(p.name for p in (tmp_path / "singles").iterdir()) == [f"{n}-00000-of-00001" for n in "abc"]
    table("convert", tmp_path / "singles", tmp_path / "again", "--format", "multi", "--shards", 1)
    table("diff", MULTI, tmp_path / "again")
    assert "there already" in table("convert", MULTI, tmp_path / "m", "--shards", 2, code=2)
    assert "only a job's checkpoint" in table("convert", DEMO, tmp_path / "j", "--format", "job", code=2)
    assert "--format must be one of" in table("convert", DEMO, tmp_path / "j", "--format", "xml", code=2)
    table("convert", MULTI, tmp_path / "one", "--table", "b", "--format", "single")
    assert (tmp_path / "one-00000-of-00001").exists()


def test_a_configuration_makes_a_foreign_set_ours(table, tmp_path):
    rows = random_rows(MESSAGE, 12)
    sets.save_single(tmp_path / "t", content("t", MESSAGE, rows))
    (tmp_path / "t.manifest").unlink()
    (tmp_path / "config").write_bytes(MESSAGE.SerializeToString())
    table("convert", tmp_path / "t", tmp_path / "ours", "--config", tmp_path / "config", "--shards", 2)
    assert read_manifest(tmp_path / "ours.manifest").tables[0].rows == 12
    assert loaded_rows(sets.load_single(tmp_path / "ours", MESSAGE.SerializeToString())) == by_id(rows)


def test_exports(table, tmp_path):
    rows = random_rows(MESSAGE, 12)
    sets.save_single(tmp_path / "t", content("t", MESSAGE, rows, max_ts=T0 + 10**6))
    # Nothing expires by being exported; this set was written after its rows had gone stale.
    assert read_manifest(tmp_path / "t.manifest").tables[0].rows == 0
    sets.save_single(tmp_path / "t", content("t", MESSAGE, rows))
    table("convert", tmp_path / "t", tmp_path / "x.npz", "--format", "npz")
    with np.load(tmp_path / "x.npz") as data:
        assert sorted(data.files) == sorted(
            ["fid", "slot", "update_time", "weights", "0.adagrad.norm"]
            + [f"1.adam.{name}" for name in ("m", "v", "beta1_power", "beta2_power")]
        )
        assert data["fid"].tolist() == rows.ids.tolist()
        assert data["weights"].tobytes() == rows.weights.tobytes()
        assert data["1.adam.beta1_power"].tobytes() == rows.state[1]["beta1_power"].tobytes()
    parquet = pytest.importorskip("pyarrow.parquet")
    table("convert", tmp_path / "t", tmp_path / "x", "--format", "parquet")
    read = parquet.read_table(tmp_path / "x.parquet")
    assert read["fid"].to_pylist() == rows.ids.tolist()
    flat = read["weights"].combine_chunks().flatten().to_numpy()
    assert flat.tobytes() == rows.weights.tobytes()
    table("convert", MULTI, tmp_path / "many", "--format", "npz")
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["a.npz", "b.npz", "c.npz"]
    assert "2 shapes" in table("convert", DEMO, tmp_path / "demo", "--format", "npz", code=2)
