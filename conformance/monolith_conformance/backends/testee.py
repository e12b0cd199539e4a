"""Any program that speaks the protocol, as a backend."""

from __future__ import annotations

from collections.abc import Sequence

from monolith_protos import testee_pb2

from monolith_conformance.backend import Backend
from monolith_conformance.testee.framing import ENCODINGS
from monolith_conformance.testee.process import Program
from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks

__all__ = ["TesteeBackend"]


class TesteeBackend(Backend):
    """Starts ``command`` when it is opened, and again after a fault."""

    def __init__(self, command: Sequence[str], encoding: str = "protobuf", time_limit: float = 10.0) -> None:
        if not command:
            raise ConfigError("testee: needs a command, as in --backend 'testee:./my-testee'")
        if encoding not in ENCODINGS:
            raise ConfigError(f"encoding {encoding!r}: there are {', '.join(ENCODINGS)}")
        self.name = f"testee:{' '.join(command)}"
        self._command = list(command)
        self._encoding = encoding
        self._time_limit = time_limit
        self._program: Program | None = None

    def open(self, profile: str, quirks: Quirks) -> testee_pb2.HelloReply:
        from monolith_conformance.runner import SUITE_VERSION

        self.close()
        self._program = Program(self._command, self._encoding, self._time_limit)
        return self._program.hello(SUITE_VERSION, profile, sorted(quirks))

    def answer(self, request: testee_pb2.Request) -> testee_pb2.Reply:
        assert self._program is not None, "open comes first"
        return self._program.exchange(request)

    def close(self) -> None:
        if self._program is not None:
            self._program.close()
            self._program = None
