"""Tables at the points where ports go astray: duplicates, times, growth, large batches, eviction."""

from __future__ import annotations

import numpy as np

from monolith_conformance.cases.case import case
from monolith_conformance.cases.golden import floats, table_config
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle.table import Row
from monolith_conformance.session import Session, Table

__all__: list[str] = []

KNOWN, UNKNOWN = (1 << 48) + 11, (1 << 48) + 12
SGD = {"dim": 1, "rule": "sgd", "config": {}}
BASIC = ("optimizer.sgd", "initializer.zeros", "table.assign", "table.lookup")


def _rate(*rates: float) -> np.ndarray:
    return np.array(rates, np.float32)


@case(
    "table/duplicates/one-step-an-occurrence",
    "tables 2",
    needs=("optimizer.adagrad", "initializer.zeros", "table.optimize", "table.lookup"),
)
def _plain(session: Session) -> None:
    """Without dedup each occurrence of an id is a step of its own, in order."""
    second = "bd15f047" if session.profile == "avx" else "bd15f048"
    _adagrad_duplicates(session, False, f"bdfb9753 {second} bdca497b bd5af0bf")


@case(
    "table/duplicates/summed-before-the-step",
    "tables 2",
    needs=("optimizer.adagrad", "initializer.zeros", "table.optimize", "table.lookup"),
)
def _dedup(session: Session) -> None:
    """With dedup the gradients of an id are added in order, and one step is made on the sum."""
    _adagrad_duplicates(session, True, "bdc6ff44 bdcb0b89 bdca497b bd5af0bf")


def _adagrad_duplicates(session: Session, dedup: bool, expected: str) -> None:
    table = session.table(table_config([{"dim": 2, "rule": "adagrad", "config": {}}]))
    gradients = np.array([[1, 0.1], [2, 0.2], [0.3, -0.7], [1e-8, 3]], np.float32)
    table.op("optimize", [5, 6, 5, 5], gradients, _rate(0.1), time=1, dedup=dedup)
    table.op("lookup", [5, 6])
    session.expect(floats=floats(expected), ints=[2])


@case(
    "table/duplicates/summed-in-order",
    "tables 2",
    needs=("optimizer.sgd", "initializer.zeros", "table.optimize", "table.lookup"),
)
def _order(session: Session) -> None:
    """Dedup adds in order of position: what 1e8 swallows depends on when it comes; a first -0.0 is kept."""
    table = session.table(table_config([SGD]))
    gradients = np.array([1, 1e8, -1e8, 1e8, -1e8, 1], np.float32)
    table.op("optimize", [5, 5, 5, 6, 6, 6], gradients, _rate(1.0), dedup=True)
    table.op("lookup", [5, 6])
    session.expect(floats=np.array([0, -1], np.float32), ints=[2])


@case(
    "table/duplicates/last-assignment-wins",
    "tables 1",
    needs=("optimizer.sgd", "initializer.zeros", "table.assign", "table.assign_add", "table.lookup"),
)
def _last(session: Session) -> None:
    """Assign takes the last value of a repeated id, assign_add adds all of them in order."""
    table = session.table(table_config([SGD]))
    table.op("assign", [5, 6, 5], [1.0, 2.0, 3.0])
    table.op("lookup", [5, 6])
    session.expect(floats=np.array([3, 2], np.float32), ints=[2])
    table.op("assign_add", [5, 5, 5], [1e8, 1.0, -1e8])
    table.op("lookup", [5])
    session.expect(floats=np.array([0], np.float32), ints=[1])


@case(
    "table/time/every-update-sets-it",
    "tables 1",
    needs=(
        "optimizer.sgd",
        "initializer.zeros",
        "table.assign",
        "table.assign_add",
        "table.optimize",
        "table.reinitialize",
        "table.lookup",
        "table.lookup_entry",
    ),
    accuracy="exact",
)
def _times(session: Session) -> None:
    """assign, assign_add, optimize and reinitialize set a row's time, backwards too; a lookup does not."""
    table = session.table(table_config([SGD]))

    def expect(time: int) -> None:
        table.op("lookup", [KNOWN])
        table.op("lookup_entry", [KNOWN])
        row = Row(KNOWN, floats("00000000"), [{}], time)
        session.expect(entries=[entry_of(row, ["sgd"], with_id=False)])

    table.op("assign", [KNOWN], [0.0], time=50)
    expect(50)
    table.op("assign_add", [KNOWN], [0.0], time=(1 << 32) - 1)
    expect((1 << 32) - 1)
    table.op("optimize", [KNOWN], [0.0], _rate(1.0), time=7)
    expect(7)
    table.op("reinitialize", [KNOWN], time=9)
    session.expect(ints=[1])
    expect(9)
    table.op("optimize", [KNOWN], [0.0], _rate(1.0), time=0)
    expect(0)


