"""Steps of several ranks: owners, what is sent, reductions, uneven ranks, half floats on the wire, staleness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from monolith_protos import testee_pb2
from numpy.typing import ArrayLike

from monolith_conformance.cases.case import Case, case, register
from monolith_conformance.cases.golden import floats, table_config
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle.table import Row
from monolith_conformance.session import Session, Table

__all__: list[str] = []

ID = (3 << 48) + 9
SGD = {"dim": 1, "rule": "sgd", "config": {}}
ADAGRAD = {"dim": 1, "rule": "adagrad", "config": {}}
TABLE = ("initializer.zeros", "table.lookup", "table.lookup_entry")

Parts = Sequence[tuple[Sequence[int], ArrayLike]]


def sync(
    table: Table | None,
    reduction: str,
    parts: Parts,
    rate: float = 1.0,
    *,
    time: int = 1,
    global_step: int = 0,
) -> testee_pb2.Request:
    """The request of one step; ``parts``: ids and gradients of every rank, in order of occurrence."""
    request = testee_pb2.Request()
    message = request.sync
    message.table, message.reduction = table.name if table is not None else "", reduction
    for ids, gradients in parts:
        message.parts.add(ids=ids, floats=np.asarray(gradients, "<f4").tobytes())
    message.rates = np.array([rate], "<f4").tobytes()
    message.time, message.global_step = time, global_step
    return request


def _sgd(session: Session, reduction: str, parts: Parts, expected: Mapping[int, float | str]) -> None:
    """One step of sgd at rate -1: every row becomes the gradient that the owner made of it."""
    table = session.table(table_config([SGD]))
    session.ask(sync(table, reduction, parts, -1.0))
    table.op("lookup", list(expected))
    words = [floats(value)[0] if isinstance(value, str) else np.float32(value) for value in expected.values()]
    session.expect(floats=np.array(words, np.float32), ints=[len(expected)])


def _needs(*kinds: str, rule: str = "sgd") -> tuple[str, ...]:
    return (f"optimizer.{rule}", *TABLE, *(f"sync.{kind}" for kind in kinds))


def _one_id_on_two_ranks(reduction: str, words: str) -> None:
    def judge(session: Session) -> None:
        table = session.table(table_config([ADAGRAD]))
        session.ask(sync(table, reduction, [([ID], [0.3]), ([ID], [0.4])], 0.05, time=7))
        weight, norm = floats(words)
        table.op("lookup_entry", [ID])
        row = Row(ID, np.array([weight]), [{"norm": np.array([norm])}], 7)
        session.expect(entries=[entry_of(row, ["adagrad"], with_id=False)])

    register(
        Case(
            id=f"sync/{reduction}/one-id-on-two-ranks",
            rule="two ranks' gradients of one id reach its row as the reduction says",
            section="sync_training 5",
            judge=judge,
            needs=frozenset(_needs(reduction, rule="adagrad")),
            profiles=("ieee",),
        )
    )


for _reduction, _words in (
    ("sequential", "bd8bb628 3eb33334"),
    ("sum", "bd3aa389 3f170a3f"),
    ("mean", "bd17f618 3e63d70c"),
    ("exact", "bd3aa389 3f170a3f"),
):
    _one_id_on_two_ranks(_reduction, _words)


@case(
    "sync/sequential/ranks-in-order",
    "sync_training 2.4, 5",
    needs=_needs("sequential", rule="adagrad"),
    profiles=("ieee",),
)
def _in_order(session: Session) -> None:
    """Source ranks are applied in ascending order: the other order leaves another row."""
    table = session.table(table_config([ADAGRAD]))
    session.ask(sync(table, "sequential", [([ID], [0.4]), ([ID], [0.3])], 0.05))
    table.op("lookup", [ID])
    session.expect(floats=floats("bd844164"), ints=[1])


@case("sync/duplicates/one-step", "sync_training 2.2", needs=_needs("sequential", rule="adagrad"))
def _one_step(session: Session) -> None:
    """A rank adds up the gradients of a repeated id, and its owner makes one step on the sum."""
    table = session.table(table_config([ADAGRAD]))
    session.ask(sync(table, "sequential", [([7, 7], [1.0, 2.0])], 0.1))
    table.op("lookup_entry", [7])
    row = Row(7, floats("bdcbabf0"), [{"norm": floats("4111999a")}], 1)
    session.expect(entries=[entry_of(row, ["adagrad"], with_id=False)])


@case("sync/duplicates/from-positive-zero", "sync_training 2.2", needs=_needs("sequential"))
def _zero(session: Session) -> None:
    """Local sums start at +0.0, so a gradient of -0.0 arrives as +0.0."""
    _sgd(session, "sequential", [([7, 8, 8], [-0.0, -0.0, -0.0])], {7: "00000000", 8: "00000000"})


@case("sync/duplicates/in-order-of-occurrence", "sync_training 2.2", needs=_needs("sum"))
def _occurrences(session: Session) -> None:
    """A rank adds in order of occurrence, and the owner adds the ranks' sums, not the occurrences."""
    parts = [([7, 8, 7, 7], [1e8, 5.0, 1.0, -1e8]), ([7, 7], [1.0, 0.5])]
    _sgd(session, "sum", parts, {7: 1.5, 8: 5.0})


