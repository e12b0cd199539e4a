"""Files of single tables: what the original wrote, what a backend writes, and everything that reading must keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from monolith_conformance.backends.tables import RULES
from monolith_conformance.cases.case import Case, case, register
from monolith_conformance.cases.golden import floats, table_config
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle import files
from monolith_conformance.oracle.table import Row
from monolith_conformance.record_sets import (
    SPECIAL,
    adagrad_row,
    change_entry,
    expect_rows,
    expect_same_entries,
    golden_records,
    request,
    whole_set,
)
from monolith_conformance.session import Session, Table

__all__: list[str] = []

READ = ("checkpoint.single.read", "table.save", "optimizer.adagrad", "initializer.zeros")
WRITE = ("checkpoint.single.write", "table.restore", "optimizer.adagrad", "initializer.zeros")
DAY = 86_400


def adagrad(session: Session, dim: int = 1, initializer: str = "zeros") -> Table:
    """A table of one adagrad segment."""
    segment = {"dim": dim, "rule": "adagrad", "config": {}, "initializer": {"kind": initializer, "config": {}}}
    return session.table(table_config([segment]))


def _rows(count: int) -> list[bytes]:
    return [adagrad_row((k % 5 << 48) | (k * 7919), [k, -k], [0.1 + k, 0.5], k + 1) for k in range(count)]


@case(
    "checkpoint/single/golden",
    "checkpoints 4.1, 4.2",
    needs=(*READ, "optimizer.sgd", "optimizer.ftrl"),
    accuracy="exact",
)
def _golden(session: Session) -> None:
    """Records that the original's own writer made are read as they are: weights, state, time."""
    data = golden_records("MonolithHashTable_demo-00000-of-00002")
    plain, combined = files.payloads_of(data)
    cut = 16 + len(plain)
    folder = session.folder()
    sgd = {"dim": 2, "rule": "sgd", "config": {}}
    parts = [{"dim": 1, "rule": "ftrl", "config": {}}, {"dim": 2, "rule": "adagrad", "config": {}}]
    for name, segments, part, payload in (
        ("one", [sgd], data[:cut], plain),
        ("two", parts, data[cut:], combined),
    ):
        # Two shards, as the original wrote them: the second one is a file of no bytes.
        (folder / f"{name}-00000-of-00002").write_bytes(part)
        (folder / f"{name}-00001-of-00002").write_bytes(b"")
        table = session.table(table_config(segments))
        session.ask(request("single.read", folder / name, table.name))
        session.expect(ints=[1])
        expect_rows(session, table, [payload])


@case("checkpoint/single/written", "checkpoints 4.1, 4.3", needs=WRITE, accuracy="exact")
def _written(session: Session) -> None:
    """What is written can be read by the rules of the page: names, checksums, every row once."""
    table, rows, folder = adagrad(session, 2), _rows(25), session.folder()
    table.op("restore", entries=rows)
    session.ask(request("single.write", folder / "set", table.name, 3))
    session.expect(ints=[25])
    names = sorted(path.name for path in folder.glob("set-*"))
    if names != [files.shard_name("set", shard, 3) for shard in range(3)]:
        session.fail("names of files", names, "three shards of three, and nothing else that begins with set-")
    expect_same_entries(session, "rows in the files", _read(session, folder / "set"), rows)


def _read(session: Session, prefix: Path) -> list[bytes]:
    try:
        return files.read_single(prefix)
    except files.DamagedFile as error:
        session.fail("files", error, "a set that can be read")
        raise AssertionError from None


@case("checkpoint/single/every-field-is-written", "checkpoints 4.2", needs=(*WRITE, "optimizer.sgd"), accuracy="exact")
def _fields(session: Session) -> None:
    """id, optimizer and time are written also where they are zero or empty, and weights one by one."""
    table, folder = session.table(table_config([{"dim": 1, "rule": "sgd", "config": {}}])), session.folder()
    table.op("restore", entries=[entry_of(Row(0, floats("3f000000"), [{}], 0), ["sgd"])])
    session.ask(request("single.write", folder / "set", table.name, 1))
    (record,) = _read(session, folder / "set")
    if record.hex() != "09000000000000000015000000" + "3f1a040a0212002000":
        session.fail("record", record.hex(), "09000000000000000015000000" + "3f1a040a0212002000")


