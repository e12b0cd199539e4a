"""Filters in front of tables: which updates make rows, what is counted, and what is lost."""

from __future__ import annotations

import numpy as np

from monolith_conformance.cases.case import case
from monolith_conformance.cases.golden import table_config
from monolith_conformance.mirror import Mirror
from monolith_conformance.session import Session, Table

__all__: list[str] = []

SPREAD = 1 << 17
SGD = {"dim": 1, "rule": "sgd", "config": {}}
NEEDS = ("optimizer.sgd", "initializer.zeros", "table.optimize", "table.lookup", "table.size", "filter.admission")
HASH = (*NEEDS, "filter.hash")
RATE = np.array([1.0], np.float32)


def fid(number: int, slot: int = 1) -> int:
    """An id with a signature of its own."""
    return (slot << 48) | (number * SPREAD + number)


def _table(session: Session, filter_kind: str) -> Table:
    return session.table(table_config([SGD]), filter_kind)


def _step(table: Table, ids: list[int], gradient: float = 1.0, *, dedup: bool = False) -> None:
    table.op("optimize", ids, np.full(len(ids), gradient, np.float32), RATE, time=1, dedup=dedup)


def _expect(session: Session, table: Table, ids: list[int], rows: list[float], found: int) -> None:
    table.op("lookup", ids)
    session.expect(floats=np.array(rows, np.float32), ints=[found])


@case("filter/admission/threshold-three", "filters 6", needs=HASH)
def _three(session: Session) -> None:
    """With threshold three the first three batches with an id are lost, and the fourth makes its row."""
    table = _table(session, "hash capacity=300 threshold=3")
    for batch in range(1, 6):
        _step(table, [fid(1)])
        _expect(session, table, [fid(1)], [0.0 if batch < 4 else 3.0 - batch], int(batch > 3))


@case("filter/admission/sliding", "filters 6", needs=(*NEEDS, "filter.sliding"))
def _sliding(session: Session) -> None:
    """The sliding filter admits at the same count."""
    table = _table(session, "sliding capacity=300 split_num=7 threshold=2")
    for _ in range(4):
        _step(table, [fid(1), fid(2)])
    _expect(session, table, [fid(1), fid(2)], [-2.0, -2.0], 2)


@case("filter/admission/one-batch-without-dedup", "filters 6", needs=HASH)
def _occurrences(session: Session) -> None:
    """Without dedup each occurrence is asked for: of five in one batch, T = 2 loses the first two."""
    table = _table(session, "hash capacity=300 threshold=2")
    table.op("optimize", [fid(1)] * 5, np.array([1, 2, 4, 8, 16], np.float32), RATE, time=1)
    _expect(session, table, [fid(1)], [-28.0], 1)


@case("filter/admission/one-batch-with-dedup", "filters 6", needs=HASH)
def _summed(session: Session) -> None:
    """With dedup an id is asked for once, with its occurrences: the first batch is lost whole, the next one is in."""
    table = _table(session, "hash capacity=300 threshold=2")
    _step(table, [fid(1)] * 5, dedup=True)
    _expect(session, table, [fid(1)], [0.0], 0)
    _step(table, [fid(1)] * 3, dedup=True)
    _expect(session, table, [fid(1)], [-3.0], 1)


@case("filter/admission/slot-by-slot", "filters 5", needs=HASH)
def _slots(session: Session) -> None:
    """Each slot has its own threshold; slots that are not listed have the default."""
    table = _table(session, "hash capacity=300 threshold=1 threshold.2=0 threshold.3=3")
    ids = [fid(1, 1), fid(2, 2), fid(3, 3), fid(4, 32767)]
    for _ in range(2):
        _step(table, ids)
    _expect(session, table, ids, [-1.0, -2.0, 0.0, -1.0], 3)


@case("filter/admission/slot-without-the-sign", "filters 5", needs=HASH)
def _sign(session: Session) -> None:
    """The sign bit of an id is no part of its slot."""
    table = _table(session, "hash capacity=300 threshold.3=1")
    signed = fid(1, 3) - (1 << 63)
    _step(table, [signed, -5])
    _expect(session, table, [signed, -5], [0.0, -1.0], 1)


@case("filter/admission/reads-count-nothing", "filters 6", needs=HASH)
def _reads(session: Session) -> None:
    """Lookups never count, however often an id is read."""
    table = _table(session, "hash capacity=300 threshold=1")
    for _ in range(5):
        _expect(session, table, [fid(1)], [0.0], 0)
    _step(table, [fid(1)])
    _expect(session, table, [fid(1)], [0.0], 0)
    _step(table, [fid(1)])
    _expect(session, table, [fid(1)], [-1.0], 1)


@case("filter/admission/rows-are-not-asked", "filters 6", needs=(*HASH, "table.restore"))
def _present(session: Session) -> None:
    """An id with a row is never asked for, nor counted; restore is not filtered."""
    from monolith_conformance.entries import entry_of
    from monolith_conformance.oracle.table import Row

    table = _table(session, "hash capacity=300 threshold=9")
    row = Row(fid(1), np.array([5.0], np.float32), [{}], 1)
    table.op("restore", entries=[entry_of(row, ["sgd"])])
    _step(table, [fid(1), fid(2)])
    _expect(session, table, [fid(1), fid(2)], [4.0, 0.0], 1)


