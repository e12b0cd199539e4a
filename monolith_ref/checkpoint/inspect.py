"""What lies under a prefix: tables, filters, a job's checkpoint; ours or foreign, whole or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from monolith_protos import hash_table_pb2

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.commit import current_path
from monolith_ref.checkpoint.container import RecordBatch, RecordFile
from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.filters import FILTER_STEM
from monolith_ref.checkpoint.increment import GONE_SUFFIX
from monolith_ref.checkpoint.job import latest
from monolith_ref.checkpoint.job_writer import DENSE_SUFFIX, PREFIX
from monolith_ref.checkpoint.manifest import Manifest, TableEntry, read_manifest
from monolith_ref.checkpoint.rows import Decoded, decode, decode_any
from monolith_ref.checkpoint.shape import RowShape
from monolith_ref.checkpoint.tables import META_SUFFIX, read_meta
from monolith_ref.errors import CheckpointError, ConfigError
from monolith_ref.progress import Bar

__all__ = ["Contents", "FileGroup", "Located", "open_contents", "read_configs", "table_rows"]

Kind = Literal["single", "multi", "filter", "gone", "dense"]
Config = hash_table_pb2.EmbeddingHashTableConfig


@dataclass
class FileGroup:
    """The files of one basename.

    Attributes
    ----------
    kind : str
    stem : Path
        The basename.
    shards : dict of int to Path
        What is there, by number of shard.
    metas : dict of int to Path
        Meta files of a multi table.
    count : int
        How many shards there should be.
    """

    kind: Kind
    stem: Path
    shards: dict[int, Path] = field(default_factory=dict)
    metas: dict[int, Path] = field(default_factory=dict)
    count: int = 1
    other_counts: tuple[int, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Names of shards that are not there."""
        absent = [shard for shard in range(self.count) if shard not in self.shards]
        return [naming.shard_name(self.stem.name, shard, self.count) for shard in absent]


@dataclass
class Contents:
    """Everything under a prefix.

    Attributes
    ----------
    prefix : Path
    manifest : Manifest or None
    root : Path
        Folder that paths of the manifest start from.
    groups : list of FileGroup
    configs : dict of str to Config
        By table, from the manifest or given.
    single_config : Config or None
        A given configuration without a name: that of every single table.
    leftovers : list of Path
        Temporary files of interrupted writers.
    bar : Bar
        Counts the bytes that are read; nobody sees the one that it is without another.
    """

    prefix: Path
    manifest: Manifest | None
    root: Path
    groups: list[FileGroup]
    configs: dict[str, Config]
    single_config: Config | None = None
    leftovers: list[Path] = field(default_factory=list)
    bar: Bar = field(default_factory=lambda: Bar("reading", wanted=False))

    def size(self) -> int:
        """Bytes of all shards of all tables."""
        groups = [group for group in self.groups if group.kind in ("single", "multi")]
        return sum(path.stat().st_size for group in groups for path in group.shards.values() if path.exists())

    def batches(self, file: RecordFile) -> Iterator[RecordBatch]:
        """The records of one of the files, counted on the bar."""
        counted = 0
        for batch in file.batches():
            yield batch
            if file.consumed != counted:
                self.bar.advance(file.consumed - counted)
                counted = file.consumed

    def name_of(self, group: FileGroup) -> str:
        """The table of a single table's files."""
        if self.manifest is not None:
            singles = [table for table in self.manifest.tables if table.kind == "single"]
            for table in singles:
                if naming.file_stem(table.name) == group.stem.name or len(singles) == 1:
                    return table.name
        return group.stem.name

    def config_of(self, table: str) -> Config | None:
        """The configuration of a table where one is known."""
        return self.configs.get(table, self.single_config)

    def entry_of(self, table: str) -> TableEntry | None:
        """What the manifest says of a table."""
        return self.manifest.table(table) if self.manifest is not None else None

    def tables(self) -> list[str]:
        """Names of all tables, as the manifest, meta files and basenames give them."""
        names: dict[str, None] = {}
        for group in self.groups:
            if group.kind == "single":
                names[self.name_of(group)] = None
            elif group.kind == "multi":
                for path in group.metas.values():
                    names.update(dict.fromkeys(entry.table for entry in read_meta(path)))
        return list(names)


