"""Job checkpoints: every rank's tables, the dense variables and one manifest, whole or absent. Rule: checkpoints 5.

write_job_checkpoint(directory, step, tables, dense, comm, ...)      # collective: every rank calls it
checkpoint = latest(directory)                                       # the newest with a valid manifest, or None
checkpoint.verify_files()                                            # sizes and checksums, before anything changes
for rows in checkpoint.rows("MonolithHashTable_x", rank, size): store.import_(rows)
variables = checkpoint.dense()
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.commit import current_path, verify_file
from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.checkpoint.content import TableContent, shape_of_config
from monolith_ref.checkpoint.dense import read_dense
from monolith_ref.checkpoint.filters import FILTER_STEM, read_filter, state_of_entry
from monolith_ref.checkpoint.increment import GONE_SUFFIX, chain_of, read_gone
from monolith_ref.checkpoint.job_writer import DELTA_SUFFIX, DENSE_SUFFIX, MULTI_STEM, PREFIX, write_job_checkpoint
from monolith_ref.checkpoint.manifest import Manifest, TableEntry, read_manifest
from monolith_ref.checkpoint.rows import Decoded
from monolith_ref.checkpoint.tables import META_SUFFIX, read_meta, read_multi, read_single
from monolith_ref.errors import CheckpointError
from monolith_ref.table.admission import FilterState
from monolith_ref.table.row_codec import StagedRows
from monolith_ref.table.store import RowDump

__all__ = [
    "JobCheckpoint",
    "TableContent",
    "latest",
    "manifest_path",
    "open_checkpoint",
    "prune",
    "steps",
    "write_job_checkpoint",
]


def manifest_path(directory: str | Path, step: int, delta: bool = False) -> Path:
    """Where the manifest of that step is."""
    return Path(directory) / f"{PREFIX}{step}{DELTA_SUFFIX if delta else ''}{naming.MANIFEST_SUFFIX}"


def steps(directory: str | Path) -> list[int]:
    """Steps that have a full set or an increment with a valid manifest, ascending."""
    root = Path(directory)
    found = set()
    for path in root.glob(f"{PREFIX}*{naming.MANIFEST_SUFFIX}"):
        text = path.name[len(PREFIX) : -len(naming.MANIFEST_SUFFIX)].removesuffix(DELTA_SUFFIX)
        if text.isdecimal():
            with contextlib.suppress(CheckpointError):
                read_manifest(path)
                found.add(int(text))
    return sorted(found)


def latest(directory: str | Path) -> JobCheckpoint | None:
    """The checkpoint of the highest step whose manifest is valid, or None."""
    found = steps(directory)
    return open_checkpoint(directory, found[-1]) if found else None


def open_checkpoint(directory: str | Path, step: int) -> JobCheckpoint:
    """The checkpoint of that step (a full set before an increment).

    CheckpointError where it is absent or its manifest is not valid, CheckpointGapError where it is an increment and a
    set that it needs is not there.
    """
    root = Path(directory)
    full, delta = manifest_path(root, step), manifest_path(root, step, delta=True)
    if not full.exists() and not delta.exists():
        raise CheckpointError(f"there is no checkpoint of step {step}", path=str(root))
    with contextlib.suppress(CheckpointError):
        if full.exists():
            return JobCheckpoint(root, read_manifest(full))
    return JobCheckpoint(root, read_manifest(delta if delta.exists() else full))


def prune(directory: str | Path, keep: int) -> list[int]:
    """Remove all but the newest ``keep`` full sets and what is older than the oldest kept; returns the steps removed.

    Increments newer than the oldest kept full set stay. A set goes manifest first, so that it is never half there.
    """
    root = Path(directory)
    full = [step for step in steps(root) if manifest_path(root, step).exists()]
    if len(full) <= keep or keep < 1:
        return []
    oldest = full[-keep]
    removed = []
    for step in steps(root):
        if step >= oldest:
            break
        for path in (manifest_path(root, step, delta=True), manifest_path(root, step)):
            if path.exists():
                _remove_set(root, path)
        removed.append(step)
    return removed


def _remove_set(root: Path, path: Path) -> None:
    files = read_manifest(path).files
    os.unlink(path)
    for entry in files:
        for name in (entry.temporary, entry.path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(root / name)
    for folder in {str(Path(entry.path).parent) for entry in files} - {"."}:
        with contextlib.suppress(OSError):
            os.rmdir(root / folder)


class JobCheckpoint:
    """A committed checkpoint of all ranks.

    Attributes
    ----------
    directory : Path
    manifest : Manifest
        ``global_step``, ``ranks``, ``owner_rule``, ``quirks``, ``profile``, ``tables`` (name, kind, config, ...),
        ``files``, ``extra`` (dict).
    chain : list of Manifest
        The full set and the increments that make it up, in order; one element for a full set.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.manifest = manifest
        self.chain = chain_of(directory, manifest)

    @property
    def step(self) -> int:
        """The global step."""
        return self.manifest.global_step

    @property
    def extra(self) -> dict[str, Any]:
        """The object given as ``extra``."""
        return self.manifest.extra

    def verify_files(self) -> None:
        """CheckpointError unless every file (of the whole chain) has the size and crc32c of its manifest."""
        for manifest in self.chain:
            for entry in manifest.files:
                verify_file(self.directory, entry)

    def paths(self, manifest: Manifest | None = None) -> dict[str, Path]:
        """Path in the manifest → file to read now (the temporary name where it exists, else the final one)."""
        return {entry.path: current_path(self.directory, entry) for entry in (manifest or self.manifest).files}

    def rows(self, table: str, rank: int = 0, ranks: int = 1, owner_rule: str = "floor-mod") -> Iterator[RowDump]:
        """The rows of ``table`` that rank ``rank`` of ``ranks`` owns, in batches, whatever file they came from.

        Of an increment these are only the rows that changed.
        """
        entry = self.manifest.table(table)
        if entry is None:
            raise CheckpointError(f"no table {table} in the checkpoint", path=str(self.directory))
        for _name, decoded in self.walk(self.manifest, [entry], rank, ranks, owner_rule):
            yield decoded.rows

    def all_rows(self, rank: int = 0, ranks: int = 1, owner_rule: str = "floor-mod") -> Iterator[tuple[str, RowDump]]:
        """(table, rows) of every table in one pass over the files; else as :meth:`rows`."""
        for name, decoded in self.walk(self.manifest, self.manifest.tables, rank, ranks, owner_rule):
            yield name, decoded.rows

    def dense(self) -> dict[str, NDArray[Any]]:
        """Every dense variable by name (``global_step`` included)."""
        for entry in self.manifest.files:
            if entry.path.endswith(DENSE_SUFFIX):
                return read_dense(current_path(self.directory, entry))
        return {}

    def filter(self, rank: int) -> FilterState | None:
        """The state of a rank's filter; None where it had none."""
        if rank >= len(self.manifest.filters):
            return None
        entry = self.manifest.filters[rank]
        if entry is None:
            return None
        stem = f"{FILTER_STEM}{rank}"
        found: dict[int, Path] = {}
        for path, located in self.paths().items():
            parts = naming.split_shard_name(Path(path).name)
            if parts is not None and parts[0] == stem:
                found[parts[1]] = located
        files = [found[split] for split in sorted(found)]
        return state_of_entry(entry, read_filter(self.directory / stem, files) if files else None)

    def gone(self, manifest: Manifest) -> dict[str, list[NDArray[Any]]]:
        """Table → ids that an increment removes, one array a rank."""
        removed: dict[str, list[NDArray[Any]]] = {}
        for path, located in self.paths(manifest).items():
            parts = naming.split_shard_name(path)
            if parts is not None and parts[0].endswith(GONE_SUFFIX):
                for name, ids in read_gone(located).items():
                    removed.setdefault(name, []).append(ids)
        return removed

    def walk(
        self,
        manifest: Manifest,
        tables: Sequence[TableEntry],
        rank: int,
        ranks: int,
        owner_rule: str,
        stages: Mapping[str, StagedRows] = MappingProxyType({}),
    ) -> Iterator[tuple[str, Decoded]]:
        """The rows of one manifest's own files that a rank owns, by table, in batches.

        They are read into ``stages`` where there is one, unless rows have to be sorted out.
        """
        wanted = {table.name: shape_of_config(bytes.fromhex(table.config), table.name) for table in tables}
        stems = {naming.file_stem(table.name): table.name for table in tables if table.kind == "single"}
        same = (manifest.ranks, manifest.owner_rule) == (ranks, owner_rule)
        paths = self.paths(manifest)
        places = stages if same else {}
        for path, located in paths.items():
            parts = naming.split_shard_name(Path(path).name)
            if parts is None or (same and parts[1] != rank):
                continue
            if parts[0] == MULTI_STEM:
                meta = Path(path).parent / naming.shard_name(MULTI_STEM + META_SUFFIX, *parts[1:])
                found = read_multi(RecordFile(located, True), read_meta(paths[meta.as_posix()]), wanted.get, places)
            elif parts[0] in stems and str(Path(path).parent) != ".":
                table = stems[parts[0]]
                found = _named(table, read_single(RecordFile(located), wanted[table], places.get(table)))
            else:
                continue
            for name, decoded in found:
                mine = naming.owned(decoded.rows.ids, rank, ranks, owner_rule)
                if mine.any():
                    yield name, decoded.where(mine)


def _named(name: str, decoded: Iterator[Decoded]) -> Iterator[tuple[str, Decoded]]:
    for part in decoded:
        yield name, part