@case("table/multi/same-ids-two-widths", "tables 8", needs=(*BASIC, "table.multi", "table.optimize"), accuracy="exact")
def _multi(session: Session) -> None:
    """Tables of different widths live side by side, and one id in both is two rows."""
    narrow = session.table(table_config([{**SGD, "dim": 3}]))
    wide = session.table(table_config([{**SGD, "dim": 5}]))
    narrow.op("assign", [KNOWN, UNKNOWN], np.arange(6, dtype=np.float32))
    wide.op("assign", [KNOWN], np.arange(10, 15, dtype=np.float32))
    wide.op("optimize", [UNKNOWN], np.ones(5, np.float32), _rate(1.0))
    narrow.op("lookup", [KNOWN, UNKNOWN])
    session.expect(floats=np.arange(6, dtype=np.float32), ints=[2])
    wide.op("lookup", [KNOWN, UNKNOWN])
    session.expect(floats=np.array([10, 11, 12, 13, 14, -1, -1, -1, -1, -1], np.float32), ints=[2])


def _many(session: Session, count: int, batch: int) -> Table:
    """A table of ``count`` rows, row k holding k (exactly), made in calls of at most ``batch`` ids."""
    config = table_config([SGD])
    config.initial_capacity = 1
    table = session.table(config)
    most = min(batch, session.info.max_batch or batch)
    for begin in range(0, count, most):
        numbers = np.arange(begin, min(begin + most, count))
        table.op("assign", _spread(numbers), numbers.astype(np.float32))
    return table


