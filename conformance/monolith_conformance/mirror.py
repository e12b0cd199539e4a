"""A backend and the oracle side by side: every request goes to both, and the answers must agree.

What a case cannot state as fixed bits it asks the oracle, through the same requests that the backend under test gets:
the transcript then holds what was expected, and can be replayed without the oracle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2
from numpy.typing import ArrayLike, NDArray

from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.session import Session, Table

__all__ = ["Mirror", "MirroredTable"]

JUDGED = ("flags", "floats", "ints", "entries", "blob")


class Mirror:
    """The oracle beside a session, from the beginning of its random streams."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.oracle = OracleBackend()
        self.oracle.open(session.profile, session.quirks)

    def table(self, config: hash_table_pb2.EmbeddingHashTableConfig, filter_kind: str = "") -> MirroredTable:
        """A new table on both sides."""
        table = self.session.table(config, filter_kind)
        create = testee_pb2.Request()
        create.create.CopyFrom(self.session.transcript.steps[-1].request.create)
        self.oracle.answer(create)
        return MirroredTable(self, table)

    def ask(self, request: testee_pb2.Request) -> testee_pb2.Result:
        """Send a request to both; the backend must answer as the oracle does, or refuse where the oracle refuses."""
        copy = testee_pb2.Request()
        copy.CopyFrom(request)
        wanted = self.oracle.answer(copy)
        kind = wanted.WhichOneof("kind")
        if kind == "error":
            self.session.expect_error(request)
        elif kind == "result":
            self.session.ask(request)
            self.session.expect(**_fields(wanted.result))
        else:
            raise AssertionError(f"the oracle does not know {request.WhichOneof('kind')}: {wanted}")
        return wanted.result


def _fields(result: testee_pb2.Result) -> dict[str, Any]:
    return {name: getattr(result, name) for name in JUDGED}


class MirroredTable:
    """One table on both sides; ``op`` as of :class:`~monolith_conformance.session.Table`."""

    def __init__(self, mirror: Mirror, table: Table) -> None:
        self._mirror = mirror
        self.table = table
        self.dim = table.dim

    def op(
        self,
        op: str,
        ids: Iterable[int] = (),
        floats: ArrayLike = (),
        rates: Sequence[float] | NDArray[np.float32] = (),
        **more: Any,
    ) -> testee_pb2.Result:
        """Send one operation to both; returns the oracle's result."""
        return self._mirror.ask(self.table.request(op, ids, floats, rates, **more))

    def compare(self) -> None:
        """Everything that a table shows: rows with state and times where it can be saved, else the size."""
        can = self._mirror.session.can
        if can("table.save"):
            self.op("save")
        if can("table.size"):
            self.op("size")
