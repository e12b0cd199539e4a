"""Write a set of files so that it is whole or absent, on one rank or many. Rule: checkpoints 5.1.

1. every rank writes its files under temporary names and fsyncs them;
2. rank 0 writes the manifest, fsyncs it and renames it: from here on the new set is there;
3. every rank renames its files to their final names;
4. rank 0 removes files of the former set that the new one does not name.

All ranks meet between the steps and tell each other of errors, so that one rank's full disk is everybody's
CheckpointError and never a wait without end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from monolith_kernels import records
from numpy.typing import NDArray

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.container import SnappyBlocks, frame
from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.manifest import FileEntry, Manifest, read_manifest
from monolith_ref.errors import CheckpointError

__all__ = ["Ranks", "SetWriter", "Sink", "current_path", "verify_file", "verify_size"]


Report = dict[str, Any]
_READ = 4 << 20


class Ranks(Protocol):
    """What saving needs of a communicator."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def allgather_bytes(self, data: bytes, what: str) -> list[bytes]:
        """``data`` of every rank, in rank order."""
        ...


class Sink:
    """A record file under its temporary name; size, records and checksum are counted while it is written."""

    def __init__(self, root: Path, path: str, token: str, rank: int, compressed: bool = False) -> None:
        final = Path(path)
        self.path = path
        self.temporary = (final.parent / naming.temporary_name(final.name, token)).as_posix()
        self.bytes = 0
        self.records = 0
        self._crc = 0
        self._rank = rank
        self._root = root
        self._blocks = SnappyBlocks() if compressed else None
        self._descriptor = os.open(root / self.temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)

    def write(self, framed: memoryview, lengths: NDArray[np.int64]) -> None:
        """Append framed records with these payload lengths."""
        self.records += len(lengths)
        if self._blocks is None:
            self._put(framed)
        else:
            for piece in self._blocks.add(framed, lengths):
                self._put(memoryview(piece))

    def write_payloads(self, payloads: Iterable[bytes]) -> None:
        """Append records one by one."""
        for payload in payloads:
            self.write(memoryview(frame(payload)), np.array([len(payload)], np.int64))

    def close(self) -> FileEntry:
        """Write what waits, fsync, close."""
        for piece in self._blocks.finish() if self._blocks is not None else []:
            self._put(memoryview(piece))
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        return FileEntry(self.path, self.temporary, self.bytes, self.records, f"{self._crc:08x}", self._rank)

    def abandon(self) -> None:
        """Close and remove."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with contextlib.suppress(OSError):
            os.unlink(self._root / self.temporary)

    def _put(self, data: memoryview) -> None:
        self.bytes += len(data)
        self._crc = records.crc32c(np.frombuffer(data, np.uint8), self._crc)
        while len(data):
            data = data[os.write(self._descriptor, data) :]


class SetWriter:
    """One save. Make it on every rank, open sinks, then :meth:`commit`; all three are collective.

    ``manifest``: path of the manifest that the set will have; ``folders``: where its files lie, relative to it.
    Constructing it finishes what an interrupted save had committed and removes temporary files that no manifest names:
    of this set, or of every set in the directory where that is the writer's own (``alone``).
    """

    def __init__(self, manifest: str | Path, comm: Ranks, folders: Iterable[str] = (), alone: bool = False) -> None:
        self.target = Path(manifest)
        self.root = self.target.parent
        self.comm = comm
        self._sinks: list[Sink] = []
        self._entries: list[FileEntry] = []
        self._folders = sorted({".", *folders})
        self.former: Manifest | None = None
        with self._together("prepare"):
            if comm.rank == 0:
                self.root.mkdir(parents=True, exist_ok=True)
                _sync(self.root.parent, ["."])
                for folder in self._folders:
                    (self.root / folder).mkdir(parents=True, exist_ok=True)
                _recover(self.target, self._folders, alone)
                _sync(self.root, self._folders)
        with contextlib.suppress(CheckpointError):
            self.former = read_manifest(self.target)
        former = self.former.id if self.former else ""
        self._token = hashlib.sha256(f"{self.target.name} {former}".encode()).hexdigest()[:16]

    def sink(self, path: str, compressed: bool = False) -> Sink:
        """Begin a file; ``path`` relative to the manifest. Not collective."""
        sink = Sink(self.root, path, self._token, self.comm.rank, compressed)
        self._sinks.append(sink)
        return sink

    def finish(self, sink: Sink) -> None:
        """The file is complete."""
        self._entries.append(sink.close())

    @contextlib.contextmanager
    def writing(self) -> Any:
        """Where a rank writes its files: an error on any rank is an error on all, and nothing stays behind."""
        try:
            with self._together("write"):
                yield self
                _sync(self.root, self._folders)
        except BaseException:
            for sink in self._sinks:
                sink.abandon()
            raise

    def commit(self, report: Report, build: Callable[[list[FileEntry], list[Report]], Manifest]) -> Manifest:
        """Exchange the file lists and each rank's ``report``; rank 0 builds and publishes the manifest."""
        mine = {"files": [vars(entry) for entry in self._entries], "report": report}
        shared = [json.loads(data) for data in self.comm.allgather_bytes(json.dumps(mine).encode(), "checkpoint files")]
        files = [FileEntry(**item) for part in shared for item in part["files"]]
        manifest = build(sorted(files, key=lambda entry: entry.path), [part["report"] for part in shared])
        with self._together("publish"):
            if self.comm.rank == 0:
                self._publish(manifest.to_bytes())
        with self._together("rename"):
            for entry in self._entries:
                os.replace(self.root / entry.temporary, self.root / entry.path)
            _sync(self.root, self._folders)
        if self.comm.rank == 0:
            self._sweep(manifest)
        return manifest

    def _sweep(self, manifest: Manifest) -> None:
        """Remove what former sets of this name have left: their named files, and shard files that nobody names."""
        kept = {entry.path for entry in manifest.files}
        stale = {entry.path for entry in self.former.files} if self.former is not None else set()
        stem = self.target.name.removesuffix(naming.MANIFEST_SUFFIX)
        for folder in self._folders:
            for name in os.listdir(self.root / folder):
                mine = naming.split_shard_name(name) is not None and not naming.is_temporary(name)
                if mine and (folder != "." or naming.belongs(name, stem)):
                    stale.add((Path(folder) / name).as_posix())
        for path in sorted(stale - kept):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.root / path)

    def publish_foreign(self) -> list[Path]:
        """Rename the files without a manifest, as the original does; their paths. For one rank."""
        for entry in self._entries:
            os.replace(self.root / entry.temporary, self.root / entry.path)
        _sync(self.root, self._folders)
        return [self.root / entry.path for entry in self._entries]

    def _publish(self, data: bytes) -> None:
        temporary = self.root / naming.temporary_name(self.target.name, self._token)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            view = memoryview(data)
            while len(view):
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, self.target)
        _sync(self.root, ["."])

    @contextlib.contextmanager
    def _together(self, what: str) -> Any:
        """Run a step on this rank, then learn how it went on all."""
        problem: Exception | None = None
        try:
            yield
        except Exception as error:
            # Whatever it is, the others must hear of it before it goes on its way.
            problem = error
        text = "" if problem is None else str(problem) or type(problem).__name__
        texts = self.comm.allgather_bytes(text.encode(), f"checkpoint {what}")
        failed = [(rank, data.decode()) for rank, data in enumerate(texts) if data]
        if problem is not None and not isinstance(problem, OSError):
            raise problem
        if failed:
            rank, found = failed[0]
            whom = f"rank {rank}: " if self.comm.size > 1 else ""
            raise CheckpointError(f"could not {what} the checkpoint: {whom}{found}", path=str(self.target)) from problem