def open_contents(
    prefix: str | Path, configs: Mapping[str, Config] | None = None, single_config: Config | None = None
) -> Contents:
    """What lies under ``prefix``: a basename, ``<dir>/model.ckpt-<step>[.delta]``, a manifest, or a folder.

    A folder means its newest job checkpoint, or, without one, every set of files in it. CheckpointError (``no_files``)
    where there is nothing; a manifest that is damaged raises, too.
    """
    base = Path(prefix)
    if base.name.endswith(naming.MANIFEST_SUFFIX):
        base = base.with_name(base.name.removesuffix(naming.MANIFEST_SUFFIX))
    if base.is_dir():
        newest = latest(base)
        if newest is None:
            return _foreign(base, base, None, configs, single_config)
        delta = ".delta" if newest.manifest.kind == "delta" else ""
        base = base / f"{PREFIX}{newest.step}{delta}"
    path = Path(f"{base}{naming.MANIFEST_SUFFIX}")
    if path.exists():
        return _ours(base, read_manifest(path), configs, single_config)
    return _foreign(base, base.parent, base.name, configs, single_config)


def _ours(
    base: Path, manifest: Manifest, configs: Mapping[str, Config] | None, single_config: Config | None
) -> Contents:
    root = base.parent
    known = {table.name: Config.FromString(bytes.fromhex(table.config)) for table in manifest.tables}
    groups: dict[str, FileGroup] = {}
    multis = any(table.kind == "multi" for table in manifest.tables)
    for entry in manifest.files:
        located = current_path(root, entry)
        parts = naming.split_shard_name(Path(entry.path).name)
        if parts is None:
            kind: Kind = "dense" if entry.path.endswith(DENSE_SUFFIX) else "single"
            groups[entry.path] = FileGroup(kind, root / entry.path, {0: located})
            continue
        stem, shard, count = parts
        where = Path(entry.path).with_name(stem.removesuffix(META_SUFFIX))
        kind = _kind(stem, multis, manifest)
        group = groups.setdefault(where.as_posix(), FileGroup(kind, root / where, count=count))
        (group.metas if stem.endswith(META_SUFFIX) and kind == "multi" else group.shards)[shard] = located
    leftovers = []
    named = {root / entry.temporary for entry in manifest.files}
    folders = {root, *(root / Path(entry.path).parent for entry in manifest.files)}
    for folder in sorted(folders):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if naming.is_temporary(path.name) and path not in named:
                leftovers.append(path)
    return Contents(base, manifest, root, list(groups.values()), {**known, **(configs or {})}, single_config, leftovers)


def _kind(stem: str, multis: bool, manifest: Manifest) -> Kind:
    if stem.endswith(GONE_SUFFIX):
        return "gone"
    if stem.startswith(FILTER_STEM) and manifest.filters:
        return "filter"
    singles = {naming.file_stem(table.name) for table in manifest.tables if table.kind == "single"}
    return "multi" if multis and stem not in singles else "single"


def _foreign(
    base: Path,
    folder: Path,
    only: str | None,
    configs: Mapping[str, Config] | None,
    single_config: Config | None,
) -> Contents:
    found: dict[str, dict[int, dict[int, Path]]] = {}
    leftovers = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if naming.is_leftover(path.name, only):
            leftovers.append(path)
        parts = naming.split_shard_name(path.name)
        if parts is not None and (only is None or parts[0] in (only, only + META_SUFFIX)):
            found.setdefault(parts[0], {}).setdefault(parts[2], {})[parts[1]] = path
    groups = []
    for stem, counts in found.items():
        if stem.endswith(META_SUFFIX) and stem.removesuffix(META_SUFFIX) in found:
            continue
        # Several sets side by side: the one with most files is looked into, the others are reported.
        count = max(counts, key=lambda n: (len(counts[n]), n))
        others = tuple(sorted(set(counts) - {count}))
        metas = found.get(stem + META_SUFFIX, {}).get(count, {})
        kind = _foreign_kind(stem, bool(metas), counts[count])
        groups.append(FileGroup(kind, folder / stem, counts[count], metas, count, others))
    if not groups:
        raise damage("no_files", "there is neither a manifest nor a file of a table or filter", base)
    return Contents(base, None, folder, groups, dict(configs or {}), single_config, leftovers)