@case("checkpoint/single/number-of-shards", "checkpoints 4.3", needs=WRITE, accuracy="exact")
def _shards(session: Session) -> None:
    """Without a number of shards a small table is written to one file; an empty one to a file of no bytes."""
    table, folder = adagrad(session, 2), session.folder()
    session.ask(request("single.write", folder / "none", table.name))
    session.expect(ints=[0])
    table.op("restore", entries=_rows(9))
    session.ask(request("single.write", folder / "some", table.name))
    session.expect(ints=[9])
    sizes = {name: (folder / f"{name}-00000-of-00001") for name in ("none", "some")}
    if not all(path.exists() for path in sizes.values()) or sizes["none"].stat().st_size:
        session.fail("files", sorted(path.name for path in folder.glob("*-of-*")), "one file a set, that of none empty")


@case("checkpoint/single/resharded", "checkpoints 4.3", needs=(*WRITE, *READ), accuracy="exact")
def _resharded(session: Session) -> None:
    """A set is the same table whatever its number of files, and goes through another backend's number unchanged."""
    rows, folder = _rows(23), session.folder()
    whole_set(folder / "five", rows, 5)
    table = adagrad(session, 2)
    session.ask(request("single.read", folder / "five", table.name))
    session.expect(ints=[23])
    expect_rows(session, table, rows)
    session.ask(request("single.write", folder / "two", table.name, 2))
    expect_same_entries(session, "rows in two files", _read(session, folder / "two"), rows)
    again = adagrad(session, 2)
    session.ask(request("single.read", folder / "two", again.name))
    expect_rows(session, again, rows)


@case("checkpoint/single/not-finite", "checkpoints 4.2", needs=WRITE, accuracy="exact")
def _not_finite(session: Session) -> None:
    """Infinities, NaN, -0.0 and subnormal numbers are written as they are, in weights and in state."""
    table, folder = adagrad(session, 5), session.folder()
    row = adagrad_row(-7, SPECIAL.tolist(), SPECIAL[::-1].tolist(), 9)
    table.op("restore", entries=[row])
    session.ask(request("single.write", folder / "set", table.name, 1))
    expect_same_entries(session, "the row in the file", _read(session, folder / "set"), [row])


@case("checkpoint/single/kept-bits", "checkpoints 4.2", needs=(*READ, "table.lookup"), accuracy="exact")
def _kept(session: Session) -> None:
    """Infinities, NaN, -0.0 and subnormal numbers are read as they are, in weights and in state."""
    table = adagrad(session, 5)
    row = adagrad_row(-7, SPECIAL.tolist(), SPECIAL[::-1].tolist(), 9)
    session.ask(request("single.read", whole_set(session.folder() / "set", [row]), table.name))
    table.op("lookup", [-7])
    session.expect(floats=SPECIAL, ints=[1])
    expect_rows(session, table, [row])


@case("checkpoint/single/clears-first", "checkpoints 4.3", needs=(*READ, "table.assign"), accuracy="exact")
def _clears(session: Session) -> None:
    """Reading clears the table: rows that are not in the files are gone."""
    table = adagrad(session)
    table.op("assign", [1, 2], [5.0, 6.0], time=50)
    row = adagrad_row(2, [1.0], [0.25], 3)
    session.ask(request("single.read", whole_set(session.folder() / "set", [row]), table.name))
    session.expect(ints=[1])
    expect_rows(session, table, [row])


@case("checkpoint/single/later-record-wins", "checkpoints 4.3", needs=READ, accuracy="exact")
def _later(session: Session) -> None:
    """Of an id that comes twice the later shard wins, and in one shard the later record."""
    first, second, third = (adagrad_row(5, [float(k)], [float(k)], k) for k in (1, 2, 3))
    for records, shards in (([third, first], 1), ([third, second, first], 3)):
        table = adagrad(session)
        session.ask(request("single.read", whole_set(session.folder() / "set", records, shards), table.name))
        session.expect(ints=[1])
        expect_rows(session, table, [first])


