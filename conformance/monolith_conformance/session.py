"""One backend during one run, as the cases see it: ask, expect, and a transcript of both."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2
from numpy.typing import ArrayLike, NDArray

from monolith_conformance.accuracy import EXACT, Accuracy
from monolith_conformance.backend import Backend
from monolith_conformance.replaying import judge_step
from monolith_conformance.transcript import Mismatch, Step, Transcript, compare_results
from monolith_ref.quirks import Quirks

__all__ = ["CaseFailed", "RefusedClaim", "Search", "Session", "Table"]


class CaseFailed(Exception):
    """A reply was not what it should be."""

    def __init__(self, mismatch: Mismatch) -> None:
        super().__init__(str(mismatch))
        self.mismatch = mismatch


class RefusedClaim(Exception):
    """The backend answered ``unsupported``; the argument is the capability that it named."""


@dataclass(frozen=True)
class Search:
    """How generated cases look for examples that no run had yet: how many, from which seed, kept in which folder."""

    examples: int
    seed: int
    folder: str


class Session:
    """Requests to one opened backend.

    Attributes
    ----------
    profile : str
        Rounding contract of the run.
    quirks : Quirks
        Switches in force.
    capabilities : frozenset of str
        What the backend said it can do.
    transcript : Transcript
        Steps since :meth:`begin`.
    accuracy : Accuracy
        How far floats may be off; the runner sets it a case.
    full : bool
        Whether generated cases may take their long budget.
    search : Search or None
        Where generated cases are to try other examples than in every run.
    """

    def __init__(self, backend: Backend, profile: str, quirks: Quirks) -> None:
        self.backend = backend
        self.profile = profile
        self.quirks = quirks
        self.full = False
        self.search: Search | None = None
        self.transcript = Transcript()
        self.accuracy: Accuracy = EXACT
        self.capabilities: frozenset[str] = frozenset()
        self.info = testee_pb2.HelloReply()
        self._tables: list[str] = []
        self._seq = 0
        self._number = 0
        self._scratch: Path | None = None

    def open(self) -> None:
        """Start the backend afresh."""
        self.info = self.backend.open(self.profile, self.quirks)
        self.capabilities = frozenset(self.info.capabilities)
        self._tables = []

    def begin(self) -> None:
        """Begin a case or an example: drop the tables of the last one, forget its transcript."""
        for table in self._tables:
            request = testee_pb2.Request()
            request.drop.table = table
            self._exchange(request)
        self._tables = []
        self.transcript = Transcript()

    def can(self, *capabilities: str) -> bool:
        """Whether the backend has all of these."""
        return self.capabilities.issuperset(capabilities)

    def ask(self, request: testee_pb2.Request) -> testee_pb2.Result:
        """Send a request and return its result; an error reply fails the case."""
        reply = self.ask_anything(request)
        kind = reply.WhichOneof("kind")
        if kind == "unsupported":
            raise RefusedClaim(reply.unsupported.capability)
        if kind != "result":
            text = f"{reply.error.kind}: {reply.error.message}" if kind == "error" else str(kind)
            raise CaseFailed(Mismatch(len(self.transcript) - 1, "reply", text, "a result"))
        return reply.result

    def ask_anything(self, request: testee_pb2.Request) -> testee_pb2.Reply:
        """Send a request and return whatever comes."""
        step = Step(request)
        self.transcript.steps.append(step)
        step.reply = self._exchange(request)
        return step.reply

    def expect(self, **fields: Any) -> None:
        """Hold the last reply against these fields of ``Result``; floats may be given as an array."""
        step = self.transcript.steps[-1]
        wanted = {name: _as_field(name, value) for name, value in fields.items()}
        step.expected = testee_pb2.Result(**wanted)
        step.judged = tuple(fields)
        assert step.reply is not None
        mismatch = compare_results(len(self.transcript) - 1, step.reply, step.expected, step.judged, self.accuracy)
        if mismatch is not None:
            raise CaseFailed(mismatch)

    def expect_error(self, request: testee_pb2.Request) -> None:
        """The request must be answered by an error, and leave everything as it was."""
        reply = self.ask_anything(request)
        self.transcript.steps[-1].refused = True
        kind = reply.WhichOneof("kind")
        if kind == "unsupported":
            raise RefusedClaim(reply.unsupported.capability)
        if kind != "error":
            raise CaseFailed(Mismatch(len(self.transcript) - 1, "reply", str(kind), "an error"))

    def play(self, step: Step) -> None:
        """Send a recorded request and hold the reply against what was recorded; tables it makes are dropped later."""
        made = Step(step.request, step.expected, step.judged, step.refused)
        self.transcript.steps.append(made)
        made.reply = self._exchange(step.request)
        if made.reply.WhichOneof("kind") == "unsupported":
            raise RefusedClaim(made.reply.unsupported.capability)
        if step.request.HasField("create"):
            self._tables.append(step.request.create.table)
        mismatch = judge_step(len(self.transcript) - 1, made, self.accuracy)
        if mismatch is not None:
            raise CaseFailed(mismatch)

    def folder(self) -> Path:
        """A new empty folder, for files that the backend reads or writes; it goes when the session does."""
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="monolith-conformance-"))
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        self._number += 1
        made = self._scratch / f"f{self._number}"
        made.mkdir()
        return made

    def fail(self, what: str, actual: object, expected: object) -> None:
        """Fail the case at the last request for a reason of its own (an event that did not happen, say)."""
        raise CaseFailed(Mismatch(len(self.transcript) - 1, what, str(actual), str(expected)))

    def table(self, config: hash_table_pb2.EmbeddingHashTableConfig, filter_kind: str = "") -> Table:
        """A new empty table; dropped when the next case begins."""
        self._number += 1
        name = f"t{self._number}"
        request = testee_pb2.Request()
        request.create.table = name
        request.create.config = config.SerializeToString(deterministic=True)
        request.create.filter = filter_kind
        self.ask(request)
        self._tables.append(name)
        return Table(self, name, sum(segment.dim_size for segment in config.entry_config.segments))

    def _exchange(self, request: testee_pb2.Request) -> testee_pb2.Reply:
        self._seq += 1
        request.seq = self._seq
        return self.backend.answer(request)


class Table:
    """Operations on one table of the backend; each returns the result and can be followed by ``session.expect``."""

    def __init__(self, session: Session, name: str, dim: int) -> None:
        self.session = session
        self.name = name
        self.dim = dim

    def op(
        self,
        op: str,
        ids: Iterable[int] = (),
        floats: ArrayLike = (),
        rates: Sequence[float] | NDArray[np.float32] = (),
        *,
        time: int = 0,
        global_step: int = 0,
        dedup: bool = False,
        entries: Iterable[bytes] = (),
    ) -> testee_pb2.Result:
        """Send one operation (names and meanings: golden/FORMAT-table_traces)."""
        return self.session.ask(
            self.request(op, ids, floats, rates, time=time, global_step=global_step, dedup=dedup, entries=entries)
        )

    def request(
        self,
        op: str,
        ids: Iterable[int] = (),
        floats: ArrayLike = (),
        rates: Sequence[float] | NDArray[np.float32] = (),
        *,
        time: int = 0,
        global_step: int = 0,
        dedup: bool = False,
        entries: Iterable[bytes] = (),
    ) -> testee_pb2.Request:
        """The request of :meth:`op`, unsent."""
        request = testee_pb2.Request()
        message = request.op
        message.table, message.op = self.name, op
        message.ids.extend(int(fid) for fid in ids)
        message.floats = _float_bytes(floats)
        message.rates = _float_bytes(rates)
        message.time, message.global_step, message.dedup = time, global_step, dedup
        message.entries.extend(entries)
        return request

    def lookup(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Rows of ``ids``: float32 [n, dim]."""
        floats = np.frombuffer(self.op("lookup", ids).floats, "<f4")
        if floats.size != len(ids) * self.dim:
            self.session.fail("floats", f"{floats.size} floats", f"{len(ids) * self.dim} floats")
        return floats.reshape(len(ids), self.dim)


def _float_bytes(values: ArrayLike) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()


def _as_field(name: str, value: Any) -> Any:
    return _float_bytes(value) if name == "floats" and not isinstance(value, bytes) else value