@case("filter/admission/assign-asks", "filters 6", needs=(*HASH, "table.assign"))
def _assign(session: Session) -> None:
    """Assign is asked for at each position, before any row of the batch is written."""
    table = _table(session, "hash capacity=300 threshold=1")
    table.op("assign", [fid(1), fid(2), fid(1), fid(1)], np.array([1, 2, 3, 4], np.float32), time=1)
    _expect(session, table, [fid(1), fid(2)], [4.0, 0.0], 1)


@case("filter/admission/add-asks-row-by-row", "filters 6", needs=(*HASH, "table.assign_add"))
def _add(session: Session) -> None:
    """assign_add writes each row before the next one is asked for."""
    table = _table(session, "hash capacity=300 threshold=1")
    table.op("assign_add", [fid(1), fid(2), fid(1), fid(1)], np.array([1, 2, 3, 4], np.float32), time=1)
    _expect(session, table, [fid(1), fid(2)], [7.0, 0.0], 1)


@case("filter/admission/evicted-and-back", "filters 6", needs=(*HASH, "table.evict", "expiry"))
def _back(session: Session) -> None:
    """After eviction an id is asked for again, and its old count lets it in at once."""
    config = table_config([SGD])
    config.slot_expire_time_config.default_expire_time = 1
    table = session.table(config, "hash capacity=300 threshold=2")
    for _ in range(3):
        _step(table, [fid(1)])
    _expect(session, table, [fid(1)], [-1.0], 1)
    table.op("evict", time=1 + 86_400)
    session.expect(ints=[1])  # The event: the row is gone.
    _step(table, [fid(1)], 2.0)
    _expect(session, table, [fid(1)], [-2.0], 1)


@case("filter/admission/tables-share-counts", "filters 8", needs=HASH)
def _shared(session: Session) -> None:
    """Two tables behind one filter share the count of an id."""
    first, second = (_table(session, "hash capacity=300 threshold=1 name=both") for _ in range(2))
    _step(first, [fid(1)])
    _step(second, [fid(1)])
    _expect(session, first, [fid(1)], [0.0], 0)
    _expect(session, second, [fid(1)], [-1.0], 1)


@case(
    "filter/admission/a-lost-update-draws-nothing", "filters 6", needs=(*HASH, "initializer.random_uniform"), fresh=True
)
def _draws(session: Session) -> None:
    """An id that is kept out gets no row, so no random numbers are drawn for it."""
    mirror = Mirror(session)
    segment = {**SGD, "dim": 3, "initializer": {"kind": "random_uniform", "config": {}}}
    table = mirror.table(table_config([segment]), "hash capacity=300 threshold=1")
    for ids in ([fid(1), fid(2)], [fid(3), fid(2)], [fid(1), fid(3)]):
        table.op("optimize", ids, np.zeros(3 * len(ids), np.float32), RATE, time=1)
    table.op("lookup", [fid(k) for k in range(1, 5)])


@case("filter/admission/probabilistic", "filters 7", needs=(*NEEDS, "filter.probabilistic"), fresh=True)
def _probabilistic(session: Session) -> None:
    """A draw decides for every id without a row, in order: about one in three is let in at threshold three."""
    _drawn(session, "probabilistic threshold=3")


@case("filter/admission/probabilistic-equal", "filters 7", needs=(*NEEDS, "filter.probabilistic_equal"), fresh=True)
def _probabilistic_equal(session: Session) -> None:
    """With equal probability T occurrences let an id in with 95 in a hundred."""
    _drawn(session, "probabilistic_equal threshold=7")


def _drawn(session: Session, filter_kind: str) -> None:
    mirror = Mirror(session)
    table = mirror.table(table_config([SGD]), filter_kind)
    ids = [fid(k) for k in range(1, 60)]
    for batch in (ids[:40], ids, [*ids[30:], *ids[30:45]]):
        for dedup in (False, True):
            table.op("optimize", batch, np.ones(len(batch), np.float32), RATE, time=1, dedup=dedup)
    result = table.op("lookup", ids)
    if not 0 < result.ints[0] < len(ids):
        session.fail("rows let in", result.ints[0], "some of them, so that the rule is asked")


@case(
    "filter/admission/threshold-above-fifteen-is-refused",
    "filters 1",
    needs=HASH,
    without=("filter_threshold_overflow",),
    accuracy="exact",
)
def _refused(session: Session) -> None:
    """A table behind a counting filter whose threshold never admits is refused when it is made."""
    from monolith_protos import testee_pb2

    for text in ("hash capacity=300 threshold=16", "hash capacity=300 threshold.32768=1"):
        request = testee_pb2.Request()
        request.create.table = "refused"
        request.create.config = table_config([SGD]).SerializeToString(deterministic=True)
        request.create.filter = text
        session.expect_error(request)
