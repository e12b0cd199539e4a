"""Which rows are stale, to the second and slot by slot, and that eviction takes them and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from monolith_protos import hash_table_pb2

from monolith_conformance.cases.case import case
from monolith_conformance.cases.golden import table_config
from monolith_conformance.session import Session, Table

__all__: list[str] = []

DAY = 86_400
NEEDS = ("optimizer.sgd", "initializer.zeros", "table.assign", "table.evict", "table.contains", "table.size", "expiry")


def fid(slot: int, number: int = 1) -> int:
    """An id of a slot."""
    return (slot << 48) | number


def expiring(
    days: int = 36_500, slots: Mapping[int, int] | Sequence[tuple[int, int]] = (), dim: int = 1
) -> hash_table_pb2.EmbeddingHashTableConfig:
    """A table of sgd rows with these days until rows are stale."""
    config = table_config([{"dim": dim, "rule": "sgd", "config": {}}])
    config.slot_expire_time_config.default_expire_time = days
    for slot, slot_days in slots.items() if isinstance(slots, Mapping) else slots:
        config.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=slot_days)
    return config


def put(table: Table, times: dict[int, int]) -> None:
    """Rows with these times."""
    for number, (row, time) in enumerate(times.items()):
        table.op("assign", [row], np.array([number + 1], np.float32), time=time)


def expect_evicted(session: Session, table: Table, times: dict[int, int], reference: int, gone: set[int]) -> None:
    """Evict at ``reference``: exactly these rows go (and at least one does, and one stays)."""
    put(table, times)
    table.op("evict", time=reference)
    session.expect(ints=[len(gone)])
    table.op("contains", list(times))
    session.expect(flags=[row not in gone for row in times])
    table.op("size")
    session.expect(ints=[len(times) - len(gone)])


@case("table/expiry/to-the-second", "tables 5", needs=NEEDS, accuracy="exact")
def _second(session: Session) -> None:
    """A row is stale at the very second at which its age reaches its days, and not one second earlier."""
    now = 100 * DAY
    times = {fid(1, 1): now - DAY, fid(1, 2): now - DAY + 1, fid(1, 3): now - DAY - 1, fid(1, 4): now}
    expect_evicted(session, session.table(expiring(1)), times, now, {fid(1, 1), fid(1, 3)})


@case("table/expiry/slot-by-slot", "tables 5", needs=NEEDS, accuracy="exact")
def _slots(session: Session) -> None:
    """Each slot has its own days; slots that are not listed have the default."""
    now = 100 * DAY
    times = {fid(slot, back): now - back * DAY for slot in (1, 2, 3) for back in (1, 2, 5)}
    gone = {fid(1, 1), fid(1, 2), fid(1, 5), fid(2, 5), fid(3, 2), fid(3, 5)}
    expect_evicted(session, session.table(expiring(2, {1: 1, 2: 5})), times, now, gone)


@case("table/expiry/last-listed-wins", "tables 5", needs=NEEDS, accuracy="exact")
def _last(session: Session) -> None:
    """Of two entries for one slot the last one counts."""
    now = 100 * DAY
    times = {fid(2, 2): now - 2 * DAY, fid(2, 3): now - 3 * DAY}
    expect_evicted(session, session.table(expiring(slots=[(2, 1), (2, 3)])), times, now, {fid(2, 3)})


@case("table/expiry/sign-bit-is-no-slot", "tables 5, entry 3", needs=NEEDS, accuracy="exact")
def _sign(session: Session) -> None:
    """A slot is bits 48 to 62: id -1 has slot 32767, and bit 63 changes no slot."""
    now = 100 * DAY
    minus = -(1 << 63)
    times = {-1: now - DAY, minus + fid(5): now - DAY, minus + fid(6): now - DAY, fid(5, 2): now - DAY, -2: now}
    expect_evicted(session, session.table(expiring(9, {32767: 1, 5: 1})), times, now, {-1, minus + fid(5), fid(5, 2)})


@case("table/expiry/old-layout-counts-as-new", "tables 5, entry 3", needs=NEEDS, accuracy="exact")
def _old(session: Session) -> None:
    """Ids of the old layout are read by the new one: slot 3 in bits 54 and up is slot 192."""
    now = 100 * DAY
    old = 3 << 54
    times = {old + 1: now - DAY, fid(3): now - DAY}
    expect_evicted(session, session.table(expiring(9, {192: 1})), times, now, {old + 1})


@case("table/expiry/zero-days", "tables 5", needs=NEEDS, accuracy="exact")
def _zero(session: Session) -> None:
    """With zero days a row is stale unless its time lies after the reference."""
    now = 100 * DAY
    times = {fid(1, 1): now, fid(1, 2): now + 1, fid(1, 3): now - 1}
    expect_evicted(session, session.table(expiring(0)), times, now, {fid(1, 1), fid(1, 3)})


@case("table/expiry/far-times", "tables 5", needs=NEEDS, accuracy="exact")
def _far(session: Session) -> None:
    """Ages are counted in 64 bits: neither the end of the clock nor 2^32 days wrap around."""
    last = (1 << 32) - 1
    times = {fid(1, 1): 0, fid(1, 2): last, fid(2, 1): 0, fid(3, 1): last - DAY}
    days = {1: 1, 2: last, 3: 1}
    expect_evicted(session, session.table(expiring(9, days)), times, last, {fid(1, 1), fid(3, 1)})


@case("table/expiry/every-stale-row", "tables 5", needs=NEEDS, accuracy="exact")
def _every(session: Session) -> None:
    """Eviction of a table that has grown takes every stale row at once, and leaves none behind."""
    now, count = 10 * DAY, 3000
    table = session.table(expiring(1))
    ids = [fid(1, k * 7919) for k in range(count)]
    for begin in range(0, count, 500):
        part = ids[begin : begin + 500]
        table.op("assign", part, np.ones(len(part), np.float32), time=now - DAY if begin < 2500 else now)
    table.op("evict", time=now)
    session.expect(ints=[2500])
    table.op("evict", time=now)
    session.expect(ints=[0])
    table.op("contains", [ids[0], ids[2499], ids[2500], ids[-1]])
    session.expect(flags=[False, False, True, True])


@case("table/expiry/reads-never-look", "tables 5", needs=(*NEEDS, "table.lookup"), accuracy="exact")
def _reads(session: Session) -> None:
    """A stale row is read and updated like any other until it is evicted."""
    table = session.table(expiring(1))
    put(table, {fid(1, 1): 0, fid(1, 2): 50 * DAY})
    table.op("lookup", [fid(1, 1)])
    session.expect(floats=np.array([1], np.float32), ints=[1])