@case(
    "checkpoint/single/short-row",
    "checkpoints 4.3",
    needs=(*READ, "initializer.ones", "table.lookup"),
    accuracy="exact",
)
def _short(session: Session) -> None:
    """A record with fewer weights than the row leaves the others as the initializer makes them."""
    table = adagrad(session, 3, "ones")
    record = change_entry(adagrad_row(5, [7.0, 0, 0], [1.0, 2.0, 3.0], 4), num=[7.0])
    session.ask(request("single.read", whole_set(session.folder() / "set", [record]), table.name))
    table.op("lookup", [5])
    session.expect(floats=np.array([7, 1, 1], np.float32), ints=[1])


@case("checkpoint/single/missing-time", "checkpoints 4.3", needs=READ, accuracy="exact")
def _timeless(session: Session) -> None:
    """A record without a time gets zero."""
    table = adagrad(session)
    row = adagrad_row(5, [7.0], [1.0], 0)
    records = [change_entry(row, last_update_ts_sec=None)]
    session.ask(request("single.read", whole_set(session.folder() / "set", records), table.name))
    expect_rows(session, table, [row])


@case("checkpoint/single/unknown-fields", "checkpoints 4.2", needs=READ, accuracy="exact")
def _unknown(session: Session) -> None:
    """Fields that a later version added are read over."""
    table = adagrad(session)
    row = adagrad_row(5, [7.0], [1.0], 3)
    records = [row + bytes.fromhex("9a060568656c6c6f")]  # Field 99, five bytes.
    session.ask(request("single.read", whole_set(session.folder() / "set", records), table.name))
    expect_rows(session, table, [row])


@case("checkpoint/single/foreign-names", "checkpoints 4.3", needs=READ, accuracy="exact")
def _foreign(session: Session) -> None:
    """Other files beside a set are not looked at: leftovers, other sets, names that are nearly right."""
    table, folder = adagrad(session), session.folder()
    row = adagrad_row(5, [7.0], [1.0], 3)
    whole_set(folder / "set", [row])
    whole_set(folder / "set2", [adagrad_row(6, [1.0], [1.0])])
    whole_set(folder / "other-set", [adagrad_row(7, [1.0], [1.0])])
    for name in ("set-00000-of-00001-tmp-123", "set-0-of-1", "set-00001-of-2", "set.meta-00000-of-00001", "set"):
        (folder / name).write_bytes(b"no records")
    session.ask(request("single.read", folder / "set", table.name))
    session.expect(ints=[1])
    expect_rows(session, table, [row])


@case("checkpoint/single/stray-bytes", "checkpoints 4.1", needs=READ, accuracy="exact")
def _stray(session: Session) -> None:
    """One to eleven bytes after the last record are the end of a file, as for the original's reader."""
    row = adagrad_row(5, [7.0], [1.0], 3)
    for count in (1, 11):
        table, folder = adagrad(session), session.folder()
        path = whole_set(folder / "set", [row]).with_name("set-00000-of-00001")
        path.write_bytes(path.read_bytes() + b"\x00" * count)
        session.ask(request("single.read", folder / "set", table.name))
        expect_rows(session, table, [row])


@case(
    "checkpoint/single/serving-takes-numbers",
    "checkpoints 4.3",
    needs=("checkpoint.single.read", "table.serving", "compressor.fp16", "table.lookup"),
)
def _serving(session: Session) -> None:
    """A serving table reads the weights of any optimizer's rows, and encodes them."""
    folder = session.folder()
    table = session.table(table_config([{"dim": 2, "compressor": {"kind": "fp16", "config": {}}}], serving=True))
    session.ask(request("single.read", whole_set(folder / "set", [adagrad_row(5, [0.1, 2.0], [1.0, 1.0])]), table.name))
    table.op("lookup", [5, 6])
    session.expect(floats=floats("3dccc000 40000000 00000000 00000000"), ints=[1])