@case("sync/sum/ascending-ranks", "sync_training 5", needs=_needs("sum"))
def _ascending(session: Session) -> None:
    """The owner adds ranks in ascending order from +0.0."""
    parts = [([7, 8], [1e8, 1.0]), ([8, 7], [1e8, 1.0]), ([7, 8], [-1e8, -1e8])]
    _sgd(session, "sum", parts, {7: 0.0, 8: 0.0})
    _sgd(session, "sum", [([7], [1e8]), ([7], [-1e8]), ([7], [1.0])], {7: 1.0})


@case("sync/mean/over-all-ranks", "sync_training 5", needs=_needs("mean"))
def _all_ranks(session: Session) -> None:
    """A mean divides by the number of ranks, also by those that do not hold the id, or have nothing at all."""
    _sgd(session, "mean", [([7, 8], [3.0, 1.0]), ([7], [4.0]), ([], [])], {7: "40155555", 8: "3eaaaaab"})


@case("sync/mean/divides-once", "sync_training 5", needs=_needs("mean"))
def _divides(session: Session) -> None:
    """A mean is the quotient of the sum: parts of it are not divided one by one."""
    _sgd(session, "mean", [([7], [1.0]), ([7], [1.0]), ([7], [1e-7])], {7: "3f2aaaab"})


_EXACT: dict[str, tuple[str, Parts, str]] = {
    "cancels": (
        "what a large term swallows is still there when it cancels",
        [([7], [1e8]), ([7], [1.0]), ([7], [-1e8])],
        "3f800000",
    ),
    "beyond-half-an-ulp": (
        "a tie is decided by the smallest term",
        [([7, 7], [16777216.0, 1.0]), ([7], [2.0**-30])],
        "4b800001",
    ),
    "tie-to-even": ("a true tie goes to the even neighbour", [([7], [16777216.0]), ([7], [1.0])], "4b800000"),
    "no-overflow-on-the-way": (
        "a sum may pass the range of floats on its way",
        [([7, 7], [3e38, 3e38]), ([7], [-3e38])],
        "7f61b1e6",
    ),
    "ten-tenths": ("a tenth ten times is one", [([7] * 4, [0.1] * 4), ([7] * 6, [0.1] * 6)], "3f800000"),
    "zero-is-positive": ("a zero sum is +0.0", [([7], [-0.0]), ([7], [-0.0])], "00000000"),
    "subnormal": ("subnormal numbers add up exactly", [([7] * 3, [1e-45] * 3), ([7], [2.0**-126])], "00800003"),
    "infinities": ("opposite infinities are NaN", [([7], [np.inf]), ([7], [-np.inf])], "7fc00000"),
    "one-infinity": ("an infinity outweighs all numbers", [([7], [-np.inf]), ([7], [3e38])], "ff800000"),
    "overflow": ("a sum beyond the range is infinite", [([7], [3e38]), ([7], [3e38])], "7f800000"),
}


