"""Write job checkpoints and increments: every rank's tables, filters and streams, dense variables, one manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.commit import Ranks, SetWriter
from monolith_ref.checkpoint.content import TableContent, with_expiry_of_first
from monolith_ref.checkpoint.dense import dense_payloads
from monolith_ref.checkpoint.filters import FILTER_STEM, describe_filter, write_filter
from monolith_ref.checkpoint.increment import GONE_SUFFIX, changes_since, tombstones
from monolith_ref.checkpoint.manifest import FileEntry, Manifest, TableEntry
from monolith_ref.checkpoint.sets import table_entry
from monolith_ref.checkpoint.tables import META_SUFFIX, meta_payload, write_rows
from monolith_ref.errors import ArgumentError, CheckpointError, CheckpointGapError
from monolith_ref.table.admission import FilterState
from monolith_ref.table.store import RowStore

__all__ = ["DELTA_SUFFIX", "DENSE_SUFFIX", "MULTI_STEM", "PREFIX", "write_job_checkpoint"]

PREFIX = "model.ckpt-"
DELTA_SUFFIX = ".delta"
DENSE_SUFFIX = ".dense"
MULTI_STEM = "MonolithMultiHashTable_"

OwnerRule = Literal["floor-mod", "empty-rank0"]
Held = tuple[NDArray[np.bool_] | None, NDArray[np.int64]]
"""Which rows of a table are written (None: all), and which ids are gone."""


def write_job_checkpoint(
    directory: str | Path,
    step: int,
    tables: Sequence[TableContent],
    dense: Mapping[str, NDArray[Any]],
    comm: Ranks,
    *,
    previous: Manifest | None = None,
    quirks: Sequence[str] = (),
    profile: str = "ieee",
    owner_rule: OwnerRule = "floor-mod",
    filters: FilterState | None = None,
    random: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``<directory>/model.ckpt-<step>`` and return the path of its manifest. Collective.

    ``previous``: the manifest of the set before; then only what changed since is written, as the increment
    ``model.ckpt-<step>.delta`` (tables must be stores that track changes). After any save, tables that track changes
    begin a new interval.

    ``dense`` (only rank 0's counts): variable name → array (``dense_0/kernel``, ``dense_0/kernel/accumulator``, ...);
    ``global_step`` is added. ``filters``: this rank's filter (``export_state()``). ``random``: this rank's
    ``{"initializer_draws": int, "rounding": [z, w]}``. ``extra``: any JSON object, kept in the manifest under ``extra``
    (rank 0's counts).

    Raises CheckpointError on every rank if any rank could not write; the former checkpoint then still stands.
    ArgumentError, before anything is written, for tables whose names give the same file.
    """
    _check_names(tables)
    prefix = f"{PREFIX}{step}{DELTA_SUFFIX if previous is not None else ''}"
    assets = prefix + naming.ASSETS_SUFFIX
    singles, multis = _in_order(tables, quirks)
    ordered = [*singles, *multis]
    writer = SetWriter(Path(directory) / (prefix + naming.MANIFEST_SUFFIX), comm, [assets], alone=True)
    with writer.writing():
        held = {table.name: _held(table, previous) for table in ordered}
        files = _Files(writer, assets, comm)
        counts = files.tables(singles, multis, held)
        if previous is not None:
            files.gone(prefix, held)
        if filters is not None:
            write_filter(writer, f"{assets}/{FILTER_STEM}{comm.rank}", filters)
        if comm.rank == 0:
            files.dense(prefix, dense, step)
    report = {
        "tables": [dataclasses.asdict(table_entry(table, counts[table.name])) for table in ordered],
        "filter": describe_filter(filters),
        "random": dict(random) if random is not None else None,
        "extra": dict(extra) if extra is not None and comm.rank == 0 else {},
    }

    def build(entries: list[FileEntry], reports: list[dict[str, Any]]) -> Manifest:
        merged = _merge_tables(reports, writer.target)
        if previous is not None and _shapes(merged) != _shapes(previous.tables):
            raise CheckpointGapError("the tables are others than in the set before", path=str(writer.target))
        return Manifest(
            **_chain(previous),
            global_step=step,
            ranks=comm.size,
            owner_rule=owner_rule,
            quirks=tuple(sorted(quirks)),
            profile=profile,
            tables=merged,
            filters=_per_rank(reports, "filter"),
            random=_per_rank(reports, "random"),
            files=tuple(entries),
            extra=reports[0]["extra"],
        )

    writer.commit(report, build)
    for table in tables:
        if isinstance(table.rows, RowStore) and table.rows.tracking:
            table.rows.forget_changes()
    return writer.target


