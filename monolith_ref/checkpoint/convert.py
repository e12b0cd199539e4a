"""Write a prefix's tables anew: other shards or ranks, another format, a folded chain, NumPy or Parquet."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from monolith_protos.hash_table_pb2 import SlotExpireTimeConfig
from numpy.typing import NDArray

from monolith_ref.checkpoint import naming, sets
from monolith_ref.checkpoint.commit import SetWriter
from monolith_ref.checkpoint.content import TableContent
from monolith_ref.checkpoint.inspect import Contents
from monolith_ref.checkpoint.job import JobCheckpoint, write_job_checkpoint
from monolith_ref.checkpoint.played import PlayedRank, play
from monolith_ref.checkpoint.rows import take
from monolith_ref.checkpoint.shape import RowShape
from monolith_ref.checkpoint.tables import META_SUFFIX, meta_payload, shard_bounds, write_rows
from monolith_ref.checkpoint.whole import WholeTable, whole_tables
from monolith_ref.errors import ArgumentError, CheckpointError, EnvironmentMissing
from monolith_ref.fid import slot_of_v2
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.table.store import RowDump

__all__ = ["FORMATS", "Format", "convert"]

Format = Literal["single", "multi", "job", "npz", "parquet"]
KEEP_ALL = SlotExpireTimeConfig(default_expire_time=0xFFFFFFFF).SerializeToString()
"""Rows do not expire by being converted."""
FORMATS: tuple[Format, ...] = ("single", "multi", "job", "npz", "parquet")


def convert(
    contents: Contents,
    target: str | Path,
    form: Format | None = None,
    *,
    shards: int = -1,
    only: str | None = None,
    reset_filters: bool = False,
) -> list[Path]:
    """Write what lies under a prefix to ``target`` and return the files (of sets: the manifests) written.

    ``form`` None keeps the form. ``shards``: files per table, or ranks of a job (-1: as many as there were, or the
    original's number). An increment is folded into a full set. Tables without a known configuration are written as
    foreign sets, without a manifest. Filters and random streams of a job travel only to the same number of ranks: else
    CheckpointError if a filter holds elements, unless ``reset_filters``.
    """
    chosen = form or _form_of(contents)
    if chosen == "job":
        return [_to_job(contents, Path(target), shards, reset_filters)]
    tables = whole_tables(contents, only)
    contents.bar.begin("writing")
    if not tables:
        raise CheckpointError("there is no table to convert" if only is None else f"there is no table {only}")
    if chosen in ("npz", "parquet"):
        write = _write_npz if chosen == "npz" else _write_parquet
        return [write(path, table) for path, table in _targets(tables, Path(target), f".{chosen}")]
    contents_of = {name: _content(contents, name, table, chosen) for name, table in tables.items()}
    known = {name: content for name, content in contents_of.items() if content is not None}
    if len(known) == len(tables):
        return _to_ours(known, Path(target), chosen, shards, contents)
    return _to_foreign(tables, Path(target), chosen, shards)


def _form_of(contents: Contents) -> Format:
    kinds = {group.kind for group in contents.groups}
    if "dense" in kinds:
        return "job"
    return "multi" if "multi" in kinds else "single"


def _targets(tables: Mapping[str, WholeTable], target: Path, suffix: str = "") -> list[tuple[Path, WholeTable]]:
    """One table goes to the target itself, several into it as a folder."""
    if len(tables) == 1:
        (table,) = tables.values()
        path = target if target.name.endswith(suffix) else target.with_name(target.name + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        return [(path, table)]
    target.mkdir(parents=True, exist_ok=True)
    return [(target / (naming.file_stem(name) + suffix), table) for name, table in tables.items()]


def _rows_of(table: WholeTable, shape: RowShape) -> RowDump:
    """The rows of a table of one known shape; an empty dump where there are none."""
    if table:
        return table[shape]
    empty = shape.unpack(np.empty((0, shape.widths[0]), np.uint32), np.empty((0, shape.widths[1]), np.int64))
    return RowDump(np.empty(0, np.int64), np.empty((0, shape.dim), np.float32), empty, np.empty(0, np.uint32))


def _content(contents: Contents, name: str, table: WholeTable, kind: str) -> TableContent | None:
    config = contents.config_of(name)
    if config is None:
        return None
    entry = contents.entry_of(name)
    rows = _rows_of(table, RowShape.of_config(config))
    newest = entry.max_ts if entry is not None else int(rows.update_time.max(initial=0))
    rates = entry.learning_rates if entry is not None else ()
    scales = tuple(int(word, 16) for word in entry.one_bit_scale) if entry is not None else ()
    data = bytes.fromhex(entry.config) if entry is not None else config.SerializeToString(deterministic=True)
    return TableContent(name, "multi" if kind == "multi" else "single", data, rates, rows, newest, scales, KEEP_ALL)


def _to_ours(
    tables: Mapping[str, TableContent], target: Path, kind: str, shards: int, contents: Contents
) -> list[Path]:
    manifest = contents.manifest
    options: dict[str, Any] = {"shards": shards}
    if manifest is not None:
        options |= {"quirks": manifest.quirks, "profile": manifest.profile, "global_step": manifest.global_step}
    if kind == "multi":
        target.parent.mkdir(parents=True, exist_ok=True)
        sets.save_multi(target, list(tables.values()), **options)
        return [target.with_name(target.name + naming.MANIFEST_SUFFIX)]
    written = []
    for path, table in _targets_of(tables, target):
        sets.save_single(path, table, **options)
        written.append(path.with_name(path.name + naming.MANIFEST_SUFFIX))
    return written


def _targets_of(tables: Mapping[str, TableContent], target: Path) -> list[tuple[Path, TableContent]]:
    if len(tables) == 1:
        target.parent.mkdir(parents=True, exist_ok=True)
        return [(target, table) for table in tables.values()]
    target.mkdir(parents=True, exist_ok=True)
    return [(target / naming.file_stem(name), table) for name, table in tables.items()]


def _to_foreign(tables: Mapping[str, WholeTable], target: Path, kind: str, shards: int) -> list[Path]:
    """Write sets without a manifest; existing sets are not overwritten, for without one that cannot be done whole."""
    if kind == "single":
        return [p for path, table in _targets(tables, target) for p in _foreign_files(path, {"": table}, False, shards)]
    target.parent.mkdir(parents=True, exist_ok=True)
    return _foreign_files(target, tables, True, shards)


def _foreign_files(base: Path, tables: Mapping[str, WholeTable], multi: bool, shards: int) -> list[Path]:
    for path in sorted(base.parent.iterdir()):
        if naming.belongs(path.name, base.name):
            raise CheckpointError("a set of this name is there already", path=str(path))
    total = sum(len(rows) for table in tables.values() for rows in table.values())
    count = sets.shard_count(shards, total)
    writer = SetWriter(base.with_name(base.name + naming.MANIFEST_SUFFIX), SerialCommunicator())
    names = sorted(tables, key=str.encode)
    with writer.writing():
        for shard in range(count):
            data = writer.sink(naming.shard_name(base.name, shard, count), compressed=multi)
            here = []
            for name in names:
                rows = 0
                for shape, dump in tables[name].items():
                    begin, end = shard_bounds(len(dump), count)[shard]
                    rows += write_rows(data, shape, [take(dump, slice(begin, end))])
                here.append(rows)
            writer.finish(data)
            if multi:
                meta = writer.sink(naming.shard_name(base.name + META_SUFFIX, shard, count))
                meta.write_payloads(meta_payload(name, rows) for name, rows in zip(names, here, strict=True))
                writer.finish(meta)
    return writer.publish_foreign()


def _to_job(contents: Contents, target: Path, ranks: int, reset_filters: bool) -> Path:
    manifest = contents.manifest
    if manifest is None or _form_of(contents) != "job":
        raise ArgumentError("only a job's checkpoint can become a job's checkpoint")
    size = manifest.ranks if ranks < 1 else ranks
    checkpoint = JobCheckpoint(contents.root, manifest)
    tables = whole_tables(contents)
    contents.bar.begin("writing")
    whole: dict[str, TableContent] = {}
    for entry in manifest.tables:
        content = _content(contents, entry.name, tables.get(entry.name, {}), entry.kind)
        assert content is not None
        whole[entry.name] = content
    same = size == manifest.ranks
    if not same and not reset_filters:
        for rank in range(len(manifest.filters)):
            state = checkpoint.filter(rank)
            if state is not None and any(state.num_elements):
                text = f"the filter of rank {rank} holds counts, which cannot go to {size} ranks (reset them to go on)"
                raise CheckpointError(text, path=str(contents.prefix))
    if not same and manifest.random:
        warnings.warn("random initial values will differ from an uninterrupted run", stacklevel=3)

    def work(comm: PlayedRank) -> Path:
        mine = []
        for content in whole.values():
            assert isinstance(content.rows, RowDump)
            owned = naming.owned(content.rows.ids, comm.rank, comm.size, manifest.owner_rule)
            mine.append(dataclasses.replace(content, rows=take(content.rows, owned)))
        return write_job_checkpoint(
            target,
            manifest.global_step,
            mine,
            checkpoint.dense(),
            comm,
            quirks=manifest.quirks,
            profile=manifest.profile,
            owner_rule="empty-rank0" if manifest.owner_rule == "empty-rank0" else "floor-mod",
            filters=checkpoint.filter(comm.rank) if same else None,
            random=manifest.random[comm.rank] if same and comm.rank < len(manifest.random) else None,
            extra=manifest.extra,
        )

    return play(size, work)[0]


def flat_columns(table: WholeTable) -> dict[str, NDArray[Any]]:
    """A table of one shape as named arrays: fid, slot, update_time, weights, ``<segment>.<rule>.<field>``."""
    if len(table) > 1:
        raise CheckpointError(f"rows have {len(table)} shapes; columns need one")
    columns: dict[str, NDArray[Any]] = {}
    for shape, rows in table.items():
        columns = {"fid": rows.ids, "slot": slot_of_v2(rows.ids).astype(np.int32), "update_time": rows.update_time}
        columns["weights"] = rows.weights
        for k, (element, arrays) in enumerate(zip(shape.segments, rows.state, strict=True)):
            for name, values in arrays.items():
                columns[f"{k}.{element.rule if element is not None else ''}.{name}"] = values
    return columns


def _replacing(path: Path) -> Path:
    return path.with_name(f".tmp-export-{path.name}")


def _write_npz(path: Path, table: WholeTable) -> Path:
    temporary = _replacing(path)
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **flat_columns(table))  # type: ignore[arg-type]
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return path


def _write_parquet(path: Path, table: WholeTable) -> Path:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise EnvironmentMissing("Parquet needs pyarrow: pip install 'monolith-ref[parquet]'") from None
    arrays, names = [], []
    for name, values in flat_columns(table).items():
        if values.ndim == 2:
            flat = arrow.array(np.ascontiguousarray(values).reshape(-1))
            arrays.append(arrow.FixedSizeListArray.from_arrays(flat, values.shape[1]))
        else:
            arrays.append(arrow.array(np.ascontiguousarray(values)))
        names.append(name)
    temporary = _replacing(path)
    try:
        parquet.write_table(arrow.Table.from_arrays(arrays, names=names), temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return path
