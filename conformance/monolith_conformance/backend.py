"""What an implementation must offer to be held against the reference: one method that answers requests.

Requests and replies are the messages of the out-of-process protocol, so that a library in this process and a program
at the end of a pipe are the same thing to the suite. An in-process backend derives from :class:`DirectBackend` and
writes one method a request kind; it declares what it can do as capabilities (rule: testee).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from monolith_protos import testee_pb2

from monolith_ref.errors import MonolithRefError, UnsupportedError
from monolith_ref.quirks import Quirks

if TYPE_CHECKING:
    from monolith_ref.sync.communicator import Communicator

__all__ = ["PROTOCOL", "Backend", "BackendFault", "DirectBackend", "Missing"]

PROTOCOL = 1


class Missing(Exception):
    """Raised by a backend for a request outside its capabilities; the argument names the capability."""


class BackendFault(Exception):
    """The backend itself broke: it died, fell silent or answered garbage. The runner restarts it and replays once.

    Attributes
    ----------
    kind : str
        ``start``, ``died``, ``silent``, ``flood``, ``garbage``, ``wrong_seq``, ``unasked``, ``no_hello`` or ``raised``.
    stderr : str
        What it said about it.
    """

    def __init__(self, kind: str, message: str, stderr: str = "") -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.stderr = stderr


class Backend(ABC):
    """An implementation under test."""

    name: str = "backend"
    spans_ranks: ClassVar[bool] = False
    """Whether :meth:`over_ranks` gives a backend whose reductions run on real ranks."""
    exchanges: int = 0
    """Steps that went from rank to rank so far."""

    def over_ranks(self, communicator: Communicator) -> Backend:
        """This implementation on all ranks of a communicator, each holding a part: asked the same on every rank."""
        raise UnsupportedError(f"{self.name} does not run on several ranks")

    @abstractmethod
    def open(self, profile: str, quirks: Quirks) -> testee_pb2.HelloReply:
        """Start afresh: no tables, random streams at their beginning. Called before the first case and after a fault.

        Parameters
        ----------
        profile : str
            ``ieee`` or ``avx``: the rounding contract that the run asks for.
        quirks : Quirks
            The switches in force.
        """

    @abstractmethod
    def answer(self, request: testee_pb2.Request) -> testee_pb2.Reply:
        """The reply to one request, with its ``seq``. Raises :class:`BackendFault` where there is none."""

    def close(self) -> None:  # noqa: B027 - most backends have nothing to let go of
        """Let go of everything; the backend may be opened again."""


class DirectBackend(Backend):
    """A backend in this process: one method a request kind, each returning a ``Result``.

    A method that is not overridden makes its requests unsupported. :class:`Missing` becomes an ``unsupported`` reply,
    an error of ours an ``error`` reply, and any other exception a fault.
    """

    language: ClassVar[str] = "Python"
    version: str = "1"

    def open(self, profile: str, quirks: Quirks) -> testee_pb2.HelloReply:
        self.start(profile, quirks)
        return testee_pb2.HelloReply(
            protocol=PROTOCOL,
            name=self.name,
            version=self.version,
            language=self.language,
            capabilities=sorted(self.capabilities()),
        )

    def answer(self, request: testee_pb2.Request) -> testee_pb2.Reply:
        reply = testee_pb2.Reply(seq=request.seq)
        kind = request.WhichOneof("kind")
        try:
            method = getattr(self, kind or "", None)
            if kind is None or method is None:
                raise Missing(str(kind))
            reply.result.CopyFrom(method(getattr(request, kind)))
        except Missing as missing:
            reply.unsupported.capability = str(missing)
        except MonolithRefError as error:
            reply.error.kind = type(error).__name__
            reply.error.message = str(error)
        except BackendFault:
            raise
        except Exception as error:
            raise BackendFault("raised", f"{type(error).__name__}: {error}") from error
        return reply

    @abstractmethod
    def start(self, profile: str, quirks: Quirks) -> None:
        """Forget everything and take the profile and switches of a new run."""

    @abstractmethod
    def capabilities(self) -> Iterable[str]:
        """The names of what this backend can do."""

    def create(self, message: testee_pb2.Create) -> testee_pb2.Result:
        """Make an empty table."""
        raise Missing("create")

    def drop(self, message: testee_pb2.Drop) -> testee_pb2.Result:
        """Forget a table."""
        raise Missing("drop")

    def op(self, message: testee_pb2.Op) -> testee_pb2.Result:
        """One operation on one table."""
        raise Missing(f"table.{message.op}")

    def combine(self, message: testee_pb2.Combine) -> testee_pb2.Result:
        """A combiner, or its gradient where ``upstream`` is set."""
        raise Missing(f"combiner.{message.kind}")

    def filter(self, message: testee_pb2.Filter) -> testee_pb2.Result:
        """A fresh admission filter, and operations on it."""
        raise Missing(f"filter.{message.kind}")

    def sync(self, message: testee_pb2.Sync) -> testee_pb2.Result:
        """All ranks' parts of one step reduced at one owner."""
        raise Missing(f"sync.{message.reduction}")

    def files(self, message: testee_pb2.Files) -> testee_pb2.Result:
        """Write or read a checkpoint."""
        raise Missing(f"checkpoint.{message.op}")

    def dump(self, message: testee_pb2.Dump) -> testee_pb2.Result:
        """Something done to a ModelDump file."""
        raise Missing(f"dump.{message.op}")
