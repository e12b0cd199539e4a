"""Counting filters by themselves: measured traces, hashes, signatures, saturation, sliding and forgetting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from monolith_protos import testee_pb2

from monolith_conformance.cases.case import Case, case, register
from monolith_conformance.cases.golden import golden
from monolith_conformance.oracle.filters import splitmix64
from monolith_conformance.session import Session

__all__: list[str] = []

KINDS = {"HashFilter<uint8>": "hash_u8", "HashFilter<uint16>": "hash", "SlidingHashFilter": "sliding"}
NAMES = {"add": "add", "get": "get", "sbf": "should_be_filtered"}
SPREAD = 1 << 17
"""Ids that differ above bit 16 have signatures of their own."""


def signed(fid: int) -> int:
    """An id as the protocol sends it."""
    return fid - (1 << 64) if fid >= 1 << 63 else fid


def ask(
    session: Session,
    kind: str,
    ops: Iterable[tuple[str, int, int, int]],
    *,
    capacity: int = 300,
    split_num: int = 0,
) -> testee_pb2.Request:
    """The request of operations (name, id, count, threshold) on a fresh filter."""
    request = testee_pb2.Request()
    message = request.filter
    message.kind, message.capacity, message.split_num = kind, capacity, split_num
    for op, fid, count, threshold in ops:
        message.ops.add(op=op, id=signed(fid), count=count, threshold=threshold)
    return request


def _trace(document: Mapping[str, Any]) -> Callable[[Session], None]:
    ops, expected = [], []
    for name, *arguments in document["trace"]:
        if name in NAMES:
            fid, *rest = arguments[:-1]
            count, threshold = ([*rest, 0, 0])[:2]
            ops.append((NAMES[name], int(fid), int(count), int(threshold)))
            expected.append(int(arguments[-1]))

    def judge(session: Session) -> None:
        kind = KINDS[document["filter"]]
        split_num = document.get("split_num", 0)
        session.ask(ask(session, kind, ops, capacity=document["capacity"], split_num=split_num))
        session.expect(ints=expected)

    return judge


def _register_traces() -> None:
    for document in golden("filters")["cases"]:
        if document["hash"] != "splitmix64" or document.get("fill_rate", 1.5) != 1.5:
            continue  # The protocol's filters hash as the page says, at the page's fill rate.
        kind = KINDS[document["filter"]]
        register(
            Case(
                id=f"filter/{kind}/{document['name'].replace('_', '-')}",
                rule="a whole trace of counts and questions gives the measured answers",
                section="filters 2, 3, 4",
                judge=_trace(document),
                needs=frozenset({f"filter.{kind}"}),
                quirks=frozenset(document.get("quirks") or ()),
                without=frozenset({"filter_signature_hash"}),
                accuracy="exact",
            )
        )


_register_traces()


@case("filter/hash/position-by-splitmix64", "filters 2", needs=("filter.hash",), accuracy="exact")
def _position(session: Session) -> None:
    """An id's cell is SplitMix64 of it modulo the size: two ids of one signature and one cell share a count."""
    size, ids = 15, [0, 0]
    seen: dict[int, int] = {}
    for fid in range(1, 60):  # All of signature 0.
        at = splitmix64(fid) % size
        if at in seen:
            ids = [seen[at], fid]
            break
        seen[at] = fid
    first, second = ids
    other = next(fid for fid in range(1, 60) if splitmix64(fid) % size not in {splitmix64(first) % size})
    ops = [
        ("add", first, 3, 0),
        ("get", second, 0, 0),
        ("get", other, 0, 0),
        ("add", second, 2, 0),
        ("get", first, 0, 0),
    ]
    session.ask(ask(session, "hash", ops, capacity=10))
    session.expect(ints=[0, 3, 0, 3, 5])  # The event: the collision of first and second.


@case("filter/hash/signature-of-twelve-bits", "filters 2", needs=("filter.hash",), accuracy="exact")
def _signature(session: Session) -> None:
    """A cell tells ids apart by bits 17 to 28 alone: another such bit is another count, any other bit is the same."""
    base = 5 * SPREAD
    same = next(f for f in _others(base, 1 << 29) if splitmix64(f) % 15 == splitmix64(base) % 15)
    apart = next(f for f in _others(base, SPREAD, 1 << 12) if splitmix64(f) % 15 == splitmix64(base) % 15)
    ops = [("add", base, 4, 0), ("get", same, 0, 0), ("get", apart, 0, 0)]
    session.ask(ask(session, "hash", ops, capacity=10))
    session.expect(ints=[0, 4, 0])


