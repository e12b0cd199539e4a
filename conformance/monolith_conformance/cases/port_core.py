"""Rows at the points where ports go astray: unknown ids, bits, rates, states of several lengths, first draws."""

from __future__ import annotations

import numpy as np
from monolith_protos import testee_pb2

from monolith_conformance.backends.tables import RULES
from monolith_conformance.cases.case import case
from monolith_conformance.cases.golden import floats, table_config
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle.table import Row
from monolith_conformance.session import Session

__all__: list[str] = []

KNOWN, UNKNOWN = (1 << 48) + 11, (1 << 48) + 12
SGD = {"dim": 1, "rule": "sgd", "config": {}}
BASIC = ("optimizer.sgd", "initializer.zeros", "table.assign", "table.lookup")


def _rate(*rates: float) -> np.ndarray:
    return np.array(rates, np.float32)


@case("core/lookup/unknown-reads-zero", "tables 1", needs=(*BASIC, "initializer.ones", "table.size"), accuracy="exact")
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


@case(
    "core/learning_rate/one-a-segment",
    "tables 1",
    needs=("optimizer.sgd", "initializer.zeros", "table.optimize", "table.lookup"),
)
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
