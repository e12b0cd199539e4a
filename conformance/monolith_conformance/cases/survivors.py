"""Cases that a surviving mutant asked for: each tells a rule from a variant that every other case let through."""

from __future__ import annotations

from importlib.resources import files

from monolith_protos import model_dump_pb2, testee_pb2

from monolith_conformance.cases.case import Case, case, register
from monolith_conformance.cases.dumps import dump
from monolith_conformance.cases.expiry import DAY, expiring, fid
from monolith_conformance.cases.filter_counts import SPREAD, ask
from monolith_conformance.cases.golden import floats, table_config
from monolith_conformance.cases.sync import sync
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle.table import Row
from monolith_conformance.record_sets import request as files_request
from monolith_conformance.session import Session

__all__: list[str] = []

SGD = {"dim": 1, "rule": "sgd", "config": {}}
FID = (4 << 48) | 9


@case(
    "table/time/assign-goes-back",
    "tables 1",
    needs=("optimizer.sgd", "initializer.zeros", "table.assign", "table.lookup_entry"),
    accuracy="exact",
)
def _assign_goes_back(session: Session) -> None:
    """An assign sets the time of a row that has a later one."""
    table = session.table(table_config([SGD]))
    for time in (90, 40):
        table.op("assign", [FID], [1.0], time=time)
        table.op("lookup_entry", [FID])
        session.expect(entries=[entry_of(Row(FID, floats("3f800000"), [{}], time), ["sgd"], with_id=False)])


@case(
    "core/optimizer.rmsprop/share-before-square",
    "optimizers 1",
    needs=("optimizer.rmsprop", "initializer.zeros", "table.assign", "table.optimize", "table.lookup_entry"),
)
def _share_before_square(session: Session) -> None:
    """rmsprop takes the share 1 - mu of the decayed gradient first: rarely seen after rounding, as here."""
    config = {"weight_decay_factor": 0.1}
    table = session.table(table_config([{"dim": 1, "rule": "rmsprop", "config": config}]))
    table.op("assign", [FID], floats("3ec9ba5e"), time=1)
    table.op("optimize", [FID], floats("3f9df456"), [0.01], time=2)
    table.op("lookup_entry", [FID])
    row = Row(FID, floats("3ec51471"), [{"n": floats("3e260d2e")}], 2)
    session.expect(entries=[entry_of(row, ["rmsprop"], with_id=False)])


@case("core/combiner.reduce_mean/gradient-by-reciprocal", "features 2", needs=("combiner.reduce_mean",))
def _gradient_by_reciprocal(session: Session) -> None:
    """The gradient of a mean is that of its row times the rounded reciprocal of the count, not divided by it."""
    request = testee_pb2.Request()
    message = request.combine
    message.kind, message.dim = "reduce_mean", 1
    message.row_splits.extend([0, 3])
    message.floats = bytes(12)
    message.upstream = floats("40a00000").astype("<f4").tobytes()
    session.ask(request)
    session.expect(floats=floats("3fd55556 3fd55556 3fd55556"))


@case("filter/sliding/five-splits-at-least", "filters 4", needs=("filter.sliding",), accuracy="exact")
def _five_splits(session: Session) -> None:
    """A sliding filter that is asked for one split has five, and forgets when they have slid past."""
    ids = [k * SPREAD + k for k in range(1, 501)]
    ops = [("add", one, 2, 0) for one in ids] + [("get", one, 0, 0) for one in ids]
    five = list(session.ask(ask(session, "sliding", ops, capacity=300, split_num=5)).ints)
    remembered = five[500:].count(2)
    if not 0 < remembered < 500:
        session.fail("ids remembered", remembered, "some, but not all")
    session.ask(ask(session, "sliding", ops, capacity=300, split_num=1))
    session.expect(ints=five)


@case(
    "filter/hash/zero-takes-no-cell",
    "filters 3",
    needs=("filter.hash",),
    without=("filter_zero_count",),
    accuracy="exact",
)
def _zero_takes_no_cell(session: Session) -> None:
    """However many ids are counted zero times, no cell is taken: another id still finds a free one."""
    many = [("add", k * SPREAD + k, 0, 0) for k in range(1, 1001)]
    session.ask(ask(session, "hash", [*many, ("get", 2000 * SPREAD, 0, 0)], capacity=100))
    session.expect(ints=[0] * 1001)


