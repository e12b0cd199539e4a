"""Saving and restoring the public tables under a basename of their own. Rule: tables 7, 8, checkpoints 4, 5.1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monolith_ref.checkpoint import naming, sets
from monolith_ref.checkpoint.content import TableContent
from monolith_ref.checkpoint.loaded import LoadedTable
from monolith_ref.errors import StateError
from monolith_ref.table.store import RowStore

if TYPE_CHECKING:
    from monolith_ref.table.core import Table
    from monolith_ref.table.hash_table import HashTable
    from monolith_ref.table.multi import MultiHashTable

__all__ = [
    "feature_stat",
    "read_multi_table",
    "read_table",
    "restore_into",
    "restore_multi_table",
    "restore_table",
    "save_multi_table",
    "save_table",
    "set_scales",
    "table_content",
]


def table_content(table: Table, name: str, kind: Any, rates: Sequence[Any]) -> TableContent:
    """What a save takes of a table; StateError for a serving table."""
    if not isinstance(table.store, RowStore):
        raise StateError(f"table {name}: ServingEntryAccessor doesn't support Save.")
    store = table.store
    words = store.scales.view(np.uint32)
    scales = tuple(int(words[number]) for number in _one_bit_segments(table))
    config = table.plan.config.SerializeToString(deterministic=True)
    return TableContent(name, kind, config, tuple(str(rate) for rate in rates), store, table.max_ts, scales)


def restore_into(table: Table, loaded: LoadedTable, clear: bool = True) -> None:
    """Put loaded rows into a table. Clearing, it takes the set's maximum time; else the greater of both."""
    before = table.max_ts
    if clear:
        table.clear()
        table.max_ts = 0
    if table.serving or not clear:
        for rows, widths in loaded.parts:
            table.restore(rows, widths)
        loaded.parts = []
    else:
        latest = [int(rows.update_time.max()) for rows, _widths in loaded.parts]
        loaded.put_into(table.training_store)
        table.max_ts = max(latest, default=0)
    if loaded.max_ts is not None and not table.serving:
        table.max_ts = loaded.max_ts if clear else max(before, loaded.max_ts)
    set_scales(table, loaded.one_bit_scale)


def set_scales(table: Table, scales: Sequence[int]) -> None:
    """Give a training table's one_bit segments their scales back (bits of float32)."""
    if isinstance(table.store, RowStore) and scales:
        bits = np.array(scales, np.uint32).view(np.float32)
        for number, scale in zip(_one_bit_segments(table), bits, strict=True):
            table.store.scales[number] = scale


def save_table(basename: str | Path, handle: HashTable) -> None:
    """Write a table's files and their manifest."""
    table = handle.table
    content = table_content(table, handle.name, "single", handle.config.learning_rate_fns)
    sets.save_single(
        basename,
        content,
        shards=handle.saver_parallel,
        quirks=sorted(table.quirks),
        profile=table.target.profile,
    )


def restore_table(basename: str | Path, handle: HashTable) -> None:
    """Read a table's files, then clear the table and fill it.

    Where a file of the table's own name is not there, files of its ``extra_restore_names`` are taken.
    """
    read_table(basename, handle)()


def read_table(basename: str | Path, handle: HashTable) -> Callable[[], None]:
    """Read what :func:`restore_table` reads; calling the result changes the table."""
    config = handle.table.plan.config.SerializeToString(deterministic=True)
    loaded = sets.load_single(_existing(Path(basename), handle), config)
    return lambda: restore_into(handle.table, loaded)


def save_multi_table(basename: str | Path, handle: MultiHashTable) -> None:
    """Write the files of all tables and their manifest."""
    contents = [
        table_content(table, name, "multi", handle.configs[name].learning_rate_fns)
        for name, table in handle.tables.items()
    ]
    sets.save_multi(
        basename,
        contents,
        shards=handle.saver_parallel,
        quirks=sorted(handle.quirks),
        profile=next(iter(handle.tables.values())).target.profile,
    )


def restore_multi_table(basename: str | Path, handle: MultiHashTable) -> None:
    """Read the files of all tables, then clear and fill them (``multi_restore_keeps_rows``: without clearing)."""
    read_multi_table(basename, handle)()


def read_multi_table(basename: str | Path, handle: MultiHashTable) -> Callable[[], None]:
    """Read what :func:`restore_multi_table` reads; calling the result changes the tables."""
    configs = {name: table.plan.config.SerializeToString(deterministic=True) for name, table in handle.tables.items()}
    loaded = sets.load_multi(basename, configs)

    def change() -> None:
        for name, table in handle.tables.items():
            restore_into(table, loaded[name], clear="multi_restore_keeps_rows" not in handle.quirks)

    return change


def feature_stat(basename: str | Path) -> dict[str, int]:
    """Rows by table in the files of ``basename``."""
    return sets.feature_counts(basename)


def _one_bit_segments(table: Table) -> list[int]:
    segments = table.plan.segments
    return [number for number, part in enumerate(segments) if part.comp_config.WhichOneof("type") == "one_bit"]


def _existing(base: Path, handle: HashTable) -> Path:
    """The basename whose files are there: the given one, or one of the table's extra names."""
    if base.name != naming.file_stem(handle.name) or _has_files(base):
        return base
    prefix = handle.name.split("_", 1)[0]
    for extra in handle.extra_restore_names:
        for stem in (extra, f"{prefix}_{extra}"):
            other = base.with_name(naming.file_stem(stem))
            if _has_files(other):
                return other
    return base


def _has_files(base: Path) -> bool:
    if base.with_name(base.name + naming.MANIFEST_SUFFIX).exists():
        return True
    names = (naming.split_shard_name(path.name) for path in base.parent.iterdir()) if base.parent.is_dir() else ()
    return any(parts is not None and parts[0] == base.name for parts in names)