def _register_exact(name: str, rule: str, parts: Parts, word: str) -> None:
    def judge(session: Session) -> None:
        # An assigned row at rate -1 from zero: the row is the sum (-0.0 + +0.0 is +0.0).
        _sgd(session, "exact", parts, {7: word})
        _sgd(session, "exact", list(reversed(parts)), {7: word})
        everything = [fid for ids, _ in parts for fid in ids], [g for _, gs in parts for g in np.asarray(gs).tolist()]
        _sgd(session, "exact", [everything], {7: word})

    register(
        Case(
            id=f"sync/exact/{name}",
            rule=f"{rule}, in any order and on any number of ranks",
            section="sync_training 5",
            judge=judge,
            needs=frozenset(_needs("exact")),
        )
    )


for _name, (_rule, _parts, _word) in _EXACT.items():
    _register_exact(_name, _rule, _parts, _word)


@case("sync/uneven/ranks-without-rows", "sync_training 4", needs=_needs("sequential", "sum", "exact"))
def _uneven(session: Session) -> None:
    """A rank without rows takes part with nothing, first, last or between; a step of nobody changes nothing."""
    for reduction in ("sequential", "sum", "exact"):
        parts: Parts = [([], []), ([7, 8], [1.0, 2.0]), ([], []), ([8], [4.0]), ([], [])]
        _sgd(session, reduction, parts, {7: 1.0, 8: 6.0})
    table = session.table(table_config([SGD]))
    session.ask(sync(table, "sequential", [([], []), ([], [])]))
    table.op("lookup", [7])
    session.expect(floats=np.zeros(1, np.float32), ints=[0])


@case("sync/reads/absent-ids-are-made-by-their-step", "sync_training 2.2", needs=(*_needs("sequential"), "table.size"))
def _made(session: Session) -> None:
    """An id's first step makes its row; other ids of the owner stay absent."""
    table = session.table(table_config([{**SGD, "initializer": {"kind": "zeros", "config": {}}}]))
    session.ask(sync(table, "sequential", [([7], [1.0]), ([9, 7], [1.0, 1.0])]))
    table.op("size")
    session.expect(ints=[2])
    table.op("lookup", [7, 8, 9])
    session.expect(floats=np.array([-2, 0, -1], np.float32), ints=[2])


@case("sync/time/of-the-step", "sync_training 2.2", needs=_needs("sequential"), accuracy="exact")
def _time(session: Session) -> None:
    """Rows get the time of the step, and batch_softmax and its like its number."""
    table = session.table(table_config([SGD]))
    session.ask(sync(table, "sequential", [([7], [0.0])], time=77))
    table.op("lookup_entry", [7])
    session.expect(entries=[entry_of(Row(7, floats("00000000"), [{}], 77), ["sgd"], with_id=False)])


@case("sync/half/rounded-once", "sync_training 5, job 7", needs=_needs("sequential_f16"), required=False)
def _half(session: Session) -> None:
    """Sums that travel as half floats are rounded once, ties to even, beyond the range to infinity."""
    parts = [([7, 7, 8, 9, 10], [1.0, 2.0**-12, 2049.0, 65520.0, 1e-8])]
    _sgd(session, "sequential_f16", parts, {7: 1.0, 8: 2048.0, 9: "7f800000", 10: 0.0})


@case("sync/half/sums-stay-float32", "sync_training 5, job 7", needs=_needs("sum_f16", "mean_f16"), required=False)
def _half_sum(session: Session) -> None:
    """The owner adds widened halves as float32, and divides as float32."""
    parts = [([7], [1.0]), ([7], [2.0**-11]), ([7], [2.0**-11])]
    _sgd(session, "sum_f16", parts, {7: 1.0 + 2.0**-10})
    _sgd(session, "mean_f16", [([7], [2048.0]), ([7], [1.0])], {7: 1024.5})


@case("sync/staleness/one-step-late", "sync_training 2.5", needs=_needs("sequential", "staleness"), required=False)
def _late(session: Session) -> None:
    """With staleness one a step reads rows without the step before it; at the end everything is applied."""
    table = session.table(table_config([SGD]))
    session.ask(sync(table, "staleness", [], global_step=1))
    for expected in (0.0, -1.0, -2.0):
        session.ask(sync(table, "sequential", [([7], [1.0])]))
        table.op("lookup", [7])
        session.expect(floats=np.array([expected], np.float32), ints=[int(expected < 0)])
    session.ask(sync(table, "staleness", [], global_step=0))
    table.op("lookup", [7])
    session.expect(floats=np.array([-3], np.float32), ints=[1])


