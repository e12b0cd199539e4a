"""One list of requests put to a backend and to the oracle: whether they still disagree, and where.

A trial needs no expectation of its own: whatever requests are left after shrinking, the oracle's answers are the
expected ones. A list that the oracle itself refuses shows nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from monolith_protos import testee_pb2

from monolith_conformance.accuracy import Accuracy
from monolith_conformance.backend import Backend, BackendFault
from monolith_conformance.backends.oracle import OracleBackend
from monolith_conformance.replaying import judge_step
from monolith_conformance.transcript import Mismatch, Step, Transcript
from monolith_ref.quirks import Quirks

__all__ = ["Budget", "Shown", "Trials", "copied"]


@dataclass
class Budget:
    """Seconds on the clock that may be spent; ``spent`` once they are over."""

    seconds: float

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.seconds

    @property
    def spent(self) -> bool:
        return time.monotonic() >= self._until


@dataclass(frozen=True)
class Shown:
    """A disagreement: the steps up to it, with the oracle's answers as what is expected, and the first difference."""

    steps: tuple[Step, ...]
    mismatch: Mismatch

    @property
    def transcript(self) -> Transcript:
        """The steps, ready to be saved and replayed."""
        return Transcript(list(self.steps))


def copied(step: Step) -> Step:
    """A step that may be changed without touching the original."""
    request = testee_pb2.Request()
    request.CopyFrom(step.request)
    request.ClearField("seq")
    return Step(request, judged=step.judged, refused=step.refused)


class Trials:
    """Plays step lists on one backend and on the oracle, from a fresh start or among tables that it drops itself.

    Parameters
    ----------
    backend : Backend
        The implementation that fails; opened here as often as needed.
    profile, quirks, accuracy
        As in the run that failed.
    fresh : bool
        Whether every trial needs a new start (random streams at their beginning).

    Attributes
    ----------
    like : Mismatch or None
        What a disagreement must resemble to count: smaller requests should show the same failure, not another one.
    """

    def __init__(self, backend: Backend, profile: str, quirks: Quirks, accuracy: Accuracy, fresh: bool) -> None:
        self._backend, self._oracle = backend, OracleBackend()
        self._profile, self._quirks, self._accuracy, self._fresh = profile, quirks, accuracy, fresh
        self._opened = False
        self._tables: list[str] = []
        self.like: Mismatch | None = None

    def show(self, steps: Sequence[Step], *, fresh: bool = False) -> Shown | None:
        """The first disagreement over these steps; None where there is none, or where the oracle refuses one."""
        played: list[Step] = []
        try:
            self._begin(fresh or self._fresh)
            for number, old in enumerate(steps):
                step = copied(old)
                played.append(step)
                if not self._expect(step, number):
                    return None
                if step.request.HasField("create"):
                    self._tables.append(step.request.create.table)
                step.reply = self._ask(self._backend, step.request, number)
                mismatch = self._judge(step, number)
                if mismatch is not None:
                    return self._accepted(Shown(tuple(played), mismatch))
        except BackendFault as fault:
            self._opened = False
            if not played:
                return None
            return self._accepted(Shown(tuple(played), Mismatch(len(played) - 1, fault.kind, fault.message, "a reply")))
        return None

    def _accepted(self, shown: Shown) -> Shown | None:
        if self.like is None:
            return shown
        new, old = shown.mismatch, self.like
        alike = new.what.split("[")[0] == old.what.split("[")[0] and (new.ulps is None) == (old.ulps is None)
        return shown if alike else None

    def close(self) -> None:
        """Let go of the backend."""
        self._backend.close()
        self._opened = False

    def _begin(self, fresh: bool) -> None:
        if fresh or not self._opened:
            self._backend.close()
            self._backend.open(self._profile, self._quirks)
            self._oracle.open(self._profile, self._quirks)
            self._opened = True
        else:
            for table in self._tables:
                drop = testee_pb2.Request(drop=testee_pb2.Drop(table=table))
                self._ask(self._oracle, drop, 0)
                self._ask(self._backend, drop, 0)
        self._tables = []

    def _expect(self, step: Step, number: int) -> bool:
        """Take the oracle's answer as the expected one; False where it is none that could be expected."""
        reply = self._ask(self._oracle, step.request, number)
        kind = reply.WhichOneof("kind")
        if step.refused:
            return bool(kind == "error")
        if kind != "result":
            return False
        step.expected = reply.result
        return True

    def _judge(self, step: Step, number: int) -> Mismatch | None:
        assert step.reply is not None
        if step.judged or step.refused:
            return judge_step(number, step, self._accuracy)
        kind = step.reply.WhichOneof("kind")
        step.expected = None
        if kind == "result":
            return None
        text = f"{step.reply.error.kind}: {step.reply.error.message}" if kind == "error" else str(kind)
        return Mismatch(number, "reply", text, "a result")

    @staticmethod
    def _ask(backend: Backend, request: testee_pb2.Request, number: int) -> testee_pb2.Reply:
        sent = testee_pb2.Request()
        sent.CopyFrom(request)
        sent.seq = number + 1
        return backend.answer(sent)
