"""Sets of a job's tables with their manifests, and increments, naively: whole sets and chains. Rule: checkpoints 5."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
from monolith_protos import checkpoint_pb2, hash_table_pb2

from monolith_conformance.oracle import files

__all__ = ["JobTable", "read_newest", "write_set"]

STEM = "MonolithMultiHashTable_"
Manifest = dict[str, Any]


class JobTable(NamedTuple):
    """One table of a set: its message, latest update, records, and ids that are gone since the set before."""

    config: bytes
    max_ts: int
    records: Sequence[bytes]
    gone: Sequence[int] = ()


def write_set(folder: Path, step: int, tables: Mapping[str, JobTable], previous: Manifest | None = None) -> Manifest:
    """Write a whole set, or, with the set before it, an increment; returns its manifest."""
    name = f"model.ckpt-{step}" + (".delta" if previous else "")
    assets = f"{name}.assets"
    data = files.shard_name(STEM, 0, 1)
    files.write_multi(folder / assets / STEM, {key: table.records for key, table in tables.items()}, 1)
    paths = {f"{assets}/{data}": sum(len(table.records) for table in tables.values())}
    paths[f"{assets}/{files.shard_name(STEM + '.meta', 0, 1)}"] = len(tables)
    _records(folder / f"{name}.dense", [_global_step(step)])
    paths[f"{name}.dense"] = 1
    if previous:
        gone = [
            checkpoint_pb2.Tombstones(table_name=key, id=sorted(tables[key].gone)).SerializeToString()
            for key in sorted(tables, key=str.encode)
            if tables[key].gone
        ]
        _records(folder / files.shard_name(f"{name}.gone", 0, 1), gone)
        paths[files.shard_name(f"{name}.gone", 0, 1)] = len(gone)
    manifest: Manifest = {
        "format": "monolith-ref checkpoint",
        "version": 1,
        "kind": "delta" if previous else "full",
        "base": (previous["base"] or previous["id"]) if previous else None,
        "previous": previous["id"] if previous else None,
        "sequence": previous["sequence"] + 1 if previous else 0,
        "global_step": step,
        "ranks": 1,
        "owner_rule": "floor-mod",
        "quirks": [],
        "profile": "ieee",
        "tables": [_table(key, tables[key]) for key in sorted(tables, key=str.encode)],
        "filters": [],
        "random": [],
        "extra": {},
        "files": [_file(folder, path, count) for path, count in sorted(paths.items())],
        "id": "",
    }
    manifest["id"] = hashlib.sha256(_text(manifest)).hexdigest()[:32]
    (folder / f"{name}.manifest").write_bytes(_text(manifest))
    return manifest


def read_newest(folder: Path) -> dict[str, JobTable]:
    """The tables as they were at the newest set: the whole set, then every increment after it."""
    known = {manifest["id"]: (manifest, path) for path in sorted(folder.glob("*.manifest")) for manifest in _read(path)}
    if not known:
        raise files.DamagedFile("there is no set")
    last, path = max(known.values(), key=lambda entry: (entry[0]["global_step"], entry[0]["sequence"]))
    chain = [(last, path)]
    while chain[0][0]["kind"] == "delta":
        here = chain[0][0]
        if here["previous"] not in known:
            raise files.DamagedFile(f"the set before step {here['global_step']} is not there")
        before = known[here["previous"]]
        full = before[0]["id"] if before[0]["kind"] == "full" else before[0]["base"]
        same = _configs(before[0]) == _configs(here)
        if full != here["base"] or before[0]["sequence"] != here["sequence"] - 1 or not same:
            raise files.DamagedFile(f"step {here['global_step']} does not follow step {before[0]['global_step']}")
        chain.insert(0, before)
    rows: dict[str, dict[int, bytes]] = {table["name"]: {} for table in last["tables"]}
    for manifest, path in chain:
        _apply(folder, manifest, path.name.removesuffix(".manifest"), rows)
    return {
        table["name"]: JobTable(bytes.fromhex(table["config"]), table["max_ts"], list(rows[table["name"]].values()))
        for table in last["tables"]
    }


def _configs(manifest: Manifest) -> list[tuple[str, str]]:
    return [(table["name"], table["config"]) for table in manifest["tables"]]


def _apply(folder: Path, manifest: Manifest, name: str, rows: dict[str, dict[int, bytes]]) -> None:
    for entry in manifest["files"]:
        data = (folder / entry["path"]).read_bytes() if (folder / entry["path"]).exists() else b""
        if len(data) != entry["bytes"] or f"{google_crc32c.value(data):08x}" != entry["crc32c"]:
            raise files.DamagedFile(f"{entry['path']} is not what the manifest says")
    if manifest["kind"] == "delta":
        for path in files.find_shards(folder / f"{name}.gone"):
            for payload in files.payloads_of(path.read_bytes()):
                gone = checkpoint_pb2.Tombstones.FromString(payload)
                for fid in gone.id:
                    rows[gone.table_name].pop(fid, None)
    for table, records in files.read_multi(folder / f"{name}.assets" / STEM).items():
        for record in records:
            rows[table][hash_table_pb2.EntryDump.FromString(record).id] = record


def _read(path: Path) -> list[Manifest]:
    """The manifest of a file, or nothing where it is not one."""
    try:
        manifest: Manifest = json.loads(path.read_bytes())
        identity, manifest["id"] = manifest["id"], ""
    except (ValueError, KeyError, TypeError):
        return []
    sound = hashlib.sha256(_text(manifest)).hexdigest()[:32] == identity
    return [{**manifest, "id": identity}] if sound else []


def _text(manifest: Manifest) -> bytes:
    return (json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def _table(name: str, table: JobTable) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "multi",
        "config": table.config.hex(),
        "learning_rates": [],
        "rows": len(table.records),
        "max_ts": table.max_ts,
        "one_bit_scale": [],
    }


def _file(folder: Path, path: str, count: int) -> dict[str, Any]:
    data, place = (folder / path).read_bytes(), Path(path)
    return {
        "path": path,
        "temporary": (place.parent / f".tmp-{'0' * 16}-{place.name}").as_posix(),
        "bytes": len(data),
        "records": count,
        "crc32c": f"{google_crc32c.value(data):08x}",
        "rank": 0,
    }


def _records(path: Path, payloads: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(piece for payload in payloads for piece in files.frame(payload)))


def _global_step(step: int) -> bytes:
    """The record of the job's step: name, type, no shape, eight bytes."""
    return b"\x0a\x0bglobal_step\x12\x05int64\x22\x08" + struct.pack("<q", step)