def current_path(root: Path, entry: FileEntry) -> Path:
    """The file to read now: under its temporary name where that exists, else under its final one."""
    temporary = root / entry.temporary
    return temporary if temporary.exists() else root / entry.path


def verify_size(path: Path, entry: FileEntry) -> None:
    """CheckpointError (``manifest_mismatch``) unless the file has the size of the manifest."""
    try:
        size = os.stat(path).st_size
    except OSError as error:
        raise damage("manifest_mismatch", f"cannot be read: {error.strerror}", path) from error
    if size != entry.bytes:
        raise damage("manifest_mismatch", f"{size} bytes, the manifest says {entry.bytes}", path)


def verify_file(root: Path, entry: FileEntry) -> None:
    """CheckpointError (``manifest_mismatch``) unless the file has the size and checksum of the manifest."""
    path = current_path(root, entry)
    if not path.exists():
        # A writer may have given it its final name just now.
        path = current_path(root, entry)
    verify_size(path, entry)
    try:
        with open(path, "rb", buffering=0) as file:
            crc = 0
            buffer = np.empty(_READ, np.uint8)
            while count := file.readinto(buffer.data):
                crc = records.crc32c(buffer[:count], crc)
    except OSError as error:
        raise damage("manifest_mismatch", f"cannot be read: {error.strerror}", path) from error
    if f"{crc:08x}" != entry.crc32c:
        raise damage("manifest_mismatch", f"crc32c {crc:08x}, the manifest says {entry.crc32c}", path)


def _recover(target: Path, folders: list[str], alone: bool) -> None:
    """Finish committed sets whose files still have temporary names; remove temporaries that no manifest names."""
    root, stem = target.parent, target.name.removesuffix(naming.MANIFEST_SUFFIX)
    manifests = sorted(root.glob("*" + naming.MANIFEST_SUFFIX)) if alone else [target]
    for path in manifests:
        with contextlib.suppress(CheckpointError):
            for entry in read_manifest(path).files:
                if (root / entry.temporary).exists():
                    os.replace(root / entry.temporary, root / entry.path)
    if alone:
        folders = [".", *(path.name for path in sorted(root.glob("*" + naming.ASSETS_SUFFIX)))]
    for folder in folders:
        for name in sorted(os.listdir(root / folder)):
            if naming.is_temporary(name) and (alone or naming.belongs(naming.final_name(name), stem)):
                os.unlink(root / folder / name)


def _sync(root: Path, folders: Iterable[str]) -> None:
    """fsync directories."""
    for folder in folders:
        descriptor = os.open(root / folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