@dataclass(frozen=True)
class _Files:
    """The files of one rank."""

    writer: SetWriter
    assets: str
    comm: Ranks

    def _name(self, stem: str) -> str:
        return naming.shard_name(stem, self.comm.rank, self.comm.size)

    def tables(
        self, singles: Sequence[TableContent], multis: Sequence[TableContent], held: Mapping[str, Held]
    ) -> dict[str, int]:
        """Rows written of each table."""
        counts = {table.name: self.single(table, held[table.name]) for table in singles}
        return counts | (self.multi(multis, held) if multis else {})

    def single(self, table: TableContent, held: Held) -> int:
        sink = self.writer.sink(f"{self.assets}/{self._name(naming.file_stem(table.name))}")
        rows = write_rows(sink, table.shape, table.parts(only=held[0]))
        self.writer.finish(sink)
        return rows

    def multi(self, tables: Sequence[TableContent], held: Mapping[str, Held]) -> dict[str, int]:
        data = self.writer.sink(f"{self.assets}/{self._name(MULTI_STEM)}", compressed=True)
        counts = {t.name: write_rows(data, t.shape, t.parts(only=held[t.name][0])) for t in tables}
        self.writer.finish(data)
        meta = self.writer.sink(f"{self.assets}/{self._name(MULTI_STEM + META_SUFFIX)}")
        meta.write_payloads(meta_payload(name, rows) for name, rows in counts.items())
        self.writer.finish(meta)
        return counts

    def dense(self, prefix: str, dense: Mapping[str, NDArray[Any]], step: int) -> None:
        sink = self.writer.sink(prefix + DENSE_SUFFIX)
        sink.write_payloads(dense_payloads(dense, step))
        self.writer.finish(sink)

    def gone(self, prefix: str, held: Mapping[str, Held]) -> None:
        sink = self.writer.sink(self._name(prefix + GONE_SUFFIX))
        for name in sorted(held, key=str.encode):
            sink.write_payloads(tombstones(name, held[name][1]))
        self.writer.finish(sink)


def _check_names(tables: Sequence[TableContent]) -> None:
    seen: dict[str, str] = {}
    for table in tables:
        stem = naming.file_stem(table.name)
        key = stem if table.kind == "single" else f"multi {table.name}"
        if key in seen:
            raise ArgumentError(f"tables {seen[key]} and {table.name} would be written to the same file")
        seen[key] = table.name
        if table.kind == "single" and (stem.startswith(FILTER_STEM) or stem == MULTI_STEM):
            raise ArgumentError(f"a table cannot be named {table.name}: that is the name of other files")


def _in_order(tables: Sequence[TableContent], quirks: Sequence[str]) -> tuple[list[TableContent], list[TableContent]]:
    """(single tables as they came, multi tables by name), as they are written."""
    singles = [table for table in tables if table.kind == "single"]
    multis = sorted((table for table in tables if table.kind == "multi"), key=lambda table: table.name.encode())
    return singles, with_expiry_of_first(multis) if "multi_expiry_first_table" in quirks else multis


def _chain(previous: Manifest | None) -> dict[str, Any]:
    """What a manifest says of the set before."""
    if previous is None:
        return {}
    base = previous.id if previous.kind == "full" else previous.base
    return {"kind": "delta", "base": base, "previous": previous.id, "sequence": previous.sequence + 1}


def _held(table: TableContent, previous: Manifest | None) -> Held:
    if previous is None:
        return None, np.empty(0, np.int64)
    entry = previous.table(table.name)
    if entry is None:
        raise CheckpointGapError(f"the set before has no table {table.name}")
    return changes_since(table, entry)


def _per_rank(reports: Sequence[Mapping[str, Any]], key: str) -> tuple[dict[str, Any] | None, ...]:
    return tuple(report[key] for report in reports) if any(report[key] for report in reports) else ()


def _shapes(tables: Sequence[TableEntry]) -> list[tuple[str, str, str]]:
    return [(table.name, table.kind, table.config) for table in tables]


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
