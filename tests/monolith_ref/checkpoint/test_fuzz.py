"""Damaged files: every reader gives a typed error or rows that were really there; nothing crashes, hangs or guesses.

``FUZZ_CASES=10000 pytest tests/monolith_ref/checkpoint/test_fuzz.py`` searches longer.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import warnings

import cramjam
import numpy as np
import pytest

from monolith_ref.checkpoint import filters, job, sets
from monolith_ref.checkpoint.container import frame
from monolith_ref.checkpoint.dense import read_dense
from monolith_ref.checkpoint.increment import read_gone
from monolith_ref.checkpoint.inspect import open_contents
from monolith_ref.checkpoint.manifest import read_manifest
from monolith_ref.checkpoint.restore import load_job
from monolith_ref.checkpoint.summary import summarize
from monolith_ref.checkpoint.verify import verify
from monolith_ref.errors import CheckpointError
from monolith_ref.sync.communicator import SerialCommunicator
from tests.monolith_ref.checkpoint.support import by_id, config, content, loaded_rows, random_rows, store_of
from tests.monolith_ref.checkpoint.test_container import block_contents, payloads
from tests.monolith_ref.checkpoint.test_filters import used_filter

CASES = int(os.environ.get("FUZZ_CASES", "500"))
MESSAGES = {"a": config((3, "adagrad"), (1, "ftrl")), "b": config((2, "adam"))}
CONFIGS = {name: message.SerializeToString() for name, message in MESSAGES.items()}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """One of everything, and its rows."""
    folder = tmp_path_factory.mktemp("sound")
    rows = {name: random_rows(m, 30, seed=k) for k, (name, m) in enumerate(MESSAGES.items())}
    sets.save_single(folder / "s", content("s", MESSAGES["a"], rows["a"]), shards=2)
    tables = [content(name, m, rows[name], "multi") for name, m in MESSAGES.items()]
    sets.save_multi(folder / "m", tables, shards=2)
    for name in "sm":
        (folder / f"{name}.manifest").unlink()
    store = store_of(MESSAGES["b"])
    store.import_(rows["b"])
    store.track_changes()
    tracked = [content("b", MESSAGES["b"], store, "multi")]
    state = used_filter(300, 5, 50).export_state()
    dense = {"w": np.arange(5, dtype=np.float32)}
    path = job.write_job_checkpoint(folder, 1, tracked, dense, SerialCommunicator(), filters=state)
    store.erase(rows["b"].ids[:7])
    previous = read_manifest(path)
    job.write_job_checkpoint(folder, 2, tracked, dense, SerialCommunicator(), previous=previous, filters=state)
    return folder, {name: by_id(dump) for name, dump in rows.items()}


def damaged(rng, data):
    """Flip, cut, insert, repeat or zero something, up to four times."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        what = rng.randrange(6)
        at = rng.randrange(len(out) + 1)
        if what == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            del out[at:]
        elif what == 2:
            out[at:at] = rng.randbytes(rng.choice([1, 3, 4, 12, 16, 40]))
        elif what == 3:
            out[at:at] = out[at : at + rng.randrange(200)]
        elif what == 4:
            del out[at : at + rng.randrange(1, 40)]
        else:
            out[at : at + 8] = rng.choice([b"\xff" * 8, bytes(8), struct.pack("<Q", rng.getrandbits(40))])
    return bytes(out)


def damaged_inside(rng, data, snappy):
    """Damage a payload and make its checksums right again, so that it reaches the parsers."""
    items = []
    stream = b"".join(block_contents(data)) if snappy else data
    while stream:
        (size,) = struct.unpack("<Q", stream[:8])
        items.append(stream[12 : 12 + size])
        stream = stream[size + 16 :]
    if not items:
        return data
    at = rng.randrange(len(items))
    items[at] = damaged(rng, items[at])
    if rng.random() < 0.2:
        rng.shuffle(items)
    framed = b"".join(frame(item) for item in items)
    if not snappy:
        return framed
    cuts = sorted(rng.sample(range(len(framed) + 1), 2))
    parts = [framed[: cuts[0]], framed[cuts[0] : cuts[1]], framed[cuts[1] :]]
    bodies = [bytes(cramjam.snappy.compress_raw(part)) for part in parts]
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


def load_everything(folder, name):
    """Rows by table that a reader takes out of the set that this file belongs to; None: nothing to say."""
    if name.startswith("s-"):
        return {"a": loaded_rows(sets.load_single(folder / "s", CONFIGS["a"]))}
    if name.startswith("m"):
        if not name.startswith("model"):
            return {n: loaded_rows(t) for n, t in sets.load_multi(folder / "m", CONFIGS).items()}
        # Without the manifest's checksums first, so that the parsers see the damage.
        if ".gone-" in name:
            read_gone(folder / name)
        if name.endswith(".dense"):
            read_dense(folder / name)
        checkpoint = job.open_checkpoint(folder, 2 if "delta" in name else 1)
        checkpoint.filter(0)
        load_job(checkpoint, {"b": CONFIGS["b"]})
    return None


def test_damaged_files(sound, tmp_path):
    source, rows = sound
    names = sorted(p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file())
    rng = random.Random(20_260_101)
    outcomes = {"error": 0, "rows": 0, "inside": 0}
    work = tmp_path / "work"
    shutil.copytree(source, work)
    for case in range(CASES):
        name = names[case % len(names)]
        good = (source / name).read_bytes()
        snappy = "m-0" in name or "MultiHashTable_-" in name
        inside = rng.random() < 0.4 and not name.endswith(".manifest")
        bad = damaged_inside(rng, good, snappy) if inside else damaged(rng, good)
        (work / name).write_bytes(bad)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = load_everything(work, name)
                if "hash_filter" in name:
                    filters.read_filter((work / name).with_name("hash_filter_0"))
            outcomes["inside" if inside else "rows"] += 1
            for table, loaded in (found or {}).items():
                if not inside:
                    assert loaded.items() <= rows[table].items(), (case, name)
        except CheckpointError:
            outcomes["error"] += 1
        if case % 5 == 0:
            prefix = work / (name.split("-0")[0].removesuffix(".meta") if name[0] in "sm" and name[1] != "o" else "")
            findings = verify(prefix)
            findings.to_json()
            try:
                summarize(open_contents(prefix))
            except CheckpointError:
                assert findings.errors or findings.warnings, (case, name)
        (work / name).write_bytes(good)
    # The search is worth something only if it met both ends.
    assert min(outcomes.values()) > CASES // 100, outcomes


def test_the_sound_files_are_sound(sound):
    source, rows = sound
    for name in ("s-00000-of-00002", "m-00000-of-00002"):
        assert load_everything(source, name).items() <= rows.items()
    assert load_everything(source, "model.ckpt-2.delta.manifest") is None
    assert payloads(source / "s-00000-of-00002")[0]
