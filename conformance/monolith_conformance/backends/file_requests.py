"""What the file requests of the protocol mean, for backends in this process: oracle and engine alike.

``path`` is the beginning of the files' names, as in ``folder/name`` for ``folder/name-00000-of-00001``; ``shards`` 0 is
the number that the original chooses.

* ``single.write``, ``single.read``: the rows of ``table``; reading clears it first. ``ints`` is the number of rows.
* ``multi.write``, ``multi.read``: several tables; ``table`` names them: ``a=t1 b=t2`` says that t1 is a in the files.
  ``ints`` is their rows in order of names.
* ``filter.write``, ``filter.read``: the filter in front of ``table``; ``ints`` is the number of its splits.
* ``job.write``, ``delta.write``, ``job.read``: a whole set of several tables in the folder ``path``, increments after
  it, and the newest of both; ``shards`` is the step. ``ints`` as for multi.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from monolith_protos import testee_pb2

from monolith_conformance.backend import Missing
from monolith_conformance.backends.sync_requests import SyncBackend
from monolith_conformance.backends.tables import TableAdaptor
from monolith_ref.errors import ArgumentError

__all__ = ["FileBackend", "Tables"]

Tables = Mapping[str, TableAdaptor]
"""Tables by their names in the files, ascending."""


class FileBackend(SyncBackend):
    """Tables, steps on them, and their files."""

    file_ops: tuple[str, ...] = (
        "single.write", "single.read", "multi.write", "multi.read", "filter.write", "filter.read",
    )  # fmt: skip

    def capabilities(self) -> list[str]:
        return super().capabilities() + [f"checkpoint.{op}" for op in self.file_ops]

    @abstractmethod
    def write_single(self, table: TableAdaptor, path: Path, shards: int) -> int:
        """Write the files of one table; returns its rows in them."""

    @abstractmethod
    def read_single(self, table: TableAdaptor, path: Path) -> int:
        """Check all files, clear the table, fill it; returns its rows."""

    @abstractmethod
    def write_multi(self, tables: Tables, path: Path, shards: int) -> list[int]:
        """Write the files of several tables; returns the rows of each in them."""

    @abstractmethod
    def read_multi(self, tables: Tables, path: Path) -> list[int]:
        """Check all files, clear the tables, fill them; returns the rows of each."""

    @abstractmethod
    def write_filter(self, table: TableAdaptor, path: Path) -> int:
        """Write the filter in front of a table; returns the number of its splits."""

    @abstractmethod
    def read_filter(self, table: TableAdaptor, path: Path) -> int:
        """Check all files, continue the filter in front of a table from them; returns the number of splits."""

    def write_job(self, tables: Tables, folder: Path, step: int, delta: bool) -> list[int]:
        """Write a set of several tables, or what changed since the last one; returns the rows of each table."""
        raise Missing("checkpoint.delta.write" if delta else "checkpoint.job.write")

    def read_job(self, tables: Tables, folder: Path) -> list[int]:
        """Fill tables from the newest set and the increments after it; returns the rows of each."""
        raise Missing("checkpoint.job.read")

    def files(self, message: testee_pb2.Files) -> testee_pb2.Result:
        if message.op not in self.file_ops:
            raise Missing(f"checkpoint.{message.op}")
        path = Path(message.path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What is worth a warning to people is no fault here.
            return testee_pb2.Result(ints=self._files(message, path))

    def _files(self, message: testee_pb2.Files, path: Path) -> list[int]:
        kind, _, verb = message.op.partition(".")
        if kind == "single":
            table = self.table(message.table)
            return [
                self.write_single(table, path, message.shards) if verb == "write" else self.read_single(table, path)
            ]
        if kind == "filter":
            table = self.table(message.table)
            return [self.write_filter(table, path) if verb == "write" else self.read_filter(table, path)]
        tables = self._tables(message.table)
        if kind == "multi":
            return self.write_multi(tables, path, message.shards) if verb == "write" else self.read_multi(tables, path)
        if verb == "write":
            return self.write_job(tables, path, message.shards, kind == "delta")
        return self.read_job(tables, path)

    def _tables(self, text: str) -> dict[str, TableAdaptor]:
        """Tables by the names that ``a=t1 b=t2`` gives them."""
        named = {}
        for word in text.split():
            name, equals, table = word.partition("=")
            if not equals or name in named:
                raise ArgumentError(f"tables {text!r}; expected name=table, each name once")
            named[name] = self.table(table)
        if not named:
            raise ArgumentError("no tables are named")
        return dict(sorted(named.items(), key=lambda item: item[0].encode()))
