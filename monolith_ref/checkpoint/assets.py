"""Restoring tables from a folder of their files alone, where there is no checkpoint. Rule: checkpoints 4.3.

An exported model, or what is left of a checkpoint of the original, may be a directory with one ``*.assets`` folder and
no dense variables that can be read: rows alone are restored from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.api import read_multi_table, read_table
from monolith_ref.checkpoint.job import steps
from monolith_ref.table.hash_table import HashTable

if TYPE_CHECKING:
    from monolith_ref.table.multi import MultiHashTable

__all__ = ["lone_assets", "restore_from_assets"]


def lone_assets(directory: str | Path) -> Path | None:
    """The only ``*.assets`` folder of a directory without a checkpoint; None where there is one, or not one folder.

    A checkpoint is a valid manifest of ours, or what the original's framework leaves: the file ``checkpoint`` or an
    ``*.index``.
    """
    root = Path(directory)
    if not root.is_dir() or (root / "checkpoint").exists() or any(root.glob("*.index")) or steps(root):
        return None
    folders = [path for path in sorted(root.glob("*" + naming.ASSETS_SUFFIX)) if path.is_dir()]
    return folders[0] if len(folders) == 1 else None


def restore_from_assets(directory: str | Path, tables: Sequence[HashTable | MultiHashTable]) -> Path | None:
    """Restore tables from :func:`lone_assets` of a directory; returns the folder, None (nothing done) without one.

    CheckpointError for a table whose files are not there, are damaged or do not fit it: every file is read before
    the first table changes.
    """
    folder = lone_assets(directory)
    if folder is None:
        return None
    changes: list[Callable[[], None]] = []
    for table in tables:
        base = folder / naming.file_stem(table.name)
        changes.append(read_table(base, table) if isinstance(table, HashTable) else read_multi_table(base, table))
    for change in changes:
        change()
    return folder
