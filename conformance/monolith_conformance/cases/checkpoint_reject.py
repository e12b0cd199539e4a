"""Reject files: damaged records and sets, made from sound ones, that a reader must refuse before anything changes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import cramjam
import numpy as np
from monolith_protos import hash_filter_pb2, hash_table_pb2

from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.checkpoint_single import adagrad
from monolith_conformance.cases.golden import table_config
from monolith_conformance.oracle import files, filter_files
from monolith_conformance.oracle.filters import OracleSlidingFilter
from monolith_conformance.record_sets import adagrad_row, change_entry, request, tables, whole_set
from monolith_conformance.session import Session

__all__ = ["FILTERS", "MULTI", "SINGLE", "sound_filter", "sound_multi", "sound_single"]

Damage = Callable[[Path], None]
"""Does something to the sound set ``folder / "set"``."""


def sound_single(folder: Path) -> None:
    """Two shards of two rows of dim 2."""
    rows = [adagrad_row(k, [k, -k], [0.5, 0.25], k) for k in range(1, 5)]
    whole_set(folder / "set", rows, 2)


def sound_multi(folder: Path) -> None:
    """Two shards of tables a and b."""
    content = {name: [adagrad_row(k, [k, -k], [0.5, 0.25], k) for k in range(1, 5)] for name in ("a", "b")}
    files.write_multi(folder / "set", content, 2)


def sound_filter(folder: Path) -> None:
    """The five splits of a small sliding filter that has counted."""
    made = OracleSlidingFilter(300, 5)
    for number in range(1, 120):
        made.add(number << 17 | number, 2)
    filter_files.write_filter(folder / "set", made)


def _first(folder: Path) -> Path:
    return sorted(folder.glob("set-00000-of-*"))[0]


def _bytes(change: Callable[[bytes], bytes]) -> Damage:
    """A change of the first shard's bytes."""

    def damage(folder: Path) -> None:
        path = _first(folder)
        path.write_bytes(change(path.read_bytes()))

    return damage


def _flip(at: int) -> Damage:
    return _bytes(lambda data: data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])


def _framed(payloads: Sequence[bytes]) -> bytes:
    return b"".join(piece for payload in payloads for piece in files.frame(payload))


