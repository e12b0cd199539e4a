"""Files of several tables, and of filters."""

from __future__ import annotations

import numpy as np

from monolith_conformance.cases.case import case
from monolith_conformance.cases.checkpoint_single import DAY, adagrad
from monolith_conformance.cases.filter_counts import SPREAD
from monolith_conformance.cases.golden import table_config
from monolith_conformance.oracle import files
from monolith_conformance.record_sets import (
    adagrad_row,
    expect_rows,
    expect_same_entries,
    golden_records,
    request,
    tables,
)
from monolith_conformance.session import Session, Table

__all__: list[str] = []

READ = ("checkpoint.multi.read", "table.multi", "table.save", "optimizer.adagrad", "initializer.zeros")
WRITE = ("checkpoint.multi.write", "table.multi", "table.restore", "optimizer.adagrad", "initializer.zeros")
FILTER = ("filter.admission", "filter.sliding", "optimizer.sgd", "initializer.zeros", "table.optimize", "table.lookup")


def _some(begin: int, count: int, dim: int = 1) -> list[bytes]:
    return [adagrad_row(begin + k, [float(k)] * dim, [0.5 + k] * dim, k + 1) for k in range(count)]


@case("checkpoint/multi/golden", "checkpoints 4.4", needs=(*READ, "optimizer.sgd", "optimizer.ftrl"), accuracy="exact")
def _golden(session: Session) -> None:
    """A set of several tables that the original's own writer made is read, both shards of it, compressed as it is."""
    folder = session.folder()
    for kind in ("", ".meta"):
        for shard in range(2):
            name = f"MonolithMultiHashTable_0{kind}-0000{shard}-of-00002"
            (folder / name).write_bytes(golden_records(name))
    ftrl = {"dim": 1, "rule": "ftrl", "config": {}}
    both = [ftrl, {"dim": 2, "rule": "adagrad", "config": {}}]
    named = {
        "a": session.table(table_config([{"dim": 2, "rule": "sgd", "config": {}}])),
        "b": adagrad(session),
        "c": session.table(table_config(both)),
    }
    session.ask(request("multi.read", folder / "MonolithMultiHashTable_0", tables(named)))
    session.expect(ints=[1, 1, 1])
    content = files.read_multi(folder / "MonolithMultiHashTable_0")
    for name, table in named.items():
        expect_rows(session, table, content[name])


@case("checkpoint/multi/written", "checkpoints 4.4", needs=WRITE, accuracy="exact")
def _written(session: Session) -> None:
    """What is written can be read by the rules of the page: data and contents of each shard, tables by name."""
    folder = session.folder()
    named = {"zz": adagrad(session, 2), "a": adagrad(session), "empty": adagrad(session)}
    rows = {"zz": _some(100, 7, 2), "a": _some(-3, 5), "empty": []}
    for name, table in named.items():
        table.op("restore", entries=rows[name])
    session.ask(request("multi.write", folder / "set", tables(named), 2))
    session.expect(ints=[5, 0, 7])
    try:
        found = files.read_multi(folder / "set")
    except files.DamagedFile as error:
        session.fail("files", error, "a set that can be read")
        return
    if list(found) != ["a", "empty", "zz"]:
        session.fail("tables in the files", list(found), ["a", "empty", "zz"])
    for name, records in rows.items():
        expect_same_entries(session, f"rows of {name}", found[name], records)


@case("checkpoint/multi/several-blocks", "checkpoints 4.1, 4.4", needs=(*READ, *WRITE), accuracy="exact")
def _blocks(session: Session) -> None:
    """Data beyond 262,144 bytes is cut into blocks of at most that, and read back from them."""
    folder, width = session.folder(), 2000
    rows = [adagrad_row(k, [k + 0.5] * width, [1.0 + k] * width) for k in range(20)]  # 16 KiB or more each.
    table = adagrad(session, width)
    files.write_multi(folder / "theirs", {"t": rows}, 1)
    session.ask(request("multi.read", folder / "theirs", tables({"t": table})))
    session.expect(ints=[20])
    expect_rows(session, table, rows)
    session.ask(request("multi.write", folder / "ours", tables({"t": table}), 1))
    try:
        found = files.read_multi(folder / "ours")
    except files.DamagedFile as error:
        session.fail("files", error, "blocks of at most 262,144 bytes")
        return
    expect_same_entries(session, "rows in the blocks", found["t"], rows)


@case("checkpoint/multi/tables-of-others", "checkpoints 4.4", needs=READ, accuracy="exact")
def _others(session: Session) -> None:
    """Tables of the files that nobody asks for are read over, and records beyond the last table are nobody's."""
    folder = session.folder()
    content = {"a": _some(1, 3), "b": _some(50, 4, 3), "c": _some(90, 2)}
    files.write_multi(folder / "set", content, 2)
    last = folder / files.shard_name("set", 1, 2)
    last.write_bytes(last.read_bytes() + files.in_blocks([adagrad_row(77, [1.0], [1.0])]))
    named = {"a": adagrad(session), "c": adagrad(session)}
    session.ask(request("multi.read", folder / "set", tables(named)))
    session.expect(ints=[3, 2])
    for name, table in named.items():
        expect_rows(session, table, content[name])


