"""What the dump requests of the protocol mean, for backends in this process: oracle and engine alike.

``file`` is a dump file's content; what comes back is in ``blob``. A file that must be refused is an error.

* ``read``: a line ``model NAME`` for each model, in order of the names' bytes;
* ``canonical``: the canonical form;
* ``slice``: of one graph. ``argument`` is lines: ``graph FIELD KEY`` first (as in ``graph model_dump train``), then
  ``dest REFERENCE`` and ``source REFERENCE``. The answer is lines too: ``node NAME`` in order of the file, ``input
  REFERENCE CONSUMER…`` for what comes from outside, ``dest REFERENCE`` for what was cut itself, ``variable NAME``,
  ``function NAME``, ``gradient FUNCTION GRADIENT``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from monolith_protos import testee_pb2

from monolith_conformance.backend import Missing
from monolith_conformance.backends.file_requests import FileBackend
from monolith_ref.errors import ArgumentError

__all__ = ["DumpBackend"]

OPS = ("read", "canonical", "slice")


class DumpBackend(FileBackend):
    """Tables, their files, and dump files."""

    def capabilities(self) -> list[str]:
        return super().capabilities() + [f"dump.{op}" for op in OPS]

    @abstractmethod
    def models_of(self, data: bytes) -> Iterable[str]:
        """Names of the models of a dump that is sound."""

    @abstractmethod
    def canonical_of(self, data: bytes) -> bytes:
        """The canonical form of a dump."""

    @abstractmethod
    def slice_of(self, data: bytes, graph: tuple[str, str], dests: Sequence[str], sources: Sequence[str]) -> list[str]:
        """The slice, a fact a line."""

    def dump(self, message: testee_pb2.Dump) -> testee_pb2.Result:
        if message.op == "read":
            lines = [f"model {name}" for name in sorted(self.models_of(message.file), key=str.encode)]
            return testee_pb2.Result(blob="\n".join(lines).encode())
        if message.op == "canonical":
            return testee_pb2.Result(blob=self.canonical_of(message.file))
        if message.op != "slice":
            raise Missing(f"dump.{message.op}")
        graph, dests, sources = _parsed(message.argument)
        return testee_pb2.Result(blob="\n".join(self.slice_of(message.file, graph, dests, sources)).encode())


def _parsed(argument: str) -> tuple[tuple[str, str], list[str], list[str]]:
    graph: tuple[str, str] | None = None
    found: dict[str, list[str]] = {"dest": [], "source": []}
    for line in argument.splitlines():
        word, _, rest = line.partition(" ")
        if word == "graph" and graph is None:
            field, _, key = rest.partition(" ")
            graph = field, key
        elif word in found:
            found[word].append(rest)
        else:
            raise ArgumentError(f"line {line!r}; there are graph (once), dest and source")
    if graph is None:
        raise ArgumentError("no graph is named")
    return graph, found["dest"], found["source"]
