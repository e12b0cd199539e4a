"""Kills a writer at every call that reaches the file system and looks at what a reader then finds.

Run as a program of its own (``python -m ... FOLDER``): it forks a child per kill, so it must not have threads. Prints
one JSON object: scenario → number of kills, how many left the former set, how many the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from monolith_ref.checkpoint import job, naming, sets
from monolith_ref.checkpoint.manifest import read_manifest
from monolith_ref.checkpoint.restore import load_job
from monolith_ref.errors import CheckpointError
from tests.monolith_ref.checkpoint.support import (
    T0,
    ThreadRank,
    by_id,
    config,
    content,
    loaded_rows,
    on_ranks,
    random_rows,
    store_of,
)

KILLED = 137
CALLS = ("open", "write", "fsync", "replace", "unlink", "close", "mkdir")
MESSAGE = config((2, "adagrad"))
CONFIG = MESSAGE.SerializeToString()


def rows(seed):
    """Two dozen rows."""
    return random_rows(MESSAGE, 24, seed=seed, ids=range(seed, seed + 24))


def arm(kill_at, half):
    """From now on, die before the ``kill_at``-th call; with ``half`` in the middle of the ``kill_at``-th write."""
    count = 0

    def wrap(name, original):
        def call(*arguments, **keywords):
            nonlocal count
            count += 1
            if count == kill_at:
                if half:
                    original(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os._exit(KILLED)
            return original(*arguments, **keywords)

        return call

    for name in ("write",) if half else CALLS:
        setattr(os, name, wrap(name, getattr(os, name)))


class Single:
    """A table under a prefix, written again with another number of shards."""

    def save(self, folder, seed):
        sets.save_single(folder / "t", content("t", MESSAGE, rows(seed)), shards=1 + seed % 3)

    def read(self, folder):
        return loaded_rows(sets.load_single(folder / "t", CONFIG))

    def expected(self, seed):
        return by_id(rows(seed))


class Multi(Single):
    """A multi table."""

    def save(self, folder, seed):
        tables = [content(name, MESSAGE, rows(seed + k), "multi") for k, name in enumerate("ab")]
        sets.save_multi(folder / "m", tables, shards=1 + seed % 2)

    def read(self, folder):
        loaded = sets.load_multi(folder / "m", {"a": CONFIG, "b": CONFIG})
        return {name: loaded_rows(table) for name, table in loaded.items()}

    def expected(self, seed):
        return {name: by_id(rows(seed + k)) for k, name in enumerate("ab")}


class Job(Single):
    """A job's checkpoint, the same step again."""

    ranks = 1

    def step(self, seed):
        return 4

    def save(self, folder, seed):
        def work(comm):
            dump = rows(seed)
            mine = naming.owned(dump.ids, comm.rank, comm.size, "floor-mod")
            part = random_rows(MESSAGE, 1, ids=[0])
            part = type(part)(
                dump.ids[mine], dump.weights[mine], [{"norm": dump.state[0]["norm"][mine]}], dump.update_time[mine]
            )
            tables = [content("MonolithHashTable_x", MESSAGE, part), content("f", MESSAGE, part, "multi")]
            job.write_job_checkpoint(folder, self.step(seed), tables, {}, comm, extra={"seed": seed})

        if self.ranks == 1:
            work(ThreadRank(0, 1, ([None], _NoBarrier())))
        else:
            problems = [r for r in on_ranks(self.ranks, work) if r is not None]
            if problems:
                raise problems[0]

    def read(self, folder):
        checkpoint = job.latest(folder)
        if checkpoint is None:
            raise CheckpointError("nothing there")
        loaded = load_job(checkpoint, {"MonolithHashTable_x": CONFIG, "f": CONFIG})
        stores = {name: store_of(MESSAGE) for name in loaded.tables}
        loaded.put_into(stores)
        checkpoint.dense()
        return {"seed": checkpoint.extra["seed"]} | {name: by_id(store.export()) for name, store in stores.items()}

    def expected(self, seed):
        return {"seed": seed, "MonolithHashTable_x": by_id(rows(seed)), "f": by_id(rows(seed))}


class NextStep(Job):
    """A job's checkpoint of the next step, on two ranks that die together."""

    ranks = 2

    def step(self, seed):
        return seed


class Increment(Job):
    """An increment on a full set."""

    def save(self, folder, seed):
        store = store_of(MESSAGE)
        store.import_(rows(1))
        store.track_changes()
        previous = None
        if seed > 1:
            previous = read_manifest(job.manifest_path(folder, 1))
            store.erase(rows(1).ids[:5])
            store.import_(rows(seed))
        comm = ThreadRank(0, 1, ([None], _NoBarrier()))
        tables = [content("MonolithHashTable_x", MESSAGE, store), content("f", MESSAGE, store, "multi", T0)]
        job.write_job_checkpoint(folder, seed, tables, {}, comm, previous=previous, extra={"seed": seed})

    def expected(self, seed):
        store = store_of(MESSAGE)
        store.import_(rows(1))
        if seed > 1:
            store.erase(rows(1).ids[:5])
            store.import_(rows(seed))
        found = by_id(store.export())
        return {"seed": seed, "MonolithHashTable_x": found, "f": found}


class _NoBarrier:
    def wait(self, seconds):
        return 0


SCENARIOS = {
    "single": Single(),
    "multi": Multi(),
    "job": Job(),
    "next-step": NextStep(),
    "increment": Increment(),
}


def strays(folder):
    """Files that no manifest names."""
    named = {path.name for path in folder.glob("*.manifest")}
    for path in folder.glob("*.manifest"):
        named |= {entry.path for entry in read_manifest(path).files}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return sorted(there - named)


def kill_everywhere(scenario, folder, first):
    """Save set 1 (unless ``first``), then die at every call of saving set 2."""
    before, after = scenario.expected(1), scenario.expected(2)
    tally = {"kills": 0, "former": 0, "new": 0}
    for half in (False, True):
        kill_at = 0
        while True:
            kill_at += 1
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            if not first:
                scenario.save(folder, 1)
            child = os.fork()
            if child == 0:
                arm(kill_at, half)
                scenario.save(folder, 2)
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status == 0:
                break
            assert status == KILLED, status
            tally["kills"] += 1
            try:
                found = scenario.read(folder)
            except CheckpointError:
                found = None
            if found == after:
                tally["new"] += 1
            elif found == (None if first else before):
                tally["former"] += 1
            else:
                raise AssertionError(f"kill {kill_at} (half {half}) left something else")
            # The next save cleans up, whatever was left.
            if not (first and isinstance(scenario, Increment)):
                scenario.save(folder, 2)
                assert scenario.read(folder) == after
                assert strays(folder) == []
    return tally


def main():
    folder = Path(sys.argv[1])
    report = {}
    # A killed process loses nothing that the kernel has taken: waiting for the disk would only take time here.
    os.fsync = lambda descriptor: None
    for name, scenario in SCENARIOS.items():
        report[name] = kill_everywhere(scenario, folder / name, first=False)
    report["first"] = kill_everywhere(SCENARIOS["single"], folder / "first", first=True)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