@case(
    "checkpoint/multi/clears-first",
    "tables 8",
    needs=(*READ, "table.assign"),
    without=("multi_restore_keeps_rows",),
    accuracy="exact",
)
def _clears(session: Session) -> None:
    """Reading clears every table that it is asked for, also one that the files do not have."""
    named = {"a": adagrad(session), "b": adagrad(session)}
    for table in named.values():
        table.op("assign", [1], [5.0], time=9)
    folder = session.folder()
    files.write_multi(folder / "set", {"a": _some(2, 1)}, 1)
    session.ask(request("multi.read", folder / "set", tables(named)))
    session.expect(ints=[1, 0])


@case(
    "checkpoint/multi/keeps-rows",
    "tables 8",
    needs=(*READ, "table.assign"),
    quirks=("multi_restore_keeps_rows",),
    accuracy="exact",
)
def _keeps(session: Session) -> None:
    """The original keeps rows that are not in the files."""
    named = {"a": adagrad(session)}
    named["a"].op("assign", [1], [5.0], time=9)
    folder = session.folder()
    files.write_multi(folder / "set", {"a": _some(2, 1)}, 1)
    session.ask(request("multi.read", folder / "set", tables(named)))
    session.expect(ints=[2])


def _expiring(session: Session, days: int) -> Table:
    config = table_config([{"dim": 1, "rule": "adagrad", "config": {}}])
    config.slot_expire_time_config.default_expire_time = days
    return session.table(config)


def _expiry(session: Session, expected: list[int]) -> None:
    named = {"a": _expiring(session, 1), "b": _expiring(session, 5)}
    for table in named.values():
        table.op("restore", entries=[adagrad_row(back, [1.0], [1.0], (50 - back) * DAY) for back in (0, 1, 3, 6)])
    session.ask(request("multi.write", session.folder() / "set", tables(named), 1))
    session.expect(ints=expected)


@case(
    "checkpoint/expiry/each-table-its-own",
    "tables 8",
    needs=(*WRITE, "expiry"),
    without=("multi_expiry_first_table",),
    accuracy="exact",
)
def _own(session: Session) -> None:
    """Each table of a set leaves out its own stale rows."""
    _expiry(session, [1, 3])


@case(
    "checkpoint/expiry/first-table-for-all",
    "tables 8",
    needs=(*WRITE, "expiry"),
    quirks=("multi_expiry_first_table",),
    accuracy="exact",
)
def _first(session: Session) -> None:
    """The original uses the days of the first table for all."""
    _expiry(session, [1, 1])


def _filtered(session: Session) -> Table:
    config = table_config([{"dim": 1, "rule": "sgd", "config": {}}])
    return session.table(config, "sliding capacity=300 split_num=5 threshold=3")


def _step(table: Table, ids: list[int]) -> None:
    table.op("optimize", ids, np.ones(len(ids), np.float32), np.array([1.0], np.float32), time=1)


@case(
    "checkpoint/filter/counts-go-on",
    "checkpoints 4.5, filters 8",
    needs=(*FILTER, "checkpoint.filter.write", "checkpoint.filter.read"),
)
def _counts(session: Session) -> None:
    """A filter that was written and read goes on counting where it was."""
    old, new, folder = _filtered(session), _filtered(session), session.folder()
    ids = [k * SPREAD + k for k in range(1, 200)]
    for batch in (ids, ids[:100], ids[50:60]):  # The window moves on the way: 199 ids, 75 a split.
        _step(old, batch)
    session.ask(request("filter.write", folder / "hash_filter_0", old.name))
    session.expect(ints=[5])
    session.ask(request("filter.read", folder / "hash_filter_0", new.name))
    session.expect(ints=[5])
    for _ in range(2):
        for table in (old, new):
            _step(table, ids)
        expected = old.op("lookup", ids)
        new.op("lookup", ids)
        session.expect(floats=expected.floats, ints=list(expected.ints))


@case("checkpoint/filter/files", "checkpoints 4.5", needs=(*FILTER, "checkpoint.filter.write"), accuracy="exact")
def _filter_files(session: Session) -> None:
    """A filter's files hold its splits by the rules of the page: meta first, then every cell."""
    from monolith_conformance.oracle.filter_files import read_filter
    from monolith_conformance.oracle.filters import OracleSlidingFilter

    table, folder = _filtered(session), session.folder()
    wanted = OracleSlidingFilter(300, 5, quirks=session.quirks.names)
    for number in range(1, 150):
        fid = number * SPREAD + number
        _step(table, [fid])
        wanted.should_be_filtered(fid, 1, 3)
    session.ask(request("filter.write", folder / "f", table.name))
    found = OracleSlidingFilter(300, 5, quirks=session.quirks.names)
    try:
        read_filter(folder / "f", found)
    except files.DamagedFile as error:
        session.fail("files", error, "a filter that can be read")
    for what in ("head", "head_increment"):
        if getattr(found, what) != getattr(wanted, what):
            session.fail(what, getattr(found, what), getattr(wanted, what))
    for number, (a, b) in enumerate(zip(found.splits, wanted.splits, strict=True)):
        if a.cells != b.cells or a.num_elements != b.num_elements:
            session.fail(f"split {number}", f"{a.num_elements} elements", f"{b.num_elements}, cell by cell the same")