def _others(base: int, step: int, most: int = 1 << 20) -> Iterable[int]:
    return (base + k * step for k in range(1, most))


@case("filter/hash/full-probes-admit", "filters 3", needs=("filter.hash",), accuracy="exact")
def _full(session: Session) -> None:
    """An id that finds no cell within 64 reads as fifteen, and is let in."""
    ids = [k * SPREAD + 1 for k in range(1, 90)]
    ops = [("add", fid, 1, 0) for fid in ids]
    late = 4000 * SPREAD + 1
    ops += [("get", late, 0, 0), ("should_be_filtered", late, 1, 15)]
    reply = session.ask(ask(session, "hash", ops, capacity=10))
    if 15 not in reply.ints[: len(ids)]:
        session.fail("failed probes", 0, "at least one, so that the rule is asked")
    session.expect(ints=[*reply.ints[: len(ids)], 15, 0])


@case("filter/hash/saturates-at-fifteen", "filters 3", needs=("filter.hash",), accuracy="exact")
def _saturates(session: Session) -> None:
    """A count stops at fifteen, and one large count fills it at once."""
    fid = 9 * SPREAD
    counts = [7, 7, 7, 1]
    ops = [("add", fid, count, 0) for count in counts] + [("get", fid, 0, 0), ("add", 8 * SPREAD, 1000, 0)]
    session.ask(ask(session, "hash", [*ops, ("get", 8 * SPREAD, 0, 0)], capacity=100))
    session.expect(ints=[0, 7, 14, 15, 15, 0, 15])


@case(
    "filter/hash/zero-count-is-nothing",
    "filters 3",
    needs=("filter.hash",),
    without=("filter_zero_count",),
    accuracy="exact",
)
def _zero(session: Session) -> None:
    """Counting zero times changes nothing and answers the count."""
    fid = 9 * SPREAD
    ops = [("add", fid, 0, 0), ("add", fid, 2, 0), ("add", fid, 0, 0), ("get", fid, 0, 0)]
    session.ask(ask(session, "hash", ops, capacity=100))
    session.expect(ints=[0, 0, 2, 2])


@case("filter/threshold/zero-never-counts", "filters 1", needs=("filter.hash",), accuracy="exact")
def _never(session: Session) -> None:
    """With a threshold of zero or less an id is let in and not counted."""
    fid = 3 * SPREAD
    ops = [("should_be_filtered", fid, 1, 0), ("should_be_filtered", fid, 1, -4), ("get", fid, 0, 0)]
    session.ask(ask(session, "hash", ops))
    session.expect(ints=[0, 0, 0])


@case("filter/threshold/counts-before-the-call", "filters 1", needs=("filter.hash",), accuracy="exact")
def _before(session: Session) -> None:
    """An id is let in by the first call that finds it counted T times before; a large count waits for the next call."""
    slow, fast = 3 * SPREAD, 4 * SPREAD
    ops = [("should_be_filtered", slow, 1, 3)] * 5 + [("should_be_filtered", fast, 5, 3)] * 2
    session.ask(ask(session, "hash", ops))
    session.expect(ints=[1, 1, 1, 0, 0, 1, 0])


@case(
    "filter/threshold/above-fifteen-is-refused",
    "filters 1",
    needs=("filter.hash",),
    without=("filter_threshold_overflow",),
    accuracy="exact",
)
def _above(session: Session) -> None:
    """A threshold that can never be reached is an error, and so is a count outside of 32 bits."""
    session.expect_error(ask(session, "hash", [("should_be_filtered", SPREAD, 1, 16)]))
    session.expect_error(ask(session, "hash", [("add", SPREAD, -1, 0)]))
    session.expect_error(ask(session, "hash", [("add", SPREAD, 1 << 32, 0)]))


