"""Save and restore one table, or one multi table, under a prefix of its own. Rule: checkpoints 4.3, 4.4, 5.1.

A prefix with a manifest is a set of ours: sizes and checksums are checked, ids are unique. One without is foreign and
read by the original's rules. Either way the whole set is read and checked before anything is returned.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf import text_format
from monolith_protos import ckpt_info_pb2, hash_table_pb2

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.ahead import ahead
from monolith_ref.checkpoint.commit import Ranks, SetWriter, current_path, verify_file, verify_size
from monolith_ref.checkpoint.container import RecordFile
from monolith_ref.checkpoint.content import TableContent, shape_of_config, with_expiry_of_first
from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.loaded import LoadedTable, make_stage
from monolith_ref.checkpoint.manifest import FileEntry, Manifest, TableEntry, read_manifest
from monolith_ref.checkpoint.tables import (
    META_SUFFIX,
    meta_payload,
    read_meta,
    read_multi,
    read_single,
    shard_bounds,
    write_rows,
)
from monolith_ref.errors import ArgumentError, CheckpointError
from monolith_ref.sync.communicator import SerialCommunicator

__all__ = [
    "check_tables",
    "expect",
    "feature_counts",
    "load_multi",
    "load_single",
    "save_multi",
    "save_single",
    "shard_count",
    "table_entry",
    "write_feature_counts",
]

_SMALLEST_RECORD = 25
"""Bytes of a record with nothing but its id."""
_SMALLEST_PACKED = 8
"""About as few bytes of a compressed file hold a record."""


def save_single(
    prefix: str | Path,
    table: TableContent,
    *,
    shards: int = -1,
    quirks: Sequence[str] = (),
    profile: str = "ieee",
    global_step: int = 0,
    comm: Ranks | None = None,
) -> Manifest:
    """Write ``<prefix>-SSSSS-of-NNNNN`` and ``<prefix>.manifest``; ``shards`` -1: the original's number."""
    base = Path(prefix)
    count = shard_count(shards, table.size)
    writer = SetWriter(f"{base}{naming.MANIFEST_SUFFIX}", comm or SerialCommunicator())
    rows = 0
    with writer.writing():
        for shard, (begin, end) in enumerate(shard_bounds(table.size, count)):
            sink = writer.sink(naming.shard_name(base.name, shard, count))
            rows += write_rows(sink, table.shape, table.parts(begin, end))
            writer.finish(sink)
    return _commit(writer, [(table, rows)], quirks, profile, global_step)


def save_multi(
    prefix: str | Path,
    tables: Sequence[TableContent],
    *,
    shards: int = -1,
    quirks: Sequence[str] = (),
    profile: str = "ieee",
    global_step: int = 0,
    comm: Ranks | None = None,
) -> Manifest:
    """Write the pairs of files of a multi table (tables in order of name) and its manifest."""
    base = Path(prefix)
    ordered = sorted(tables, key=lambda table: table.name.encode())
    if "multi_expiry_first_table" in quirks:
        ordered = with_expiry_of_first(ordered)
    count = shard_count(shards, sum(table.size for table in ordered))
    writer = SetWriter(f"{base}{naming.MANIFEST_SUFFIX}", comm or SerialCommunicator())
    totals = [0] * len(ordered)
    with writer.writing():
        for shard in range(count):
            data = writer.sink(naming.shard_name(base.name, shard, count), compressed=True)
            here = []
            for table in ordered:
                here.append(write_rows(data, table.shape, table.parts(*shard_bounds(table.size, count)[shard])))
            writer.finish(data)
            meta = writer.sink(naming.shard_name(base.name + META_SUFFIX, shard, count))
            meta.write_payloads(meta_payload(table.name, n) for table, n in zip(ordered, here, strict=True))
            writer.finish(meta)
            totals = [a + b for a, b in zip(totals, here, strict=True)]
    return _commit(writer, list(zip(ordered, totals, strict=True)), quirks, profile, global_step)