def _spread(numbers: np.ndarray) -> list[int]:
    """Distinct ids of both signs, far from one another."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return mixed.view(np.int64).tolist()  # type: ignore[no-any-return]


def _check_many(session: Session, table: Table, count: int, every: int) -> None:
    table.op("size")
    session.expect(ints=[count])  # The event: no row was lost while the table grew.
    numbers = np.unique(np.append(np.arange(0, count, every), [count - 2, count - 1]))
    table.op("lookup", _spread(numbers))
    session.expect(floats=numbers.astype(np.float32), ints=[len(numbers)])


@case("table/growth/from-one-to-thousands", "tables 1", needs=(*BASIC, "table.size"), accuracy="exact")
def _grows(session: Session) -> None:
    """A table that was made for one row grows without losing or changing any."""
    _check_many(session, _many(session, 5000, 97), 5000, 1)


@case("table/growth/two-to-the-twenty-and-one", "tables 1", needs=(*BASIC, "table.size"), full=True, accuracy="exact")
def _grows_far(session: Session) -> None:
    """A table takes one row more than 2^20, and more: its capacity is no limit."""
    count = (1 << 20) + 1
    _check_many(session, _many(session, count, 1 << 16), count, 1009)


@case("table/batch/ten-thousand-and-one", "tables 1", needs=(*BASIC, "table.size"), accuracy="exact")
def _batch(session: Session) -> None:
    """One call takes thousands of ids, each row its own."""
    _check_many(session, _many(session, 10_001, 10_001), 10_001, 1)


@case("table/batch/million-and-one", "tables 1", needs=(*BASIC, "table.size"), full=True, accuracy="exact")
def _batch_far(session: Session) -> None:
    """One call takes more than a million ids, each row its own."""
    _check_many(session, _many(session, 1_000_001, 1_000_001), 1_000_001, 1)


@case(
    "table/life/erased-and-back",
    "tables 5",
    needs=("optimizer.adagrad", "initializer.zeros", "table.optimize", "table.evict", "table.save", "expiry"),
)
def _life(session: Session) -> None:
    """A row that was evicted and comes again begins anew: weights, state and time."""
    config = table_config([{"dim": 1, "rule": "adagrad", "config": {}}])
    config.slot_expire_time_config.default_expire_time = 1
    table = session.table(config)
    table.op("optimize", [KNOWN, UNKNOWN], [1.0, 1.0], _rate(0.01), time=1000)
    table.op("optimize", [UNKNOWN], [1.0], _rate(0.01), time=90_000)
    table.op("evict", time=90_000)
    session.expect(ints=[1])
    table.op("optimize", [KNOWN], [1.0], _rate(0.01), time=90_001)
    table.op("save")
    rows = [
        Row(KNOWN, floats("bc1c371f"), [{"norm": floats("3f8ccccd")}], 90_001),
        Row(UNKNOWN, floats("bc86a349"), [{"norm": floats("40066666")}], 90_000),
    ]
    session.expect(entries=[entry_of(row, ["adagrad"]) for row in rows])


@case(
    "table/reinitialize/known-and-new",
    "tables 1",
    needs=("optimizer.adagrad", "initializer.constants", "table.optimize", "table.reinitialize", "table.lookup_entry"),
)
def _reinitialize(session: Session) -> None:
    """reinitialize says 1 for ids with a row and 0 for others, and begins all of them anew."""
    initializer = {"kind": "constants", "config": {"constant": 2.0}}
    table = session.table(table_config([{"dim": 1, "rule": "adagrad", "config": {}, "initializer": initializer}]))
    table.op("optimize", [KNOWN], [1.0], _rate(0.01), time=3)
    table.op("reinitialize", [UNKNOWN, KNOWN], time=8)
    session.expect(ints=[0, 1])
    table.op("lookup_entry", [KNOWN, UNKNOWN])
    fresh = Row(0, floats("40000000"), [{"norm": floats("3dcccccd")}], 8)
    session.expect(entries=[entry_of(fresh, ["adagrad"], with_id=False)] * 2)


@case("table/clear/empty-again", "tables 1", needs=(*BASIC, "table.size", "table.clear"), accuracy="exact")
def _clear(session: Session) -> None:
    """clear removes all rows, and the table goes on."""
    table = session.table(table_config([SGD]))
    table.op("assign", [KNOWN, UNKNOWN], [1.0, 2.0])
    table.op("clear")
    table.op("size")
    session.expect(ints=[0])
    table.op("assign", [UNKNOWN], [3.0])
    table.op("lookup", [KNOWN, UNKNOWN])
    session.expect(floats=np.array([0, 3], np.float32), ints=[1])


@case(
    "table/serving/absent-adds-from-zero",
    "tables 4",
    needs=("table.serving", "compressor.fp16", "table.assign_add", "table.lookup"),
)
def _serving_add(session: Session) -> None:
    """assign_add of a serving id without a row starts from zero."""
    table = session.table(table_config([{"dim": 2, "compressor": {"kind": "fp16", "config": {}}}], serving=True))
    table.op("assign_add", [KNOWN], np.array([0.1, 65520.0], np.float32))
    table.op("lookup", [KNOWN])
    session.expect(floats=floats("3dccc000 7f800000"), ints=[1])


@case(
    "table/serving/training-is-refused",
    "tables 4",
    needs=("table.serving", "compressor.fp32", "table.optimize", "table.save", "table.size"),
    accuracy="exact",
)
def _serving_refused(session: Session) -> None:
    """A serving table refuses to be trained and saved, and stays as it was."""
    table = session.table(table_config([{"dim": 1, "compressor": {"kind": "fp32", "config": {}}}], serving=True))
    session.expect_error(table.request("optimize", [KNOWN], [1.0], _rate(1.0)))
    session.expect_error(table.request("save"))
    table.op("size")
    session.expect(ints=[0])


@case(
    "table/worked/two-segments",
    "tables 3",
    needs=("optimizer.ftrl", "optimizer.adagrad", "initializer.zeros", "initializer.ones", "table.optimize",
           "table.assign", "table.lookup_entry"),
    profiles=("ieee",),
)  # fmt: skip
def _worked(session: Session) -> None:
    """A row of an ftrl and an adagrad segment: one step, then an assignment that leaves the states as they were."""
    first = {"dim": 1, "rule": "ftrl", "config": {"initial_accumulator_value": 0.1, "beta": 1.0}}
    second = {"dim": 2, "rule": "adagrad", "config": {"initial_accumulator_value": 0.1}}
    ones = {"kind": "ones", "config": {}}
    table = session.table(table_config([first, {**second, "initializer": ones}]))
    time = 1_700_000_000
    table.op("optimize", [42], [0.5, 0.25, -0.25], _rate(0.01, 0.05), time=time)
    state = [
        {"zero": floats("3f000000"), "norm": floats("3eb33333")},
        {"norm": floats("3e266666 3e266666")},
    ]
    rules = ["ftrl", "adagrad"]
    moved = Row(
        42,
        np.array(
            [float.fromhex("-0x1.9bc278p-9"), float.fromhex("0x1.f01fa2p-1"), float.fromhex("0x1.07f030p0")], np.float32
        ),
        state,
        time,
    )
    table.op("lookup_entry", [42])
    session.expect(entries=[entry_of(moved, rules, with_id=False)])
    table.op("assign", [42], [9.0, 9.0, 9.0], time=5)
    table.op("lookup_entry", [42])
    session.expect(entries=[entry_of(Row(42, np.full(3, 9, np.float32), state, 5), rules, with_id=False)])