@case(
    "filter/threshold/above-fifteen-never-admits",
    "filters 1",
    needs=("filter.hash",),
    quirks=("filter_threshold_overflow",),
    accuracy="exact",
)
def _overflow(session: Session) -> None:
    """The original keeps an id out for ever at a threshold of sixteen, and takes counts modulo 2^32."""
    ops = [("should_be_filtered", SPREAD, 1, 16)] * 40 + [("add", 2 * SPREAD, -1, 0), ("get", 2 * SPREAD, 0, 0)]
    session.ask(ask(session, "hash", ops))
    session.expect(ints=[1] * 40 + [0, 15])


@case("filter/dummy/lets-everything-in", "filters 1", needs=("filter.dummy",), accuracy="exact")
def _dummy(session: Session) -> None:
    """The dummy filter keeps nothing out and answers fifteen."""
    ops = [("add", 5, 1, 0), ("get", 5, 0, 0), ("should_be_filtered", 5, 1, 9)]
    session.ask(ask(session, "dummy", ops))
    session.expect(ints=[15, 15, 0])


@case(
    "filter/probabilistic/asks-no-draw-without-a-table", "filters 1", needs=("filter.probabilistic",), accuracy="exact"
)
def _drawless(session: Session) -> None:
    """A probabilistic filter without a table keeps nothing out and answers fifteen."""
    ops = [("add", 5, 1, 0), ("get", 5, 0, 0), ("should_be_filtered", 5, 1, 9)]
    session.ask(ask(session, "probabilistic", ops))
    session.expect(ints=[15, 15, 0])


@case("filter/sliding/at-least-300-and-five", "filters 4", needs=("filter.sliding",), accuracy="exact")
def _least(session: Session) -> None:
    """A sliding filter holds at least 300 ids in at least five splits, however few are asked for."""
    ids = [k * SPREAD + k for k in range(1, 61)]
    ops = [("add", fid, 2, 0) for fid in ids] + [("get", fid, 0, 0) for fid in ids]
    small = list(session.ask(ask(session, "sliding", ops, capacity=1, split_num=1)).ints)
    session.ask(ask(session, "sliding", ops, capacity=300, split_num=5))
    session.expect(ints=small)
    if small[60:] != [2] * 60:
        session.fail("ids remembered", small[60:].count(2), "60")


@case("filter/sliding/forgets-what-slid-away", "filters 4", needs=("filter.sliding",), accuracy="exact")
def _forgets(session: Session) -> None:
    """An id that was not counted while the window slid past is forgotten; one that was counted keeps its count."""
    kept, lost = 7000 * SPREAD + 3, 7001 * SPREAD + 5
    ops = [("add", kept, 2, 0), ("add", lost, 2, 0)]
    for begin in range(0, 400, 50):
        ops += [("add", (begin + k) * SPREAD + 9 * k + 1, 1, 0) for k in range(50)]
        ops.append(("add", kept, 1, 0))
    reply = session.ask(
        ask(session, "sliding", [*ops, ("get", kept, 0, 0), ("get", lost, 0, 0)], capacity=300, split_num=5)
    )
    session.expect(ints=[*reply.ints[:-2], 10, 0])  # The event: the window has moved past `lost`.


@case("filter/sliding/get-moves-nothing", "filters 4", needs=("filter.sliding",), accuracy="exact")
def _pure(session: Session) -> None:
    """Reading counts neither counts, nor moves the window, nor copies anything."""
    ids = [k * SPREAD + 7 * k for k in range(1, 240)]
    adds = [("add", fid, 1 + fid % 3, 0) for fid in ids]
    plain = list(session.ask(ask(session, "sliding", adds + [("get", fid, 0, 0) for fid in ids], split_num=5)).ints)
    asked: list[tuple[str, int, int, int]] = []
    for number, add in enumerate(adds):
        asked += [("get", ids[number // 2], 0, 0), add]
    session.ask(ask(session, "sliding", asked + [("get", fid, 0, 0) for fid in ids], split_num=5))
    found = list(session.transcript.steps[-1].reply.result.ints)  # type: ignore[union-attr]
    alternate = [answer for number, answer in enumerate(found[: 2 * len(adds)]) if number % 2]
    if alternate + found[2 * len(adds) :] != plain:
        session.fail("counts with reads between", "others", "those without reads")