def load_single(prefix: str | Path, config: bytes, partial: bool = False) -> LoadedTable:
    """Read a single table whole; ``config`` is that of the table that will take it.

    CheckpointError for an incomplete set, damage, a row that does not fit, or, in a set of ours, another configuration
    (``partial``: a warning). A serving table takes the weights of any training table of its width.
    """
    base = Path(prefix)
    shape = shape_of_config(config, base.name)
    manifest, paths, files = _locate(base)
    loaded = LoadedTable()
    if manifest is not None:
        if len(manifest.tables) != 1 or manifest.tables[0].kind != "single":
            raise CheckpointError("this is the set of a multi table", path=str(base))
        loaded = expect(manifest.tables[0], config, partial, base)
    loaded.stage = make_stage(config, _likely_rows(manifest, base.name, paths, _SMALLEST_RECORD))
    with _checking(base.parent, files) as check:
        for path in paths:
            file = RecordFile(path)
            for decoded in ahead(read_single(file, shape, loaded.stage)):
                loaded.add(decoded)
            check(file)
    if manifest is not None:
        loaded.check_distinct(base, manifest.tables[0].name)
    return loaded


def load_multi(prefix: str | Path, configs: Mapping[str, bytes], partial: bool = False) -> dict[str, LoadedTable]:
    """Read a multi table whole; ``configs``: name → configuration of the tables that will take it.

    As :func:`load_single`. Tables in a foreign set that are not asked for are read over, asked ones that it lacks are
    warned about, as in the original; in a set of ours both are errors unless ``partial``.
    """
    base = Path(prefix)
    shapes = {name: shape_of_config(config, name) for name, config in configs.items()}
    manifest, paths, files = _locate(base)
    loaded = {name: LoadedTable() for name in configs}
    if manifest is not None:
        entries = {entry.name: entry for entry in manifest.tables}
        check_tables(entries, configs, partial, base)
        for name in entries.keys() & configs.keys():
            loaded[name] = expect(entries[name], configs[name], partial, base)

    stages = {}
    for name, config in configs.items():
        stage = make_stage(config, _likely_rows(manifest, name, paths, _SMALLEST_PACKED))
        if stage is not None:
            stages[name] = loaded[name].stage = stage
    seen: set[str] = set()
    with _checking(base.parent, files) as check:
        for path in paths:
            final = naming.final_name(path.name) if naming.is_temporary(path.name) else path.name
            parts = naming.split_shard_name(final)
            shard, count = (parts[1], parts[2]) if parts else (0, 1)
            meta = read_meta(_meta_path(base, shard, count, manifest))
            seen.update(entry.table for entry in meta)
            file = RecordFile(path, compressed=True)
            for name, decoded in ahead(read_multi(file, meta, shapes.get, stages)):
                loaded[name].add(decoded)
            check(file)
    if manifest is not None:
        for name, table in loaded.items():
            table.check_distinct(base, name)
    for name in sorted(set(configs) - seen):
        warnings.warn(f"{base}: the set has no table {name}", stacklevel=2)
    return loaded


def check_tables(entries: Mapping[str, TableEntry], configs: Mapping[str, bytes], partial: bool, path: Path) -> None:
    """CheckpointError naming tables that are only in the set or only in the model (``partial``: warnings)."""
    problems = [f"table {name} is in the set and not in the model" for name in sorted(entries.keys() - configs.keys())]
    problems += [f"table {name} is in the model and not in the set" for name in sorted(configs.keys() - entries.keys())]
    if problems and not partial:
        raise CheckpointError("; ".join(problems), path=str(path))
    for problem in problems:
        warnings.warn(f"{path}: {problem}", stacklevel=3)


def feature_counts(prefix: str | Path) -> dict[str, int]:
    """Rows per table of a multi table's set, summed over shards (the original's FeatureStat)."""
    base = Path(prefix)
    manifest, paths, files = _locate(base)
    for found in files.values():
        verify_file(base.parent, found)
    counts: dict[str, int] = {}
    for shard in range(len(paths)):
        for entry in read_meta(_meta_path(base, shard, len(paths), manifest)):
            counts[entry.table] = counts.get(entry.table, 0) + entry.rows
    return counts


def write_feature_counts(directory: str | Path, step: int, counts: Mapping[str, int]) -> Path:
    """Write ``ckpt.info-<step>``: rows per feature in protobuf's text format."""
    path = Path(directory) / f"ckpt.info-{step}"
    message = ckpt_info_pb2.CkptInfo(feature_counts=dict(counts))
    path.write_text(text_format.MessageToString(message))
    return path