@case(
    "sync/staleness/each-step-with-its-own-rate", "sync_training 2.5", needs=_needs("sum", "staleness"), required=False
)
def _own_rate(session: Session) -> None:
    """A step that was held back is applied with its own rate and time."""
    table = session.table(table_config([SGD]))
    session.ask(sync(table, "staleness", [], global_step=2))
    for rate in (1.0, 2.0, 4.0, 8.0):
        session.ask(sync(table, "sum", [([7], [1.0]), ([7], [1.0])], rate, time=int(rate)))
    table.op("lookup_entry", [7])
    session.expect(entries=[entry_of(Row(7, floats("c0c00000"), [{}], 2), ["sgd"], with_id=False)])


def _owners(session: Session, kind: str, ids: Sequence[int], ranks: int, expected: Sequence[int]) -> None:
    session.ask(sync(None, kind, [(ids, []), *[((), [])] * (ranks - 1)]))
    session.expect(ints=list(expected))


@case("sync/owner/floor-mod", "sync_training 4, tables 10", needs=("sync.owners",), accuracy="exact")
def _floor(session: Session) -> None:
    """The owner of an id is its remainder with the sign of the divisor, also where the id is negative."""
    _owners(session, "owners", [-2, -1, 0, 1, 2, 3, -3, -4], 3, [1, 2, 0, 1, 2, 0, 0, 2])
    ends = [-(1 << 63), (1 << 63) - 1]
    _owners(session, "owners", ends, 3, [fid % 3 for fid in ends])
    _owners(session, "owners", [-1, 5], 1, [0, 0])


@case(
    "sync/owner/empty-rank-0", "sync_training 2.2", needs=("sync.owners_empty_rank0",), accuracy="exact", required=False
)
def _empty(session: Session) -> None:
    """Where rank 0 is kept empty, five and more ranks leave it out; four and fewer do not."""
    ids = [-2, -1, 0, 1, 4, 7]
    _owners(session, "owners_empty_rank0", ids, 5, [3, 4, 1, 2, 1, 4])
    _owners(session, "owners_empty_rank0", ids, 4, [2, 3, 0, 1, 0, 3])


@case("sync/split/by-owner-and-first-occurrence", "sync_training 2.2", needs=("sync.split",), accuracy="exact")
def _split(session: Session) -> None:
    """A rank sends its distinct ids owner by owner, each owner's in order of first occurrence."""
    session.ask(sync(None, "split", [([10, 4, 10, 9, 7], []), ([12, 5, 4, 5, -1], []), ([], [])]))
    session.expect(ints=[1, 3, 0, 9, 10, 4, 7, 1, 1, 2, 12, 4, 5, -1, 0, 0, 0])


@case(
    "sync/split/with-rank-0-empty",
    "sync_training 2.2",
    needs=("sync.split_empty_rank0",),
    accuracy="exact",
    required=False,
)
def _split_empty(session: Session) -> None:
    """Where rank 0 is kept empty nothing is sent to it."""
    session.ask(sync(None, "split_empty_rank0", [([10, 4, 10, 9, 7], []), *[((), [])] * 4]))
    session.expect(ints=[0, 1, 1, 1, 1, 4, 9, 10, 7, *[0] * 20])


@case(
    "sync/refused/before-anything-changes",
    "sync_training 4, tables 12",
    needs=(*_needs("sequential"), "table.size"),
    accuracy="exact",
)
def _refused(session: Session) -> None:
    """A step whose rates or gradients do not fit is refused, and no row comes of it."""
    table = session.table(table_config([SGD]))
    short = sync(table, "sequential", [([7, 8], [1.0, 2.0]), ([9], [])])
    session.expect_error(short)
    rateless = sync(table, "sequential", [([7], [1.0])])
    rateless.sync.rates = b""
    session.expect_error(rateless)
    table.op("size")
    session.expect(ints=[0])