@case(
    "checkpoint/expiry/against-the-latest-update",
    "checkpoints 4.3, tables 5",
    needs=(*WRITE, "table.assign", "table.size", "expiry"),
    accuracy="exact",
)
def _expiry(session: Session) -> None:
    """Stale rows are left out of files: by slot, to the second, against the latest update and not the clock."""
    config = table_config([{"dim": 1, "rule": "adagrad", "config": {}}])
    config.slot_expire_time_config.default_expire_time = 2
    config.slot_expire_time_config.slot_expire_times.add(slot=3, expire_time=1)
    table, folder, now = session.table(config), session.folder(), 50 * DAY
    times = {1: now - 2 * DAY, 2: now - 2 * DAY + 1, (3 << 48) | 1: now - DAY, (3 << 48) | 2: now - DAY + 1, 9: now}
    for row, time in times.items():
        table.op("assign", [row], [1.0], time=time)
    session.ask(request("single.write", folder / "set", table.name, 1))
    session.expect(ints=[3])
    kept = [2, (3 << 48) | 2, 9]
    rows = [adagrad_row(row, [1.0], [float(np.float32(0.1))], times[row]) for row in kept]
    expect_same_entries(session, "rows in the file", _read(session, folder / "set"), rows)
    # The table itself keeps them.
    table.op("size")
    session.expect(ints=[5])


@case(
    "checkpoint/expiry/after-a-read",
    "checkpoints 4.3, 5.1",
    needs=(*WRITE, *READ, "table.assign", "expiry"),
    accuracy="exact",
)
def _expiry_after(session: Session) -> None:
    """Reading sets a table's latest update to that of the rows read, also backwards."""
    config = table_config([{"dim": 1, "rule": "adagrad", "config": {}}])
    config.slot_expire_time_config.default_expire_time = 1
    table, folder = session.table(config), session.folder()
    table.op("assign", [1], [1.0], time=90 * DAY)
    rows = [adagrad_row(2, [1.0], [0.5], 10 * DAY), adagrad_row(3, [1.0], [0.5], 10 * DAY - 5)]
    session.ask(request("single.read", whole_set(folder / "old", rows), table.name))
    session.ask(request("single.write", folder / "new", table.name, 1))
    expect_same_entries(session, "rows in the file", _read(session, folder / "new"), rows)


def _state(rule: str) -> None:
    def judge(session: Session) -> None:
        segment: dict[str, Any] = {"dim": 1 if rule == "batch_softmax" else 3, "rule": rule, "config": {}}
        table, folder = session.table(table_config([segment])), session.folder()
        rates = np.array([0.125], np.float32)
        for step in range(1, 3):
            gradient = np.arange(1, 2 * table.dim + 1, dtype=np.float32) / np.float32(4 * step)
            table.op("optimize", [5, -6], gradient, rates, time=step, global_step=step)
        before = list(table.op("save").entries)
        session.ask(request("single.write", folder / "set", table.name, 1))
        expect_same_entries(session, "rows in the file", _read(session, folder / "set"), before)
        twin = session.table(table_config([segment]))
        session.ask(request("single.read", folder / "set", twin.name))
        expect_rows(session, twin, before)
        for one in (table, twin):
            one.op("optimize", [5, -6], np.ones(2 * table.dim, np.float32), rates, time=9, global_step=7)
        expected = table.lookup([5, -6])
        twin.op("lookup", [5, -6])
        session.expect(floats=expected, ints=[2])

    register(
        Case(
            id=f"checkpoint/single/state[rule={rule}]",
            rule=f"rows of {rule} go into files and back with their state, and go on as if nothing had happened",
            section="checkpoints 4.2, optimizers 1",
            judge=judge,
            needs=frozenset(
                {f"optimizer.{rule}", "initializer.zeros", "checkpoint.single.read", "checkpoint.single.write"}
                | {f"table.{op}" for op in ("optimize", "save", "lookup")}
            ),
            without=frozenset({"adam_restore_powers"} if rule == "adam" else ()),
        )
    )


for _rule in RULES:
    _state(_rule)