@contextlib.contextmanager
def _checking(root: Path, files: Mapping[Path, FileEntry]) -> Iterator[Callable[[RecordFile], None]]:
    """Check files of ours: those that were read whole by what was read, the rest in the end.

    What a check finds comes before anything that reading raises.
    """
    unchecked = dict(files)

    def check(file: RecordFile) -> None:
        entry = unchecked.get(file.path)
        if entry is not None and file.checksum is not None and f"{file.checksum:08x}" == entry.crc32c:
            del unchecked[file.path]

    for path, entry in files.items():
        verify_size(path, entry)
    try:
        yield check
    finally:
        for entry in unchecked.values():
            verify_file(root, entry)


def _likely_rows(manifest: Manifest | None, table: str, paths: Sequence[Path], smallest: int) -> int:
    """How many rows to expect of a table: what the manifest says, if the files can hold as many."""
    entry = manifest.table(table) if manifest is not None else None
    if manifest is not None and entry is None and len(manifest.tables) == 1:
        entry = manifest.tables[0]
    if entry is None:
        return 0
    return min(entry.rows, sum(path.stat().st_size for path in paths if path.exists()) // smallest)


def _locate(base: Path) -> tuple[Manifest | None, tuple[Path, ...], dict[Path, FileEntry]]:
    """The manifest, if there is one, the data files of shard 0, 1, ..., and what the manifest says of every file."""
    path = Path(f"{base}{naming.MANIFEST_SUFFIX}")
    if not path.exists():
        return None, naming.find_shards(base).paths, {}
    manifest = read_manifest(path)
    files = {current_path(base.parent, entry): entry for entry in manifest.files}
    shards: dict[int, Path] = {}
    for located, entry in files.items():
        parts = naming.split_shard_name(entry.path)
        if parts is not None and parts[0] == base.name:
            shards[parts[1]] = located
    return manifest, tuple(shards[shard] for shard in sorted(shards)), files


def _meta_path(base: Path, shard: int, count: int, manifest: Manifest | None) -> Path:
    name = naming.shard_name(base.name + META_SUFFIX, shard, count)
    entry = next((e for e in manifest.files if e.path == name), None) if manifest is not None else None
    return current_path(base.parent, entry) if entry is not None else base.parent / name


def expect(entry: TableEntry, config: bytes, partial: bool, path: Path) -> LoadedTable:
    """Room for a table of a set of ours; CheckpointError (``partial``: a warning) for another configuration."""
    if entry.config != config.hex() and not _serves(config):
        text = f"table {entry.name} was saved with another configuration"
        if not partial:
            raise damage("manifest_mismatch", text, path)
        warnings.warn(f"{path}: {text}", stacklevel=3)
    scales = tuple(int(word, 16) for word in entry.one_bit_scale)
    return LoadedTable([], entry.max_ts, entry.learning_rates, scales)


def _serves(config: bytes) -> bool:
    message = hash_table_pb2.EmbeddingHashTableConfig.FromString(config)
    return message.entry_config.entry_type == hash_table_pb2.EntryConfig.SERVING


def shard_count(asked: int, rows: int) -> int:
    """The number of shards (-1: the original's); ArgumentError for none or more than names can hold."""
    if asked == 0:
        raise ArgumentError("a set needs at least one shard")
    count = asked if asked > 0 else naming.default_shards(rows)
    if count > 99_999:
        raise ArgumentError(f"{count} shards do not fit the file names (at most 99999)")
    return count


def _commit(
    writer: SetWriter,
    tables: Sequence[tuple[TableContent, int]],
    quirks: Sequence[str],
    profile: str,
    global_step: int,
) -> Manifest:
    def build(files: list[FileEntry], _reports: list[dict[str, object]]) -> Manifest:
        return Manifest(
            global_step=global_step,
            quirks=tuple(sorted(quirks)),
            profile=profile,
            tables=tuple(table_entry(table, rows) for table, rows in tables),
            files=tuple(files),
        )

    return writer.commit({}, build)


def table_entry(table: TableContent, rows: int) -> TableEntry:
    """What the manifest says of a table."""
    scales = tuple(f"{word:08x}" for word in table.one_bit_scale)
    config, rates = table.config.hex(), table.learning_rates
    return TableEntry(table.name, table.kind, config, rates, rows, table.max_ts, scales)
