"""Files through the engine: what the public tables call, on the tables of the protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monolith_ref.errors import StateError

__all__ = ["Jobs", "read_filter", "read_multi", "read_single", "write_filter", "write_multi", "write_single"]


def _content(table: Any, name: str, kind: str) -> Any:
    from monolith_ref.checkpoint import api

    return api.table_content(table, name, kind, ())


def _config(table: Any) -> bytes:
    config: bytes = table.plan.config.SerializeToString(deterministic=True)
    return config


def write_single(table: Any, path: Path, shards: int) -> int:
    """The files of one table."""
    from monolith_ref.checkpoint import sets

    quirks, profile = sorted(table.quirks), table.target.profile
    manifest = sets.save_single(
        path, _content(table, path.name, "single"), shards=shards or -1, quirks=quirks, profile=profile
    )
    return manifest.tables[0].rows


def read_single(table: Any, path: Path) -> int:
    """One table from its files."""
    from monolith_ref.checkpoint import api, sets

    api.restore_into(table, sets.load_single(path, _config(table)))
    return int(table.size)


def write_multi(tables: Mapping[str, Any], path: Path, shards: int, quirks: Any) -> list[int]:
    """The files of several tables."""
    from monolith_ref.checkpoint import sets

    contents = [_content(table, name, "multi") for name, table in tables.items()]
    profile = next(iter(tables.values())).target.profile
    manifest = sets.save_multi(path, contents, shards=shards or -1, quirks=sorted(quirks), profile=profile)
    return [table.rows for table in manifest.tables]


def read_multi(tables: Mapping[str, Any], path: Path, quirks: Any) -> list[int]:
    """Several tables from their files."""
    from monolith_ref.checkpoint import api, sets

    loaded = sets.load_multi(path, {name: _config(table) for name, table in tables.items()})
    for name, table in tables.items():
        api.restore_into(table, loaded[name], clear="multi_restore_keeps_rows" not in quirks)
    return [int(table.size) for table in tables.values()]


def _sliding(table: Any) -> Any:
    if table.filter.kind != "sliding":
        raise StateError("the table has no sliding filter in front of it")
    return table.filter


def write_filter(table: Any, path: Path) -> int:
    """The files of the filter in front of a table."""
    from monolith_ref.checkpoint import filters
    from monolith_ref.checkpoint.commit import SetWriter
    from monolith_ref.checkpoint.manifest import Manifest
    from monolith_ref.sync.communicator import SerialCommunicator

    state = _sliding(table).export_state()
    writer = SetWriter(f"{path}.manifest", SerialCommunicator())
    with writer.writing():
        filters.write_filter(writer, path.name, state)
    described = (filters.describe_filter(state),)
    manifest = writer.commit({}, lambda files, _reports: Manifest(filters=described, files=tuple(files)))
    return len(manifest.files)


def read_filter(table: Any, path: Path) -> int:
    """The filter in front of a table from files; they were made with the hash of the rules."""
    from monolith_ref.checkpoint import filters

    made = _sliding(table)
    state = filters.read_filter(path)
    here = made.export_state()
    made.import_state(
        dataclasses.replace(state, hash=here.hash, signature_hash=here.signature_hash, capacity=here.capacity)
    )
    return len(state.cells)


class Jobs:
    """Sets of several tables in one folder, and increments: what was written last, by folder."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def write(self, tables: Mapping[str, Any], folder: Path, step: int, delta: bool) -> list[int]:
        """A whole set, or what changed since the last one."""
        from monolith_ref.checkpoint import job
        from monolith_ref.checkpoint.manifest import read_manifest
        from monolith_ref.sync.communicator import SerialCommunicator

        previous = self._last.get(str(folder)) if delta else None
        if delta and previous is None:
            raise StateError(f"an increment of step {step} has no set before it")
        contents = [_content(table, name, "multi") for name, table in tables.items()]
        path = job.write_job_checkpoint(folder, step, contents, {}, SerialCommunicator(), previous=previous)
        for table in tables.values():
            table.training_store.track_changes()
        self._last[str(folder)] = manifest = read_manifest(path)
        return [table.rows for table in manifest.tables]

    def read(self, tables: Mapping[str, Any], folder: Path) -> list[int]:
        """The newest set and its increments."""
        from monolith_ref.checkpoint import job
        from monolith_ref.checkpoint.restore import load_job

        newest = job.latest(folder)
        if newest is None:
            raise StateError(f"there is no set in {folder.name}")
        load_job(newest, {name: _config(table) for name, table in tables.items()}).put_into_tables(tables)
        return [int(table.size) for table in tables.values()]
