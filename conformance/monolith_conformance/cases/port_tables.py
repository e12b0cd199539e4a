"""Tables at the points where ports go astray: unknown ids, duplicates, rates, times, growth, large batches."""

from __future__ import annotations

import numpy as np
from monolith_protos import testee_pb2

from monolith_conformance.backends.tables import RULES
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


@case("core/lookup/unknown-reads-zero", "tables 1", needs=(*BASIC, "table.size"), accuracy="exact")
def _unknown(session: Session) -> None:
    """A lookup gives +0.0 for ids without a row, answers for the others, and makes no row."""
    table = session.table(table_config([{**SGD, "dim": 2, "initializer": {"kind": "ones", "config": {}}}]))
    table.op("assign", [KNOWN], [-0.0, 3.0])
    table.op("lookup", [UNKNOWN, KNOWN, UNKNOWN])
    session.expect(floats=floats("00000000 00000000 80000000 40400000 00000000 00000000"), ints=[1])
    table.op("size")
    session.expect(ints=[1])


@case("core/lookup/duplicates-count", "tables 1", needs=BASIC, accuracy="exact")
def _duplicates_read(session: Session) -> None:
    """A lookup answers every position, and counts every position that was found."""
    table = session.table(table_config([SGD]))
    table.op("assign", [KNOWN], [2.0])
    table.op("lookup", [KNOWN, UNKNOWN, KNOWN, KNOWN])
    session.expect(floats=np.array([2, 0, 2, 2], np.float32), ints=[3])


@case("core/lookup/bits-are-kept", "tables 1", needs=BASIC, accuracy="exact")
def _bits(session: Session) -> None:
    """Assigned bits come back: NaN, infinities, both zeros, subnormal numbers."""
    table = session.table(table_config([{**SGD, "dim": 6}]))
    values = floats("7fc00000 7f800000 ff800000 80000000 00000001 807fffff")
    table.op("assign", [KNOWN], values)
    table.op("lookup", [KNOWN])
    session.expect(floats=values, ints=[1])


@case("core/lookup/any-id", "tables 1", needs=BASIC, accuracy="exact")
def _any_id(session: Session) -> None:
    """Every 64-bit number is an id: zero, minus one, both ends."""
    table = session.table(table_config([SGD]))
    ids = [0, -1, (1 << 63) - 1, -(1 << 63)]
    table.op("assign", ids, [1.0, 2.0, 3.0, 4.0])
    table.op("lookup", [*ids, 1])
    session.expect(floats=np.array([1, 2, 3, 4, 0], np.float32), ints=[4])


@case(
    "core/update/unknown-is-created",
    "tables 1",
    needs=("optimizer.sgd", "initializer.constants", "table.optimize", "table.lookup", "table.size"),
)
def _created(session: Session) -> None:
    """A gradient of an id without a row makes it: first initialised, then updated."""
    initializer = {"kind": "constants", "config": {"constant": 0.5}}
    table = session.table(table_config([{**SGD, "initializer": initializer}]))
    table.op("optimize", [KNOWN, KNOWN], [1.0, 2.0], _rate(0.125))
    table.op("lookup", [KNOWN])
    session.expect(floats=np.array([0.125], np.float32), ints=[1])
    table.op("size")
    session.expect(ints=[1])


@case(
    "core/update/assign-keeps-state",
    "tables 1",
    needs=("optimizer.adagrad", "initializer.zeros", "table.assign", "table.optimize", "table.lookup_entry"),
)
def _assign_keeps(session: Session) -> None:
    """Assign changes the weights and leaves the optimizer's state as it was."""
    table = session.table(table_config([{"dim": 1, "rule": "adagrad", "config": {}}]))
    table.op("optimize", [KNOWN], [1.0], _rate(0.1), time=3)
    table.op("assign", [KNOWN], [9.0], time=4)
    table.op("lookup_entry", [KNOWN])
    row = Row(KNOWN, floats("41100000"), [{"norm": floats("3f8ccccd")}], 4)
    session.expect(entries=[entry_of(row, ["adagrad"], with_id=False)])


@case("core/learning_rate/one-a-segment", "tables 1", needs=("optimizer.sgd", "initializer.zeros", "table.optimize"))
def _rates(session: Session) -> None:
    """Each segment takes its own learning rate of the call."""
    table = session.table(table_config([SGD, {**SGD, "dim": 2}]))
    table.op("optimize", [KNOWN], [1.0, 1.0, 2.0], _rate(1.0, 0.25))
    table.op("lookup", [KNOWN])
    session.expect(floats=np.array([-1.0, -0.25, -0.5], np.float32), ints=[1])