def _foreign_kind(stem: str, has_meta: bool, shards: Mapping[int, Path]) -> Kind:
    if stem.startswith(FILTER_STEM):
        return "filter"
    if has_meta or stem.startswith("MonolithMultiHashTable"):
        return "multi"
    first = next((path for _shard, path in sorted(shards.items()) if path.stat().st_size), None)
    if first is not None and not stem.startswith("MonolithHashTable"):
        try:
            next(RecordFile(first).batches(), None)
        except CheckpointError:
            try:
                next(RecordFile(first, compressed=True).batches(), None)
            except CheckpointError:
                return "single"
            return "multi"
    return "single"


@dataclass
class Located:
    """Rows of one shape, and where they stand."""

    table: str
    path: Path
    batch: RecordBatch
    decoded: Decoded

    def place(self, k: int) -> tuple[int, int]:
        """(record, byte offset) of row ``k``."""
        return self.batch.place(int(self.decoded.positions[k]))


def table_rows(contents: Contents, only: str | None = None) -> Iterator[Located]:
    """Every row of every table (or of ``only`` one), a batch at a time; any damage raises CheckpointError."""
    contents.bar.begin("reading", contents.size(), in_bytes=True)
    for group in contents.groups:
        if group.kind == "single" and only in (None, contents.name_of(group)):
            name = contents.name_of(group)
            for path in _complete(group):
                for batch in contents.batches(RecordFile(path)):
                    for decoded in _decoded(contents, name, batch, path, slice(None)):
                        yield Located(name, path, batch, decoded)
        elif group.kind == "multi":
            for shard, path in enumerate(_complete(group)):
                if shard not in group.metas:
                    raise damage("missing_meta", "its meta file is not there", path)
                yield from _multi_rows(contents, path, group.metas[shard], only)


def _multi_rows(contents: Contents, path: Path, meta: Path, only: str | None) -> Iterator[Located]:
    entries = [entry for entry in read_meta(meta) if entry.rows]
    left = entries[0].rows if entries else 0
    turn = 0
    file = RecordFile(path, compressed=True)
    for batch in contents.batches(file):
        at = 0
        while at < len(batch) and turn < len(entries):
            count = min(left, len(batch) - at)
            name = entries[turn].table
            if only in (None, name):
                for decoded in _decoded(contents, name, batch, path, slice(at, at + count)):
                    yield Located(name, path, batch, decoded)
            at += count
            left -= count
            if not left:
                turn += 1
                left = entries[turn].rows if turn < len(entries) else 0
    if turn < len(entries):
        text = f"table {entries[turn].table}: {left} rows that the meta file counts are not there"
        raise damage("meta_count_short", text, path, file.records, file.position)


def _decoded(contents: Contents, name: str, batch: RecordBatch, path: Path, part: slice) -> list[Decoded]:
    config = contents.config_of(name)
    if config is not None:
        return [decode(batch, path, RowShape.of_config(config), part)]
    return decode_any(batch, path, [], part)


def _complete(group: FileGroup) -> list[Path]:
    if group.missing:
        text = f"{len(group.missing)} of {group.count} files are missing: {', '.join(group.missing[:20])}"
        raise damage("missing_shard", text, group.stem)
    return [group.shards[shard] for shard in range(group.count)]


def read_configs(path: str | Path) -> tuple[dict[str, Config], Config | None]:
    """Configurations from a file: a multi table's message (by name) or a table's, binary or in text format."""
    data = Path(path).read_bytes()
    multi = hash_table_pb2.MultiEmbeddingHashTableConfig
    for kind in (multi, Config):
        message = kind()
        try:
            text_format.Parse(data.decode(), message)
        except (UnicodeDecodeError, text_format.ParseError):
            try:
                message.ParseFromString(data)
            except DecodeError:
                continue
        if isinstance(message, multi):
            if len(message.names) == len(message.configs) > 0:
                return dict(zip(message.names, message.configs, strict=True)), None
        elif len(message.entry_config.segments):
            return {}, message
    raise ConfigError(f"{path}: neither an EmbeddingHashTableConfig nor a MultiEmbeddingHashTableConfig")
