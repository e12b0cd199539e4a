"""Combiners, forward and backward: measured vectors, empty rows, signed zeros, order of addition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from monolith_protos import testee_pb2
from numpy.typing import NDArray

from monolith_conformance.cases.case import Case, case, register
from monolith_conformance.cases.golden import floats, golden
from monolith_conformance.session import Session
from monolith_conformance.vectors.words import hex_floats

__all__: list[str] = []

F4 = NDArray[np.float32]
POOLING = ("reduce_sum", "reduce_mean", "reduce_sqrtn")


def combine(kind: str, values: F4, splits: Sequence[int], n: int = 0, upstream: F4 | None = None) -> testee_pb2.Request:
    """The request of a combiner, or of its gradient."""
    request = testee_pb2.Request()
    message = request.combine
    message.kind, message.dim, message.n = kind, values.shape[1], n
    message.row_splits.extend(int(split) for split in splits)
    message.floats = np.ascontiguousarray(values, "<f4").tobytes()
    if upstream is not None:
        message.upstream = np.ascontiguousarray(upstream, "<f4").tobytes()
    return request


def _measured(kind: str, document: Mapping[str, Any], out: Any, grad: Any) -> Callable[[Session], None]:
    def judge(session: Session) -> None:
        values, splits, n = hex_floats(document["values"]), document["row_splits"], document.get("n", 0)
        session.ask(combine(kind, values, splits, n))
        session.expect(floats=hex_floats(out))
        if grad is not None:
            session.ask(combine(kind, values, splits, n, hex_floats(document["upstream"])))
            session.expect(floats=hex_floats(grad))

    return judge


def _register_measured() -> None:
    for document in golden("features")["combiners"]:
        for kind in POOLING:
            _register(kind, document, document[kind]["out"], document[kind].get("grad"))
    for document in golden("features")["first_n"]:
        _register("first_n", document, document["out"], document.get("grad"))


def _register(kind: str, document: Mapping[str, Any], out: Any, grad: Any) -> None:
    register(
        Case(
            id=f"core/combiner.{kind}/{document['name'].replace('_', '-')}",
            rule=f"{kind} and its gradient give the measured values",
            section="features 2",
            judge=_measured(kind, document, out, grad),
            needs=frozenset({f"combiner.{kind}"}),
            quirks=frozenset(document.get("quirks", ()) if kind == "reduce_mean" else ()),
            profiles=("ieee",) if kind == "reduce_sqrtn" else ("ieee", "avx"),
        )
    )


_register_measured()

SPLITS = [0, 3, 3, 4, 4]
VALUES = np.array([[1e8, 1], [1, 2], [-1e8, 4], [-0.0, 8]], np.float32)


@case("core/combiner.reduce_sum/in-order", "features 2", needs=("combiner.reduce_sum",))
def _sum(session: Session) -> None:
    """A sum runs in index order from +0.0: 1e8 swallows what comes after it, and -0.0 alone becomes +0.0."""
    session.ask(combine("reduce_sum", VALUES, SPLITS))
    session.expect(floats=np.array([[0, 7], [0, 0], [0, 8], [0, 0]], np.float32))


@case(
    "core/combiner.reduce_mean/empty-is-zero",
    "features 2",
    needs=("combiner.reduce_mean",),
    without=("reduce_mean_empty_nan",),
)
def _mean(session: Session) -> None:
    """A mean is the sum times one over the count; that of an empty row is zero."""
    session.ask(combine("reduce_mean", VALUES, SPLITS))
    # 7 · float32(1/3), not 7 / 3: the last bit tells them apart.
    session.expect(floats=floats("00000000 40155556 00000000 00000000 00000000 41000000 00000000 00000000"))


@case(
    "core/combiner.reduce_mean/empty-is-nan",
    "features 2",
    needs=("combiner.reduce_mean",),
    quirks=("reduce_mean_empty_nan",),
)
def _mean_original(session: Session) -> None:
    """The original's mean of an empty row is NaN."""
    session.ask(combine("reduce_mean", VALUES, SPLITS))
    session.expect(floats=floats("00000000 40155556 7fc00000 7fc00000 00000000 41000000 7fc00000 7fc00000"))


@case("core/combiner.reduce_mean/gradient-counts-rows", "features 2", needs=("combiner.reduce_mean",))
def _mean_gradient(session: Session) -> None:
    """The gradient of a mean divides by the count of its own row, also where rows outnumber the width."""
    upstream = np.array([[3, 3], [5, 5], [7, 7], [9, 9]], np.float32)
    session.ask(combine("reduce_mean", VALUES, SPLITS, upstream=upstream))
    session.expect(floats=floats(" ".join(["3f800000"] * 6 + ["40e00000"] * 2)))


@case("core/combiner.reduce_sqrtn/zero-rows", "features 2", needs=("combiner.reduce_sqrtn",))
def _sqrtn(session: Session) -> None:
    """A gradient is that of the row times (embedding over root); a row of zeros gives zeros."""
    values = np.array([[3], [4], [0], [-0.0]], np.float32)
    session.ask(combine("reduce_sqrtn", values, [0, 2, 4]))
    session.expect(floats=np.array([5, 0], np.float32))
    session.ask(combine("reduce_sqrtn", values, [0, 2, 4], upstream=np.array([[13], [13]], np.float32)))
    session.expect(floats=floats("40f9999a 41266667 00000000 00000000"))


@case("core/combiner.first_n/pads-and-cuts", "features 2", needs=("combiner.first_n",), accuracy="exact")
def _first_n(session: Session) -> None:
    """first_n keeps the first n embeddings of a row in place, fills up with zeros, and turns -0.0 into +0.0."""
    values = np.array([[-0.0], [2], [3], [4]], np.float32)
    session.ask(combine("first_n", values, [0, 3, 3, 4], 2))
    session.expect(floats=np.array([0, 2, 0, 0, 4, 0], np.float32))
    session.ask(combine("first_n", values, [0, 3, 3, 4], 2, np.arange(1, 7, dtype=np.float32).reshape(3, 2, 1)))
    session.expect(floats=np.array([1, 2, 0, 5], np.float32))


@case("core/combiner.reduce_sum/gradient-is-a-copy", "features 2", needs=("combiner.reduce_sum",), accuracy="exact")
def _sum_gradient(session: Session) -> None:
    """The gradient of a sum is that of its row, bit for bit: NaN, -0.0 and subnormal numbers too."""
    upstream = floats("80000000 00000001 7fc00000 3f800000 7f800000 bf800000 40000000 40400000").reshape(4, 2)
    session.ask(combine("reduce_sum", VALUES, SPLITS, upstream=upstream))
    session.expect(floats=upstream[[0, 0, 0, 2]])


@case("core/combiner.reduce_sum/no-rows", "features 2", needs=("combiner.reduce_sum",), accuracy="exact")
def _nothing(session: Session) -> None:
    """A batch of no embeddings gives zeros for its rows."""
    session.ask(combine("reduce_sum", np.zeros((0, 3), np.float32), [0, 0, 0]))
    session.expect(floats=np.zeros(6, np.float32))