@case(
    "filter/sliding/zero-slides-nothing",
    "filters 3, 4",
    needs=("filter.sliding",),
    without=("filter_zero_count",),
    accuracy="exact",
)
def _zero_slides_nothing(session: Session) -> None:
    """However many ids are counted zero times, the window stays: an id that was counted is remembered."""
    many = [("add", k * SPREAD + k, 0, 0) for k in range(2, 1002)]
    session.ask(ask(session, "sliding", [("add", SPREAD, 2, 0), *many, ("get", SPREAD, 0, 0)], capacity=300))
    session.expect(ints=[0] * 1001 + [2])


@case(
    "sync/sum/drawn-by-first-occurrence",
    "sync_training 2.2",
    needs=("optimizer.sgd", "initializer.random_uniform", "table.lookup", "sync.sum"),
    fresh=True,
)
def _drawn_by_first_occurrence(session: Session) -> None:
    """Rows that a step makes draw their initial values in order of first occurrence, not of their ids."""
    uniform = {"kind": "random_uniform", "config": {"minval": -1.0, "maxval": 1.0}}
    table = session.table(table_config([{**SGD, "initializer": uniform}]))
    session.ask(sync(table, "sum", [([90, 30, 60, 30], [0.0, 0.0, 0.0, 0.0])], 0.0))
    table.op("lookup", [90, 30, 60])
    session.expect(floats=floats("3f212376 bf3aa2c2 3f4fc3f6"), ints=[3])


@case(
    "checkpoint/expiry/latest-update-is-remembered",
    "checkpoints 4.3, tables 5",
    needs=("optimizer.sgd", "initializer.zeros", "table.assign", "expiry", "checkpoint.single.write"),
    accuracy="exact",
)
def _latest_update_is_remembered(session: Session) -> None:
    """Ages count from the latest update that there was, also where the row that it came to has an older time now."""
    table = session.table(expiring(5))
    for row, days in ((fid(1, 1), 100), (fid(1, 1), 99), (fid(1, 2), 95), (fid(1, 3), 96)):
        table.op("assign", [row], [1.0], time=days * DAY)
    session.ask(files_request("single.write", session.folder() / "set", table.name, 1))
    session.expect(ints=[2])


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _nested(depth: int) -> bytes:
    """Groups of an unknown field, one in the other."""
    return _varint(999 << 3 | 3) * depth + _varint(999 << 3 | 4) * depth


_ENDINGS = {
    "kind-six-at-the-end": ("a field of a kind that there is not", _varint(999 << 3 | 6)),
    "kind-seven-at-the-end": ("a field of a kind that there is not", _varint(999 << 3 | 7)),
    "groups-crossed": ("a group that the end of another one closes", _varint(999 << 3 | 3) + _varint(998 << 3 | 4)),
    "groups-of-150": ("groups deeper than a hundred", _nested(150)),
}


def _register_endings() -> None:
    for name, (what, ending) in _ENDINGS.items():

        def judge(session: Session, ending: bytes = ending) -> None:
            data = (files("monolith_conformance") / "golden" / "model_dump" / "train_only_local.pb").read_bytes()
            session.ask(dump("read", data))
            session.expect_error(dump("read", data + ending))

        register(
            Case(
                id=f"dump/reject/{name}",
                rule=f"a dump is refused that ends in {what}",
                section="model_dump 7.5",
                judge=judge,
                needs=frozenset({"dump.read"}),
                accuracy="exact",
            )
        )


_register_endings()


@case("dump/reject/empty-has-no-form", "model_dump 7.5", needs=("dump.canonical",), accuracy="exact")
def _empty_has_no_form(session: Session) -> None:
    """An empty file has no canonical form either."""
    session.expect_error(dump("canonical", b""))


@case("dump/canonical/negative-numbers", "model_dump 2.4", needs=("dump.canonical",), accuracy="exact")
def _negative_numbers(session: Session) -> None:
    """A negative number has ten bytes in the canonical form, also in a field of 32 bits."""
    made = model_dump_pb2.ModelDump()
    made.model_dump["train"].features.add(expire_time=-1)
    data = made.SerializeToString(deterministic=True)
    session.ask(dump("canonical", data))
    session.expect(blob=data)