@case(
    "core/learning_rate/of-the-call-not-the-config",
    "tables 1",
    needs=("optimizer.sgd", "initializer.zeros", "table.optimize", "table.lookup"),
)
def _rate_of_call(session: Session) -> None:
    """The rate in the optimizer's message moves nothing; the rate of each call does."""
    table = session.table(table_config([{**SGD, "config": {"learning_rate": 8.0}}]))
    for rate, expected in ((0.5, -0.5), (0.25, -0.75)):
        table.op("optimize", [KNOWN], [1.0], _rate(rate))
        table.op("lookup", [KNOWN])
        session.expect(floats=np.array([expected], np.float32), ints=[1])


@case("core/capability/unclaimed-rules-are-refused", "testee", needs=("table.lookup",), accuracy="exact")
def _refused(session: Session) -> None:
    """A table of a rule that the backend does not claim is refused, never played by another rule."""
    for rule in (*RULES, "dc"):
        if session.can(f"optimizer.{rule}"):
            continue
        request = testee_pb2.Request()
        request.create.table = f"refused-{rule}"
        config = table_config([{"dim": 1, "rule": rule, "config": {}}])
        request.create.config = config.SerializeToString(deterministic=True)
        reply = session.ask_anything(request)
        if reply.WhichOneof("kind") not in ("unsupported", "error"):
            session.fail(f"a table of {rule}", reply.WhichOneof("kind"), "unsupported, or an error")


@case(
    "core/optimizer.adam/lengths-side-by-side",
    "optimizers 4",
    needs=("optimizer.adam", "initializer.zeros", "table.optimize", "table.lookup"),
)
def _lengths(session: Session) -> None:
    """Rows of several lengths are trained in turn, and each keeps its own state."""
    narrow, wide, alone = (session.table(table_config([{"dim": d, "rule": "adam", "config": {}}])) for d in (4, 8, 4))
    for step in range(1, 4):
        for table in (narrow, wide, alone):
            gradient = np.arange(1, table.dim + 1, dtype=np.float32) / np.float32(step)
            table.op("optimize", [KNOWN], gradient, _rate(0.01), time=step)
    row = alone.lookup([KNOWN])
    narrow.op("lookup", [KNOWN])
    session.expect(floats=row, ints=[1])
    wide.op("lookup", [KNOWN])
    # Elements do not know of one another: the first four of the wide row saw the same gradients.
    session.expect(floats=floats("bcd2ac71 bcdbf875 bcdf4159 bce0ef51 bce1f46f bce2a3d5 bce321c6 bce38096"), ints=[1])


@case(
    "core/compressor/fixed_r8-step",
    "optimizers 6",
    needs=("table.serving", "compressor.fixed_r8", "table.assign", "table.lookup"),
)
def _fixed_r8(session: Session) -> None:
    """fixed_r8 codes in steps of r / 128, from -128 to 127, whatever else is in the row."""
    segment = {"dim": 5, "compressor": {"kind": "fixed_r8", "config": {}}}
    table = session.table(table_config([segment], serving=True))
    table.op("assign", [KNOWN], np.array([0.25, 1.0, -1.0, 0.01, -3.0], np.float32))
    table.op("lookup", [KNOWN])
    session.expect(floats=np.array([0.25, 0.9921875, -1.0, 0.0078125, -1.0], np.float32), ints=[1])


@case(
    "core/compressor/one_bit-zero",
    "optimizers 6",
    needs=("table.serving", "compressor.one_bit", "table.assign", "table.lookup"),
)
def _one_bit(session: Session) -> None:
    """one_bit sends both zeros and NaN to the negative side, and every positive number to the other."""
    segment = {"dim": 4, "compressor": {"kind": "one_bit", "config": {}}}
    table = session.table(table_config([segment], serving=True))
    table.op("assign", [KNOWN], floats("00000000 80000000 0da24260 7fc00000"))
    table.op("lookup", [KNOWN])
    session.expect(floats=floats("bdcccccd bdcccccd 3dcccccd bdcccccd"), ints=[1])


@case(
    "core/initializer/random_uniform-first-draws",
    "optimizers 5",
    needs=("optimizer.sgd", "initializer.random_uniform", "table.assign_add", "table.lookup"),
    fresh=True,
)
def _draws(session: Session) -> None:
    """The first four draws of mt19937 with its default seed, in the default bounds."""
    initializer = {"kind": "random_uniform", "config": {}}
    table = session.table(table_config([{**SGD, "dim": 4, "initializer": initializer}]))
    table.op("assign_add", [KNOWN], floats("80000000 80000000 80000000 80000000"))
    table.op("lookup", [KNOWN])
    last = "3d093832" if session.profile == "avx" else "3d093831"
    session.expect(floats=floats(f"3d00e92b bd154f02 3d26365f {last}"), ints=[1])


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
