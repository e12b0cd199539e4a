"""Sets with increments: what a chain of them leaves, who wrote it notwithstanding, and gaps that must be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monolith_conformance.cases.case import case
from monolith_conformance.cases.checkpoint_single import DAY, adagrad
from monolith_conformance.cases.golden import table_config
from monolith_conformance.oracle import files, job_files
from monolith_conformance.record_sets import adagrad_row, expect_rows, expect_same_entries, request, tables
from monolith_conformance.session import Session

__all__: list[str] = []


JOB = (
    "checkpoint.job.write",
    "checkpoint.delta.write",
    "checkpoint.job.read",
    "initializer.zeros",
    "table.assign",
    "table.save",
    "table.evict",
    "expiry",
)


@case(
    "checkpoint/delta/equals-a-whole-set",
    "checkpoints 5.2",
    needs=(*JOB, "optimizer.adagrad", "table.optimize", "table.lookup"),
    required=False,
)
def _delta(session: Session) -> None:
    """A whole set and the increments after it give the table as it was: changed, new and gone rows."""
    config = table_config([{"dim": 1, "rule": "adagrad", "config": {}}])
    config.slot_expire_time_config.default_expire_time = 3
    table, other, folder = session.table(config), adagrad(session, 2), session.folder()
    named = tables({"t": table, "other": other})
    table.op("assign", list(range(1, 9)), np.arange(1, 9), time=DAY)
    other.op("assign", [1], [1.0, 2.0], time=DAY)
    session.ask(request("job.write", folder, named, 1))
    session.expect(ints=[1, 8])
    rate = np.array([0.5], np.float32)
    table.op("optimize", [2, 20], [1.0, 1.0], rate, time=2 * DAY)
    session.ask(request("delta.write", folder, named, 2))
    table.op("assign", [3, 30], [7.0, 8.0], time=4 * DAY)
    table.op("evict", time=4 * DAY + 5)
    session.ask(request("delta.write", folder, named, 3))
    table.op("save")
    expected = list(session.transcript.steps[-1].reply.result.entries)  # type: ignore[union-attr]
    twin, twin_other = session.table(config), adagrad(session, 2)
    session.ask(request("job.read", folder, tables({"t": twin, "other": twin_other})))
    twin.op("save")
    session.expect(entries=expected)
    twin_other.op("lookup", [1])
    session.expect(floats=np.array([1, 2], np.float32), ints=[1])


@case(
    "checkpoint/delta/gap-is-refused",
    "checkpoints 5.2",
    needs=(*JOB, "optimizer.adagrad", "table.size"),
    required=False,
    accuracy="exact",
)
def _gap(session: Session) -> None:
    """Where an increment in between is missing nothing is read."""
    table, folder = adagrad(session), session.folder()
    named = tables({"t": table})
    for step in range(1, 4):
        table.op("assign", [step], [float(step)], time=step)
        session.ask(request("job.write" if step == 1 else "delta.write", folder, named, step))
    gone = [path for path in folder.glob("*-2*") if path.is_file()]
    if not gone:
        session.fail("files of step 2", "none", "some, to be taken away")
    for path in gone:
        path.unlink()
    twin = adagrad(session)
    session.expect_error(request("job.read", folder, tables({"t": twin})))
    twin.op("size")
    session.expect(ints=[0])


READ = ("checkpoint.job.read", "table.save", "optimizer.adagrad", "initializer.zeros")


def _chain(folder: Path, dim: int = 1) -> list[bytes]:
    """A whole set and two increments of table t; returns the rows that they leave."""
    config = table_config([{"dim": dim, "rule": "adagrad", "config": {}}]).SerializeToString(deterministic=True)
    rows = [adagrad_row(k, [float(k)], [0.5], k) for k in range(1, 6)]
    later = [adagrad_row(2, [-2.0], [0.75], 9), adagrad_row(70, [7.0], [0.25], 9)]
    last = [adagrad_row(70, [8.0], [0.25], 10), adagrad_row(5, [50.0], [0.5], 10)]
    sets = [(9, rows, ()), (9, later, (1, 5)), (12, last, (3,))]
    manifest = None
    for step, (max_ts, records, gone) in enumerate(sets, 1):
        manifest = job_files.write_set(folder, step, {"t": job_files.JobTable(config, max_ts, records, gone)}, manifest)
    return [later[0], rows[3], last[1], last[0]]


@case("checkpoint/delta/read", "checkpoints 5.2", needs=READ, required=False, accuracy="exact")
def _read(session: Session) -> None:
    """A chain is read in order: what is gone goes, what changed comes, what came back is there."""
    folder, table = session.folder(), adagrad(session)
    rows = _chain(folder)
    session.ask(request("job.read", folder, tables({"t": table})))
    session.expect(ints=[4])
    expect_rows(session, table, rows)


@case(
    "checkpoint/delta/files",
    "checkpoints 5.1, 5.2",
    needs=(
        "checkpoint.job.write",
        "checkpoint.delta.write",
        "optimizer.adagrad",
        "initializer.zeros",
        "table.assign",
        "table.evict",
        "expiry",
    ),
    required=False,
    accuracy="exact",
)
def _files(session: Session) -> None:
    """A chain that was written is one by the rules of the page: manifests, rows that changed, ids that are gone."""
    config = table_config([{"dim": 1, "rule": "adagrad", "config": {}}])
    config.slot_expire_time_config.default_expire_time = 3
    table, folder = session.table(config), session.folder()
    named = tables({"t": table})
    table.op("assign", [1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0], time=DAY)
    session.ask(request("job.write", folder, named, 1))
    table.op("assign", [2, 9], [5.0, 6.0], time=3 * DAY)
    table.op("evict", time=4 * DAY)
    session.expect(ints=[3])
    session.ask(request("delta.write", folder, named, 2))
    tenth = float(np.float32(0.1))
    changed = [adagrad_row(2, [5.0], [tenth], 3 * DAY), adagrad_row(9, [6.0], [tenth], 3 * DAY)]
    try:
        newest = job_files.read_newest(folder)
        increment = files.read_multi(folder / "model.ckpt-2.delta.assets" / "MonolithMultiHashTable_")
    except (files.DamagedFile, OSError) as error:
        session.fail("files", error, "a chain that can be read")
        return
    expect_same_entries(session, "rows of the chain", newest["t"].records, changed)
    expect_same_entries(session, "rows of the increment", increment["t"], changed)


@case("checkpoint/delta/of-another-set-is-refused", "checkpoints 5.2", needs=READ, required=False, accuracy="exact")
def _another(session: Session) -> None:
    """An increment that follows a set which is not there, or of another table, is refused before anything changes."""
    folder = session.folder()
    _chain(folder)
    (folder / "model.ckpt-1.manifest").unlink()
    table = adagrad(session)
    session.expect_error(request("job.read", folder, tables({"t": table})))
    wider = adagrad(session, 2)
    whole = session.folder()
    _chain(whole)
    session.expect_error(request("job.read", whole, tables({"t": wider})))
    session.expect_error(request("job.read", whole, tables({"other": table})))
    for untouched in (table, wider):
        untouched.op("save")
        session.expect(entries=[])


@case("checkpoint/delta/changed-files-are-refused", "checkpoints 5.1", needs=READ, required=False, accuracy="exact")
def _changed(session: Session) -> None:
    """A file that is not the one that the manifest names is refused, sound as it may be."""
    folder = session.folder()
    _chain(folder)
    path = folder / "model.ckpt-3.delta.assets" / files.shard_name("MonolithMultiHashTable_", 0, 1)
    path.write_bytes(files.in_blocks([adagrad_row(70, [9.0], [0.25], 10), adagrad_row(5, [50.0], [0.5], 10)]))
    table = adagrad(session)
    session.expect_error(request("job.read", folder, tables({"t": table})))
    table.op("save")
    session.expect(entries=[])
