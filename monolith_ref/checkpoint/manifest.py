"""The manifest: one JSON object naming every file of a set; its rename is the commit point. Rule: checkpoints 5.1."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from monolith_ref.checkpoint.damage import damage

__all__ = ["FORMAT", "VERSION", "FileEntry", "Manifest", "TableEntry", "read_manifest"]

FORMAT = "monolith-ref checkpoint"
VERSION = 1


@dataclass(frozen=True)
class FileEntry:
    """One file: ``path`` and ``temporary`` are relative to the manifest, ``crc32c`` is eight hex digits."""

    path: str
    temporary: str
    bytes: int
    records: int
    crc32c: str
    rank: int


@dataclass(frozen=True)
class TableEntry:
    """One table: ``config`` in hex, ``rows`` and ``max_ts`` over all ranks, ``one_bit_scale`` as 8-hex words."""

    name: str
    kind: Literal["single", "multi"]
    config: str
    learning_rates: tuple[str, ...]
    rows: int
    max_ts: int
    one_bit_scale: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A set of files; fields as in the table of checkpoints 5.1, and ``extra``, an object of the writer's own."""

    kind: Literal["full", "delta"] = "full"
    base: str | None = None
    previous: str | None = None
    sequence: int = 0
    global_step: int = 0
    ranks: int = 1
    owner_rule: str = "floor-mod"
    quirks: tuple[str, ...] = ()
    profile: str = "ieee"
    tables: tuple[TableEntry, ...] = ()
    filters: tuple[dict[str, Any] | None, ...] = ()
    random: tuple[dict[str, Any] | None, ...] = ()
    files: tuple[FileEntry, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file's bytes, its own id included."""
        return self._bytes(self.id)

    @property
    def id(self) -> str:
        """First 32 hex digits of the SHA-256 of the manifest with an empty id."""
        return hashlib.sha256(self._bytes("")).hexdigest()[:32]

    def _bytes(self, identity: str) -> bytes:
        content = dataclasses.asdict(self) | {"format": FORMAT, "version": VERSION, "id": identity}
        return (json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    def table(self, name: str) -> TableEntry | None:
        """The table of that name, or None."""
        return next((table for table in self.tables if table.name == name), None)


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "kind": str,
    "base": (str, type(None)),
    "previous": (str, type(None)),
    "sequence": int,
    "global_step": int,
    "ranks": int,
    "owner_rule": str,
    "quirks": list,
    "profile": str,
    "tables": list,
    "filters": list,
    "random": list,
    "files": list,
    "extra": dict,
}
_CHOICES = {
    "kind": ("full", "delta"),
    "owner_rule": ("floor-mod", "empty-rank0"),
    "profile": ("ieee", "avx"),
}


def read_manifest(path: str | Path) -> Manifest:
    """Read and check a manifest; CheckpointError (``manifest_malformed``) says what is wrong with it."""
    where = Path(path)
    try:
        data = where.read_bytes()
    except OSError as error:
        raise damage("no_files", f"cannot be read: {error.strerror}", where) from error

    def wrong(text: str) -> Exception:
        return damage("manifest_malformed", text, where)

    try:
        content = json.loads(data.decode())
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise wrong(f"no JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise wrong(f"no object with format '{FORMAT}'")
    version = content.get("version")
    if type(version) is not int or version < 1:
        raise wrong(f"version {version!r} is no version")
    if version > VERSION:
        raise wrong(f"version {version} is newer than this reader's {VERSION}")
    content.setdefault("extra", {})
    for key, kind in _FIELDS.items():
        if not isinstance(content.get(key), kind) or isinstance(content.get(key), bool):
            raise wrong(f"'{key}' is missing or of a wrong type")
    for key, choices in _CHOICES.items():
        if content[key] not in choices:
            raise wrong(f"'{key}' is {content[key]!r}, not one of {', '.join(choices)}")
    if content["ranks"] < 1 or content["sequence"] < 0:
        raise wrong("ranks must be at least 1 and sequence at least 0")
    try:
        manifest = Manifest(
            **{key: content[key] for key in _FIELDS}
            | {
                "quirks": tuple(content["quirks"]),
                "tables": tuple(_table(item) for item in content["tables"]),
                "filters": tuple(content["filters"]),
                "random": tuple(content["random"]),
                "files": tuple(_file(item) for item in content["files"]),
            }
        )
    except (TypeError, KeyError, ValueError) as error:
        raise wrong(f"an entry of 'tables' or 'files' is wrong: {error}") from None
    expected = hashlib.sha256(_without_id(data, content.get("id"))).hexdigest()[:32]
    if content.get("id") != expected:
        raise wrong(f"its id is {content.get('id')!r}, its content gives {expected}")
    return manifest


def _without_id(data: bytes, identity: object) -> bytes:
    """The manifest's own bytes with the id taken out."""
    if not isinstance(identity, str):
        return data
    return data.replace(f'"id": {json.dumps(identity)}'.encode(), b'"id": ""', 1)


def _table(item: Any) -> TableEntry:
    _require(item, {"name": str, "kind": str, "config": str, "learning_rates": list, "rows": int, "max_ts": int})
    if item["kind"] not in ("single", "multi"):
        raise ValueError(f"table kind {item['kind']!r}")
    bytes.fromhex(item["config"])
    scales = item.get("one_bit_scale", [])
    return TableEntry(
        item["name"],
        item["kind"],
        item["config"],
        tuple(item["learning_rates"]),
        item["rows"],
        item["max_ts"],
        tuple(f"{int(word, 16):08x}" for word in scales),
    )


def _file(item: Any) -> FileEntry:
    _require(item, {"path": str, "temporary": str, "bytes": int, "records": int, "crc32c": str, "rank": int})
    for key in ("path", "temporary"):
        parts = Path(item[key]).parts
        if not parts or Path(item[key]).is_absolute() or ".." in parts:
            raise ValueError(f"{key} {item[key]!r} leads out of the folder")
    if item["bytes"] < 0 or item["records"] < 0 or len(item["crc32c"]) != 8 or int(item["crc32c"], 16) < 0:
        raise ValueError(f"{item['path']}: bytes, records or crc32c")
    return FileEntry(*(item[f.name] for f in dataclasses.fields(FileEntry)))


def _require(item: Any, kinds: dict[str, type]) -> None:
    if not isinstance(item, dict):
        raise TypeError("not an object")
    for key, kind in kinds.items():
        if type(item.get(key)) is not kind:
            raise TypeError(f"'{key}' is missing or no {kind.__name__}")
