"""Look through every file under a prefix and list what is wrong with it. Rule: checkpoints 5.4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from monolith_kernels.blocks import BLOCK
from monolith_protos import hash_filter_pb2, hash_table_pb2
from numpy.typing import NDArray

from monolith_ref.checkpoint import filters, naming
from monolith_ref.checkpoint.commit import verify_file
from monolith_ref.checkpoint.container import RecordBatch, RecordFile
from monolith_ref.checkpoint.dense import read_dense
from monolith_ref.checkpoint.findings import Findings
from monolith_ref.checkpoint.increment import chain_of, read_gone
from monolith_ref.checkpoint.inspect import Contents, FileGroup, open_contents
from monolith_ref.checkpoint.rows import Decoded, check_fits, has_unknown, one_row, parse_entry, usual_rows
from monolith_ref.checkpoint.shape import RowShape
from monolith_ref.checkpoint.tables import MetaEntry, read_meta
from monolith_ref.errors import CheckpointError, CheckpointGapError
from monolith_ref.progress import Bar

__all__ = ["verify"]

Config = hash_table_pb2.EmbeddingHashTableConfig


def verify(
    prefix: str | Path,
    configs: Mapping[str, Config] | None = None,
    single_config: Config | None = None,
    bar: Bar | None = None,
) -> Findings:
    """Everything that is wrong with the files under a prefix; never raises for what is in them.

    ``bar`` counts what has been looked at.
    """
    findings = Findings(str(prefix))
    try:
        contents = open_contents(prefix, configs, single_config)
    except CheckpointError as error:
        findings.add_error(error, Path(prefix))
        return findings
    contents.bar = bar if bar is not None else contents.bar
    manifest = contents.manifest
    findings.kind = "foreign" if manifest is None else f"ours, {manifest.kind}"
    if manifest is not None:
        contents.bar.begin("checking sums of files", len(manifest.files))
        for entry in manifest.files:
            _quietly(findings, contents.root / entry.path, partial(verify_file, contents.root, entry))
            contents.bar.advance()
        try:
            chain_of(contents.root, manifest)
        except CheckpointGapError as error:
            findings.add("broken_chain", f"{contents.prefix}{naming.MANIFEST_SUFFIX}", str(error))
    for path in contents.leftovers:
        findings.add("leftover_temporary", path, "left by a writer that was interrupted")
    contents.bar.begin("reading", contents.size(), in_bytes=True)
    for group in contents.groups:
        _check_complete(findings, group)
        _CHECKS[group.kind](findings, contents, group)
    if manifest is not None:
        for table in manifest.tables:
            found = findings.rows.get(table.name, 0)
            if found != table.rows:
                text = f"table {table.name}: {found} rows, the manifest says {table.rows}"
                findings.add("manifest_mismatch", f"{contents.prefix}{naming.MANIFEST_SUFFIX}", text)
    return findings


def _quietly(findings: Findings, path: Path, work: Callable[[], object]) -> None:
    try:
        work()
    except CheckpointError as error:
        findings.add_error(error, path)


def _check_complete(findings: Findings, group: FileGroup) -> None:
    findings.files += len(group.shards) + len(group.metas)
    for name in group.missing:
        findings.add("missing_shard", group.stem, f"{name} is not there")
    for count in group.other_counts:
        findings.add("shard_count_differs", group.stem, f"files of a set of {count} lie beside those of {group.count}")
    for shard in group.shards:
        if shard >= group.count:
            findings.add("shard_count_differs", group.shards[shard], f"shard {shard} of a set of {group.count}")


class _Table:
    """What is known of one table while its files are read."""

    def __init__(self, findings: Findings, name: str, config: Config | None) -> None:
        self.findings = findings
        self.name = name
        self.config = RowShape.of_config(config) if config is not None else None
        self.shapes: list[RowShape] = []
        self.ids: list[NDArray[np.int64]] = []
        self.places: list[tuple[Path, NDArray[np.int64], NDArray[np.int64]]] = []
        findings.rows.setdefault(name, 0)

    def read(self, batch: RecordBatch, path: Path, part: slice) -> None:
        """Check the records of a batch (or of ``part``)."""
        left = np.arange(len(batch), dtype=np.int64)[part]
        self.findings.rows[self.name] += len(left)
        for shape in [self.config] if self.config is not None else self.shapes:
            decoded, left = usual_rows(batch, shape, left, exact=True)
            self._note(decoded, batch, path)
        while len(left):
            at = int(left[0])
            place = batch.place(at)
            left = left[1:]
            try:
                entry = parse_entry(batch.payload(at), path, place)
                if self.config is not None:
                    check_fits(entry, self.config, path, place, exact=True)
                    shape = self.config
                else:
                    shape = RowShape.of_entry(entry, path, place)
            except CheckpointError as error:
                self.findings.add_error(error, path)
                continue
            if has_unknown(entry):
                self.findings.add("unknown_field", path, f"id {entry.id}: a field that no schema knows", place)
            self._note(one_row(entry, shape, at), batch, path)
            if self.config is None and shape not in self.shapes:
                self.shapes.append(shape)
                decoded, left = usual_rows(batch, shape, left, exact=True)
                self._note(decoded, batch, path)

    def _note(self, decoded: Decoded, batch: RecordBatch, path: Path) -> None:
        rows = decoded.rows
        if not len(rows):
            return
        self.ids.append(rows.ids)
        self.places.append((path, batch.first + decoded.positions, batch.offset + batch.starts[decoded.positions] - 12))
        beyond = np.flatnonzero((decoded.times < 0) | (decoded.times > 0xFFFFFFFF))
        self._rows("time_beyond_u32", decoded, batch, path, beyond, lambda k: f"time {decoded.times[k]}")
        finite = np.isfinite(rows.weights).all(axis=1)
        for arrays in rows.state:
            for values in arrays.values():
                finite &= np.isfinite(values).reshape(len(rows), -1).all(axis=1)
        self._rows("non_finite", decoded, batch, path, np.flatnonzero(~finite), lambda _k: "a value that is not finite")

    def _rows(
        self,
        code: str,
        decoded: Decoded,
        batch: RecordBatch,
        path: Path,
        which: NDArray[np.int64],
        text: Callable[[int], str],
    ) -> None:
        for k in which[:20].tolist():
            place = batch.place(int(decoded.positions[k]))
            more = max(len(which) - 20, 0) if k == int(which[0]) else 0
            self.findings.add(code, path, f"id {decoded.rows.ids[k]}: {text(k)}", place, more)

    def finish(self, stem: Path) -> None:
        """Look for repeated ids and mixed shapes, over all files of the table."""
        if len(self.shapes) > 1:
            shapes = "; ".join(str(shape) for shape in self.shapes[:4])
            self.findings.add("mixed_widths", stem, f"table {self.name}: {len(self.shapes)} shapes of rows: {shapes}")
        if not self.ids:
            return
        ids = np.concatenate(self.ids)
        order = np.argsort(ids, kind="stable")
        again = order[1:][ids[order[1:]] == ids[order[:-1]]]
        ends = np.cumsum([len(part) for part in self.ids])
        for k in np.sort(again)[:20].tolist():
            part = int(np.searchsorted(ends, k, side="right"))
            inside = k - (int(ends[part - 1]) if part else 0)
            path, numbers, offsets = self.places[part]
            more = max(len(again) - 20, 0) if k == int(np.sort(again)[0]) else 0
            place = (int(numbers[inside]), int(offsets[inside]))
            self.findings.add("duplicate_id", path, f"table {self.name}: id {ids[k]} stands here again", place, more)


def _end_of_file(findings: Findings, file: RecordFile) -> None:
    findings.records += file.records
    if file.trailing:
        text = f"{file.trailing} bytes behind the last record, which the original takes for the end"
        findings.add("trailing_bytes", file.path, text, (None, file.position))


def _check_single(findings: Findings, contents: Contents, group: FileGroup) -> None:
    name = contents.name_of(group)
    table = _Table(findings, name, contents.config_of(name))
    for _shard, path in sorted(group.shards.items()):
        file = RecordFile(path)
        try:
            for batch in contents.batches(file):
                table.read(batch, path, slice(None))
        except CheckpointError as error:
            findings.add_error(error, path)
        _end_of_file(findings, file)
    table.finish(group.stem)


def _check_multi(findings: Findings, contents: Contents, group: FileGroup) -> None:
    tables: dict[str, _Table] = {}
    for shard, path in sorted(group.shards.items()):
        meta: list[MetaEntry] = []
        if shard in group.metas:
            meta = _check_meta(findings, group.metas[shard])
        else:
            findings.add("missing_meta", path, "its meta file is not there")
        for entry in meta:
            if entry.table not in tables:
                tables[entry.table] = _Table(findings, entry.table, contents.config_of(entry.table))
        _check_data(findings, contents, path, meta, tables, shard in group.metas)
    for table in tables.values():
        table.finish(group.stem)


def _check_meta(findings: Findings, path: Path) -> list[MetaEntry]:
    try:
        entries = read_meta(path)
    except CheckpointError as error:
        findings.add_error(error, path)
        return []
    findings.records += len(entries)
    names = [entry.table for entry in entries]
    for k, entry in enumerate(entries):
        if entry.table in names[:k]:
            findings.add("duplicate_table", path, f"table {entry.table} stands twice", (entry.record, entry.offset))
    if [name.encode() for name in names] != sorted(name.encode() for name in names):
        findings.add("unsorted_tables", path, "tables are not in order of name")
    return entries


def _check_data(
    findings: Findings,
    contents: Contents,
    path: Path,
    meta: list[MetaEntry],
    tables: Mapping[str, _Table],
    has_meta: bool,
) -> None:
    ends = np.cumsum([0, *(min(entry.rows, 1 << 62) for entry in meta)], dtype=np.float64)
    file = RecordFile(path, compressed=True)
    turn = 0
    try:
        for batch in contents.batches(file):
            for k in np.flatnonzero(batch.lengths > BLOCK).tolist():
                findings.add("large_payload", path, f"a payload of {batch.lengths[k]} bytes", batch.place(k))
            at = 0
            while at < len(batch) and turn < len(meta):
                left = int(ends[turn + 1]) - (batch.first + at)
                if left <= 0:
                    turn += 1
                    continue
                count = min(left, len(batch) - at)
                tables[meta[turn].table].read(batch, path, slice(at, at + count))
                at += count
    except CheckpointError as error:
        findings.add_error(error, path)
        _end_of_file(findings, file)
        return
    _end_of_file(findings, file)
    total = int(ends[-1])
    if has_meta and file.records < total:
        text = f"{file.records} records, the meta file counts {total}"
        findings.add("meta_count_short", path, text, (file.records, file.position))
    if has_meta and file.records > total:
        text = f"{file.records - total} records more than the meta file counts, which are never read"
        findings.add("surplus_records", path, text, (total, None))


def _check_filter(findings: Findings, contents: Contents, group: FileGroup) -> None:
    first: hash_filter_pb2.HashFilterSplitMetaDump | None = None
    for _split, path in sorted(group.shards.items()):
        try:
            meta, cells = filters.read_split(path)
            first = first if first is not None else meta
            filters.check_split(meta, first, group.count, path)
            findings.records += 1 + -(-len(cells) // filters.CELLS_PER_RECORD)
        except CheckpointError as error:
            findings.add_error(error, path)


def _check_gone(findings: Findings, contents: Contents, group: FileGroup) -> None:
    for path in group.shards.values():
        _quietly(findings, path, partial(read_gone, path))


def _check_dense(findings: Findings, contents: Contents, group: FileGroup) -> None:
    for path in group.shards.values():
        _quietly(findings, path, partial(read_dense, path))


_CHECKS: dict[str, Callable[[Findings, Contents, FileGroup], None]] = {
    "single": _check_single,
    "multi": _check_multi,
    "filter": _check_filter,
    "gone": _check_gone,
    "dense": _check_dense,
}
