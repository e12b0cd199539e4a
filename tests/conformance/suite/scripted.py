"""A backend that does what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monolith_conformance.backend import DirectBackend
from monolith_conformance.cases.case import Case
from monolith_conformance.session import Session
from monolith_protos import testee_pb2

from monolith_ref.quirks import Quirks

Answer = Callable[[testee_pb2.Op], testee_pb2.Result]


class Scripted(DirectBackend):
    """Answers every operation by ``answer``; counts how often it was opened."""

    name = "scripted"

    def __init__(self, answer: Answer, capabilities: Sequence[str] = ("table.size",)) -> None:
        self._answer = answer
        self._capabilities = capabilities
        self.opened = 0

    def start(self, profile: str, quirks: Quirks) -> None:
        self.opened += 1

    def capabilities(self) -> Sequence[str]:
        return self._capabilities

    def op(self, message: testee_pb2.Op) -> testee_pb2.Result:
        return self._answer(message)


def size_case(expected: int = 3, **settings: object) -> Case:
    """A case that expects ``size`` to answer ``expected``."""

    def judge(session: Session) -> None:
        request = testee_pb2.Request()
        request.op.op = "size"
        session.ask(request)
        session.expect(ints=[expected])

    defaults: dict[str, object] = {"id": "table/size/x", "rule": "three rows", "section": "tables 1", "judge": judge}
    defaults["needs"] = frozenset({"table.size"})
    return Case(**{**defaults, **settings})  # type: ignore[arg-type]
