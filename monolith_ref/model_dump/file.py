"""Dump files: read with clear errors, written back byte for byte, replaced as a whole. Rule: model_dump 7.5."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from google.protobuf.message import DecodeError
from monolith_protos import model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.canonical import canonical_bytes, canonical_chunks
from monolith_ref.model_dump.parsing import parse_whole_entries
from monolith_ref.model_dump.wire import locate_fault

__all__ = ["Dump", "parse_dump", "read_dump", "replace_file"]

SIZE_LIMIT = 2**31 - 1


class Dump:
    """A dump file in memory: ``message`` to look into and to edit, ``raw`` as it was read, ``path`` for messages."""

    def __init__(self, message: model_dump_pb2.ModelDump, raw: bytes | None = None, path: str | None = None) -> None:
        self.message = message
        self.raw = raw
        self.path = path

    @property
    def changed(self) -> bool:
        """Whether ``message`` is no longer what was read."""
        if self.raw is None:
            return True
        read = parse_dump(self.raw)
        # Equality is quick; a NaN is unequal to itself, so what differs is looked at again in canonical form.
        return self.message != read and canonical_bytes(self.message) != canonical_bytes(read)

    def to_bytes(self, *, canonical: bool = False) -> bytes:
        """The bytes as read where nothing was changed; else, and where asked for, the canonical form."""
        if not canonical and self.raw is not None and not self.changed:
            return self.raw
        return canonical_bytes(self.message)

    def write(self, path: str | PathLike[str], *, canonical: bool = False) -> None:
        """Replace the file at ``path``: a reader sees the old file or the new one, whenever the process ends."""
        if not canonical and self.raw is not None and not self.changed:
            replace_file(path, [self.raw])
        else:
            replace_file(path, canonical_chunks(self.message))


def read_dump(source: str | PathLike[str]) -> Dump:
    """Read a dump file.

    Raises
    ------
    DumpError
        ``unreadable`` (no such file), ``empty_file``, ``malformed`` (with byte offset and field path), ``no_train``.
    """
    path = os.fspath(source)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise DumpError(str(error.strerror or error), kind="unreadable", path=path) from None
    message = parse_dump(raw, path)
    if "train" not in message.model_dump:
        raise DumpError("there is no 'train' model in it", kind="no_train", path=path)
    return Dump(message, raw, path)


def parse_dump(raw: bytes, path: str | None = None) -> model_dump_pb2.ModelDump:
    """Parse the bytes of a dump file; whether it has a train model is not asked.

    Raises
    ------
    DumpError
        ``empty_file`` or ``malformed``.
    """
    if not raw:
        raise DumpError("the file is empty", kind="empty_file", path=path)
    if len(raw) > SIZE_LIMIT:
        raise DumpError(f"{len(raw)} bytes, where a message has at most {SIZE_LIMIT}", kind="malformed", path=path)
    try:
        return parse_whole_entries(model_dump_pb2.ModelDump, raw)
    except DecodeError as error:
        fault = locate_fault(raw, model_dump_pb2.ModelDump.DESCRIPTOR)
        if fault is None:
            raise DumpError(f"not a ModelDump ({error})", kind="malformed", path=path, offset=0) from None
        text = f"not a ModelDump: {fault.reason} (in {fault.path})"
        raise DumpError(text, kind="malformed", path=path, offset=fault.offset) from None


def replace_file(path: str | PathLike[str], chunks: Iterable[bytes]) -> None:
    """Write a file beside ``path`` and rename it over it once it is on the disk."""
    target = Path(path)
    name = target.parent / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise DumpError(str(error.strerror or error), kind="unwritable", path=str(target)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