def _records(change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    """A change of the first shard's records, checksums being right."""
    return _bytes(lambda data: _framed(change(files.payloads_of(data))))


def _records_to(write: Callable[[list[bytes]], bytes]) -> Damage:
    return _bytes(lambda data: write(files.payloads_of(data)))


def _row(change: Callable[[bytes], bytes]) -> Damage:
    return _records(lambda rows: [change(rows[0]), *rows[1:]])


def _opt(change: Callable[[hash_table_pb2.EntryDump], object]) -> Damage:
    def changed(record: bytes) -> bytes:
        entry = hash_table_pb2.EntryDump.FromString(record)
        change(entry)
        return entry.SerializeToString()

    return _row(changed)


def _remove(pattern: str) -> Damage:
    def damage(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.unlink()

    return damage


def _other_count(folder: Path) -> None:
    path = _first(folder)
    (folder / "set-00002-of-00003").write_bytes(path.read_bytes())


def _foreign_dump(entry: hash_table_pb2.EntryDump) -> None:
    entry.opt.Clear()
    entry.opt.dump.add().ftrl.zero.extend([0.0, 0.0])


SINGLE: dict[str, tuple[str, Damage]] = {
    "length-checksum": ("the checksum of a length is wrong", _flip(9)),
    "length": ("a length was changed", _flip(0)),
    "data-checksum": ("the checksum of a record is wrong", _bytes(lambda data: data[:-1] + bytes([data[-1] ^ 1]))),
    "data": ("a byte of a record was changed", _flip(20)),
    "cut-record": ("a record is cut", _bytes(lambda data: data[:-9])),
    "cut-footer": ("the last checksum is cut", _bytes(lambda data: data[:-1])),
    "header-alone": ("a record ends after its header", _bytes(lambda data: data[:12])),
    "compressed": ("the file is compressed, as a single table's never is", _records_to(files.in_blocks)),
    "no-files": ("there are no files", _remove("*")),
    "missing-shard": ("a shard is missing", _remove("set-00001*")),
    "shard-counts": ("files tell of different numbers of shards", _other_count),
    "no-message": ("a record is no message", _row(lambda record: record[:-3])),
    "wire-type": ("a record has a field of no known kind", _row(lambda record: record + b"\x0f")),
    "no-id": ("a row has no id", _row(lambda record: change_entry(record, id=None))),
    "wide-row": ("a row is wider than the table", _row(lambda record: change_entry(record, num=[1.0, 2.0, 3.0]))),
    "no-dump": ("a row has no optimizer", _opt(lambda entry: entry.opt.Clear())),
    "surplus-dump": ("a row has one optimizer too many", _opt(lambda entry: entry.opt.dump.add().sgd.SetInParent())),
    "foreign-dump": ("a row is that of another optimizer", _opt(_foreign_dump)),
    "empty-dump": ("an optimizer's dump says nothing", _opt(lambda entry: entry.opt.dump[0].Clear())),
    "short-state": ("a row's state is too short", _opt(lambda entry: entry.opt.dump[0].adagrad.norm.pop())),
    "long-state": ("a row's state is too long", _opt(lambda entry: entry.opt.dump[0].adagrad.norm.append(1.0))),
}  # fmt: skip
"""Damage of a single table's set: name → (what is wrong, how it is done)."""


def _meta(change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "set.meta-00000-of-00002"
        path.write_bytes(change(path.read_bytes()))

    return damage


def _counts(*pairs: tuple[str, int]) -> Damage:
    entries = [hash_table_pb2.MultiHashTableMetadata(table_name=name, num_entries=rows) for name, rows in pairs]
    return _meta(lambda data: _framed([entry.SerializeToString() for entry in entries]))


def _block(plain: bytes) -> bytes:
    packed = bytes(cramjam.snappy.compress_raw(plain))
    return struct.pack(">I", len(packed)) + packed


def _large_block(data: bytes) -> bytes:
    filler = adagrad_row(9, [1.0] * 30_000, [1.0] * 30_000)
    return _block(files.blocks_of(data) + _framed([filler]))


MULTI: dict[str, tuple[str, Damage]] = {
    "no-contents": ("the contents of a shard are missing", _remove("set.meta-00001*")),
    "contents-checksum": ("a checksum of the contents is wrong", _meta(lambda data: data[:-1] + bytes([data[-1] ^ 1]))),
    "contents-cut": ("the contents are cut", _meta(lambda data: data[:-2])),
    "contents-no-message": ("the contents are no message", _meta(lambda data: _framed([b"\x0a\x05a"]))),
    "too-few-rows": ("there are fewer rows than the contents say", _counts(("a", 2), ("b", 3))),
    "cut-block": ("a block is cut", _bytes(lambda data: data[:-1])),
    "no-block": ("a block cannot be decompressed", _bytes(lambda data: data[:4] + b"\xff" * (len(data) - 4))),
    "large-block": ("a block holds more than 262,144 bytes", _bytes(_large_block)),
    "plain": ("the file is not compressed", _bytes(files.blocks_of)),
    "missing-shard": ("a shard is missing", _remove("set-00001*")),
}  # fmt: skip
"""Damage of a set of several tables."""


def _filter_meta(change: Callable[[hash_filter_pb2.HashFilterSplitMetaDump], object]) -> Damage:
    def changed(records: list[bytes]) -> list[bytes]:
        meta = hash_filter_pb2.HashFilterSplitMetaDump.FromString(records[0])
        change(meta)
        return [meta.SerializeToString(), *records[1:]]

    return _records(changed)


def _cells(offset: int, cells: Sequence[int]) -> Damage:
    extra = hash_filter_pb2.HashFilterSplitDataDump(offset=offset, data=cells).SerializeToString()
    return _records(lambda records: [*records, extra])


def _sliding(name: str, value: int) -> Damage:
    return _filter_meta(lambda meta: setattr(meta.sliding_hash_filter_meta, name, value))


FILTERS: dict[str, tuple[str, Damage]] = {
    "checksum": ("a checksum is wrong", _flip(30)),
    "missing-split": ("a split is missing", _remove("set-00003*")),
    "no-meta": ("a split has no meta record", _bytes(lambda data: b"")),
    "large-cell": ("a cell is above 65,535", _cells(0, [65_536])),
    "beyond-the-end": ("cells lie beyond the end", _cells(153, [1, 1])),
    "far-beyond-the-end": ("cells lie far beyond the end", _cells(4_000_000_000, [1])),
    "other-size": ("a split has another size", _filter_meta(lambda meta: setattr(meta, "total_size", 91))),
    "other-head": ("splits disagree about the head", _sliding("head", 3)),
    "split-number": ("the number of splits is not that of the files", _sliding("split_num", 7)),
    "forward-window": ("the forward window is another", _sliding("max_forward_step", 3)),
    "backward-window": ("the backward window is another", _sliding("max_backward_step", 1)),
    "steps": ("the length of probes is another", _sliding("max_step", 64)),
}
"""Damage of a filter's files."""


def _judge_single(damage: Damage) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        folder, table = session.folder(), adagrad(session, 2)
        table.op("assign", [7], [1.0, 2.0], time=3)
        sound_single(folder)
        damage(folder)
        session.expect_error(request("single.read", folder / "set", table.name))
        table.op("lookup", [7, 1])
        session.expect(floats=np.array([1, 2, 0, 0], np.float32), ints=[1])

    return judge


def _judge_multi(damage: Damage) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        folder, named = session.folder(), {"a": adagrad(session, 2), "b": adagrad(session, 2)}
        named["a"].op("assign", [7], [1.0, 2.0], time=3)
        sound_multi(folder)
        damage(folder)
        session.expect_error(request("multi.read", folder / "set", tables(named)))
        for name, found in (("a", [1, 2, 0, 0]), ("b", [0, 0, 0, 0])):
            named[name].op("lookup", [7, 1])
            session.expect(floats=np.array(found, np.float32), ints=[int(name == "a")])

    return judge


def _judge_filter(damage: Damage) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        config = table_config([{"dim": 1, "rule": "sgd", "config": {}}])
        folder, table = session.folder(), session.table(config, "sliding capacity=300 split_num=5 threshold=1")
        sound_filter(folder)
        damage(folder)
        session.expect_error(request("filter.read", folder / "set", table.name))
        # Nothing was taken over: an id that the files have counted is still kept out once.
        counted = 5 << 17 | 5
        for expected in (0.0, -1.0):
            table.op("optimize", [counted], [1.0], np.array([1.0], np.float32), time=1)
            table.op("lookup", [counted])
            session.expect(floats=np.array([expected], np.float32), ints=[int(expected < 0)])

    return judge


def _register() -> None:
    table = {"optimizer.adagrad", "initializer.zeros", "table.assign", "table.lookup"}
    behind = {"filter.admission", "filter.sliding", "optimizer.sgd", "initializer.zeros", "table.optimize"}
    for kind, damages, judge, needs in (
        ("single", SINGLE, _judge_single, table | {"checkpoint.single.read"}),
        ("multi", MULTI, _judge_multi, table | {"checkpoint.multi.read", "table.multi"}),
        ("filter", FILTERS, _judge_filter, behind | {"checkpoint.filter.read", "table.lookup"}),
    ):
        for name, (wrong, damage) in damages.items():
            register(
                Case(
                    id=f"checkpoint/reject-{kind}/{name}",
                    rule=f"refused, and nothing changed: {wrong}",
                    section={"single": "checkpoints 4.1, 4.3", "multi": "checkpoints 4.4"}.get(kind, "checkpoints 4.5"),
                    judge=judge(damage),
                    needs=frozenset(needs),
                    accuracy="exact",
                )
            )


def _any_bit(session: Session) -> None:
    """Flip every bit of a record in turn: each must be refused."""
    folder, table = session.folder(), adagrad(session, 2)
    path = whole_set(folder / "set", [adagrad_row(5, [1.0, 2.0], [0.5, 0.25], 3)]).with_name("set-00000-of-00001")
    sound = path.read_bytes()
    for bit in range(8 * len(sound)):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        session.expect_error(request("single.read", folder / "set", table.name))


def _sound(session: Session) -> None:
    """What the damaged sets are made from is read: otherwise a reader that refuses everything would pass."""
    folder = session.folder()
    (folder / "m").mkdir()
    sound_single(folder)
    sound_multi(folder / "m")
    table, a, b = (adagrad(session, 2) for _ in range(3))
    session.ask(request("single.read", folder / "set", table.name))
    session.expect(ints=[4])
    session.ask(request("multi.read", folder / "m" / "set", tables({"a": a, "b": b})))
    session.expect(ints=[4, 4])


_register()
register(
    Case(
        id="checkpoint/reject-single/any-bit",
        rule="refused: any one bit of a record was changed",
        section="checkpoints 4.1",
        judge=_any_bit,
        needs=frozenset({"optimizer.adagrad", "initializer.zeros", "checkpoint.single.read"}),
        accuracy="exact",
    )
)
register(
    Case(
        id="checkpoint/reject-single/sound-ones-are-read",
        rule="the sets that damaged ones are made from are read",
        section="checkpoints 4.1, 4.4",
        judge=_sound,
        needs=frozenset(
            {"optimizer.adagrad", "initializer.zeros", "checkpoint.single.read", "checkpoint.multi.read", "table.multi"}
        ),
        accuracy="exact",
    )
)
