"""Job checkpoints: every rank's tables, the dense variables and one manifest, whole or absent. Rule: checkpoints 5.1.

write_job_checkpoint(directory, step, tables, dense, comm, ...)      # collective: every rank calls it
checkpoint = latest(directory)                                       # the newest with a valid manifest, or None
checkpoint.verify_files()                                            # sizes and checksums, before anything changes
for rows in checkpoint.rows("MonolithHashTable_x", rank, size): store.import_(rows)
variables = checkpoint.dense()
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.commit import SetWriter, current_path, verify_file
from monolith_ref.checkpoint.content import TableContent, shape_of_config, with_expiry_of_first
from monolith_ref.checkpoint.dense import dense_payloads, read_dense
from monolith_ref.checkpoint.manifest import FileEntry, Manifest, TableEntry, read_manifest
from monolith_ref.checkpoint.rows import take
from monolith_ref.checkpoint.sets import table_entry
from monolith_ref.checkpoint.tables import META_SUFFIX, meta_payload, read_meta, read_multi, read_single, write_rows
from monolith_ref.errors import CheckpointError

if TYPE_CHECKING:
    from monolith_ref.sync.communicator import Communicator
    from monolith_ref.table.store import RowDump

__all__ = ["JobCheckpoint", "TableContent", "latest", "open_checkpoint", "steps", "write_job_checkpoint"]

PREFIX = "model.ckpt-"
DENSE_SUFFIX = ".dense"
MULTI_STEM = "MonolithMultiHashTable_"


def write_job_checkpoint(
    directory: str | Path,
    step: int,
    tables: Sequence[TableContent],
    dense: Mapping[str, NDArray[Any]],
    comm: Communicator,
    *,
    quirks: Sequence[str] = (),
    profile: str = "ieee",
    owner_rule: Literal["floor-mod", "empty-rank0"] = "floor-mod",
    filters: Any = None,
    random: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``<directory>/model.ckpt-<step>`` and return the path of its manifest. Collective.

    ``dense`` (only rank 0's counts): variable name → array (``dense_0/kernel``, ``dense_0/kernel/accumulator``, ...);
    ``global_step`` is added. ``random``: this rank's ``{"initializer_draws": int, "rounding": [z, w]}``.
    ``extra``: any JSON object, kept in the manifest under ``extra`` (rank 0's counts).

    Raises CheckpointError on every rank if any rank could not write; the former checkpoint then still stands.
    """
    root = Path(directory)
    prefix = f"{PREFIX}{step}"
    assets = prefix + naming.ASSETS_SUFFIX
    singles = [table for table in tables if table.kind == "single"]
    multis = sorted((table for table in tables if table.kind == "multi"), key=lambda table: table.name.encode())
    if "multi_expiry_first_table" in quirks:
        multis = with_expiry_of_first(multis)
    writer = SetWriter(root / (prefix + naming.MANIFEST_SUFFIX), comm, [assets], alone=True)
    counts: dict[str, int] = {}
    with writer.writing():
        for table in singles:
            sink = writer.sink(f"{assets}/{naming.shard_name(naming.file_stem(table.name), comm.rank, comm.size)}")
            counts[table.name] = write_rows(sink, table.shape, table.parts())
            writer.finish(sink)
        if multis:
            counts |= _write_multi(writer, assets, multis, comm)
        if comm.rank == 0:
            sink = writer.sink(prefix + DENSE_SUFFIX)
            sink.write_payloads(dense_payloads(dense, step))
            writer.finish(sink)
    report = {
        "tables": [_describe(table, counts[table.name]) for table in [*singles, *multis]],
        "filter": filters,
        "random": dict(random) if random is not None else None,
        "extra": dict(extra) if extra is not None and comm.rank == 0 else {},
    }

    def build(files: list[FileEntry], reports: list[dict[str, Any]]) -> Manifest:
        return Manifest(
            global_step=step,
            ranks=comm.size,
            owner_rule=owner_rule,
            quirks=tuple(sorted(quirks)),
            profile=profile,
            tables=_merge_tables(reports, writer.target),
            filters=tuple(r["filter"] for r in reports) if any(r["filter"] for r in reports) else (),
            random=tuple(r["random"] for r in reports) if any(r["random"] for r in reports) else (),
            files=tuple(files),
            extra=reports[0]["extra"],
        )

    writer.commit(report, build)
    return writer.target


def _describe(table: TableContent, rows: int) -> dict[str, Any]:
    """What rank 0 needs to know of a rank's table."""
    return dataclasses.asdict(table_entry(table, rows))


def _write_multi(writer: SetWriter, assets: str, tables: Sequence[TableContent], comm: Communicator) -> dict[str, int]:
    data = writer.sink(f"{assets}/{naming.shard_name(MULTI_STEM, comm.rank, comm.size)}", compressed=True)
    counts = {table.name: write_rows(data, table.shape, table.parts()) for table in tables}
    writer.finish(data)
    meta = writer.sink(f"{assets}/{naming.shard_name(MULTI_STEM + META_SUFFIX, comm.rank, comm.size)}")
    meta.write_payloads(meta_payload(name, rows) for name, rows in counts.items())
    writer.finish(meta)
    return counts


def _merge_tables(reports: Sequence[Mapping[str, Any]], target: Path) -> tuple[TableEntry, ...]:
    """One entry a table over all ranks; every rank must hold the same tables of the same configuration."""
    merged: dict[str, TableEntry] = {}
    for rank, report in enumerate(reports):
        for item in report["tables"]:
            rates, scales = tuple(item["learning_rates"]), tuple(item["one_bit_scale"])
            entry = TableEntry(**{**item, "learning_rates": rates, "one_bit_scale": scales})
            former = merged.get(entry.name)
            if rank == 0:
                merged[entry.name] = entry
            elif former is None or (former.kind, former.config) != (entry.kind, entry.config):
                raise CheckpointError(f"rank {rank} holds another table {entry.name} than rank 0", path=str(target))
            else:
                rows, max_ts = former.rows + entry.rows, max(former.max_ts, entry.max_ts)
                merged[entry.name] = dataclasses.replace(former, rows=rows, max_ts=max_ts)
        if len(report["tables"]) != len(merged):
            raise CheckpointError(f"rank {rank} holds fewer tables than rank 0", path=str(target))
    return tuple(merged[name] for name in sorted(merged, key=str.encode))


def steps(directory: str | Path) -> list[int]:
    """Steps whose manifest is valid, ascending."""
    root = Path(directory)
    found = []
    for path in root.glob(f"{PREFIX}*{naming.MANIFEST_SUFFIX}"):
        text = path.name[len(PREFIX) : -len(naming.MANIFEST_SUFFIX)]
        if text.isdecimal():
            with contextlib.suppress(CheckpointError):
                read_manifest(path)
                found.append(int(text))
    return sorted(found)


def latest(directory: str | Path) -> JobCheckpoint | None:
    """The checkpoint of the highest step whose manifest is valid, or None."""
    found = steps(directory)
    return open_checkpoint(directory, found[-1]) if found else None


def open_checkpoint(directory: str | Path, step: int) -> JobCheckpoint:
    """The checkpoint of that step; CheckpointError where it is absent or its manifest is not valid."""
    root = Path(directory)
    return JobCheckpoint(root, read_manifest(root / f"{PREFIX}{step}{naming.MANIFEST_SUFFIX}"))


class JobCheckpoint:
    """A committed checkpoint of all ranks.

    Attributes
    ----------
    directory : Path
    manifest : Manifest
        ``global_step``, ``ranks``, ``owner_rule``, ``quirks``, ``profile``, ``tables`` (name, kind, config, ...),
        ``files``, ``extra`` (dict).
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory = directory
        self.manifest = manifest

    @property
    def step(self) -> int:
        """The global step."""
        return self.manifest.global_step

    @property
    def extra(self) -> dict[str, Any]:
        """The object given as ``extra``."""
        return self.manifest.extra

    def verify_files(self) -> None:
        """CheckpointError unless every file has the size and crc32c of the manifest."""
        for entry in self.manifest.files:
            verify_file(self.directory, entry)

    def paths(self) -> dict[str, Path]:
        """Path in the manifest → file to read now (the temporary name where it exists, else the final one)."""
        return {entry.path: current_path(self.directory, entry) for entry in self.manifest.files}

    def rows(self, table: str, rank: int = 0, ranks: int = 1, owner_rule: str = "floor-mod") -> Iterator[RowDump]:
        """The rows of ``table`` that rank ``rank`` of ``ranks`` owns, in batches, whatever file they came from."""
        entry = self.manifest.table(table)
        if entry is None:
            raise CheckpointError(f"no table {table} in the checkpoint", path=str(self.directory))
        for _name, part in self._walk([entry], rank, ranks, owner_rule):
            yield part

    def all_rows(self, rank: int = 0, ranks: int = 1, owner_rule: str = "floor-mod") -> Iterator[tuple[str, RowDump]]:
        """(table, rows) of every table in one pass over the files; else as :meth:`rows`."""
        return self._walk(self.manifest.tables, rank, ranks, owner_rule)

    def dense(self) -> dict[str, NDArray[Any]]:
        """Every dense variable by name (``global_step`` included)."""
        for entry in self.manifest.files:
            if entry.path.endswith(DENSE_SUFFIX):
                return read_dense(current_path(self.directory, entry))
        return {}

    def _walk(
        self, tables: Sequence[TableEntry], rank: int, ranks: int, owner_rule: str
    ) -> Iterator[tuple[str, RowDump]]:
        wanted = {table.name: shape_of_config(bytes.fromhex(table.config), table.name) for table in tables}
        same = (self.manifest.ranks, self.manifest.owner_rule) == (ranks, owner_rule)
        for path, located in self.paths().items():
            parts = naming.split_shard_name(Path(path).name)
            if parts is None or (same and parts[1] != rank):
                continue
            stem = parts[0]
            if stem == MULTI_STEM:
                meta = Path(path).parent / naming.shard_name(MULTI_STEM + META_SUFFIX, *parts[1:])
                counts = read_meta(self.paths()[meta.as_posix()])
                found = read_multi(located, counts, wanted.get)
            else:
                name = next((name for name in wanted if naming.file_stem(name) == stem), None)
                if name is None:
                    continue
                found = ((name, decoded) for decoded in read_single(located, wanted[name]))
            for name, decoded in found:
                mine = naming.owned(decoded.rows.ids, rank, ranks, owner_rule)
                if mine.any():
                    yield name, decoded.rows if mine.all() else take(decoded.rows, mine)
