"""Names of shard files, and which files of a folder are one set. Rule: checkpoints 4.3, 4.4."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monolith_ref.checkpoint.damage import damage

__all__ = [
    "ASSETS_SUFFIX",
    "MANIFEST_SUFFIX",
    "ShardSet",
    "belongs",
    "default_shards",
    "file_stem",
    "final_name",
    "find_shards",
    "is_leftover",
    "is_temporary",
    "owned",
    "shard_name",
    "split_shard_name",
    "temporary_name",
]

MANIFEST_SUFFIX = ".manifest"
ASSETS_SUFFIX = ".assets"
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}-.+")
_FOREIGN_TEMPORARY = re.compile(r".+-tmp-\d+")
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})", re.DOTALL)


def file_stem(table: str) -> str:
    """A table's name as it stands in file names."""
    return table.replace(":", "-").replace("/", "-")


def shard_name(stem: str, shard: int, shards: int) -> str:
    """``<stem>-SSSSS-of-NNNNN``."""
    return f"{stem}-{shard:05d}-of-{shards:05d}"


def split_shard_name(name: str) -> tuple[str, int, int] | None:
    """(stem, shard, number of shards) of a file name; None where it is no shard's."""
    match = _SHARD.fullmatch(name)
    return (match[1], int(match[2]), int(match[3])) if match else None


def temporary_name(name: str, token: str) -> str:
    """The name that a file has until its set is committed; ``token``: 16 hex digits."""
    return f".tmp-{token}-{name}"


def is_temporary(name: str) -> bool:
    """Whether it is a temporary name of ours."""
    return _TEMPORARY.fullmatch(name) is not None


def default_shards(rows: int) -> int:
    """The original's number of shards for a table of this size."""
    return min(4, max(1, rows // 1_000_000))


def final_name(name: str) -> str:
    """The final name of a file that still has this temporary name."""
    return name[len(".tmp-0123456789abcdef-") :]


def belongs(name: str, stem: str) -> bool:
    """Whether a file name is one that a set of this basename has."""
    if name == stem + MANIFEST_SUFFIX:
        return True
    parts = split_shard_name(name)
    return parts is not None and parts[0] in (stem, f"{stem}.meta", f"{stem}.gone")


def is_leftover(name: str, stem: str | None) -> bool:
    """Whether it is a temporary file, ours or the original's (``-tmp-<number>``), of this basename (None: of any)."""
    if is_temporary(name):
        return stem is None or belongs(final_name(name), stem)
    if _FOREIGN_TEMPORARY.fullmatch(name) is None:
        return False
    return stem is None or belongs(name[: name.rindex("-tmp-")], stem)


@dataclass(frozen=True)
class ShardSet:
    """The shard files of one basename.

    Attributes
    ----------
    prefix : Path
        The basename.
    paths : tuple of Path
        Shard 0, 1, ... in order, complete.
    """

    prefix: Path
    paths: tuple[Path, ...]


def find_shards(prefix: str | Path) -> ShardSet:
    """The complete set of files ``<prefix>-SSSSS-of-NNNNN``.

    Names that match the pattern in part only are left alone. Raises CheckpointError with code ``no_files``,
    ``shard_count_differs`` or ``missing_shard`` (every missing one is named).
    """
    base = Path(prefix)
    found: dict[int, dict[int, Path]] = {}
    names = sorted(os.listdir(base.parent)) if base.parent.is_dir() else []
    for name in names:
        path = base.parent / name
        parts = split_shard_name(name)
        if parts is not None and parts[0] == base.name:
            found.setdefault(parts[2], {})[parts[1]] = path
    if not found:
        raise damage("no_files", f"there is no file {base.name}-SSSSS-of-NNNNN", base)
    if len(found) > 1:
        counts = ", ".join(str(count) for count in sorted(found))
        raise damage("shard_count_differs", f"files of sets of {counts} shards lie side by side", base)
    ((count, shards),) = found.items()
    beyond = [shard for shard in shards if shard >= count]
    if beyond:
        raise damage("shard_count_differs", f"shard {beyond[0]} of a set of {count}", shards[beyond[0]])
    missing = [shard_name(base.name, shard, count) for shard in range(count) if shard not in shards]
    if missing:
        raise damage("missing_shard", f"{len(missing)} of {count} files are missing: {', '.join(missing[:20])}", base)
    return ShardSet(base, tuple(shards[shard] for shard in range(count)))


def owned(ids: NDArray[np.int64], rank: int, ranks: int, owner_rule: str) -> NDArray[np.bool_]:
    """Which ids belong to a rank: id mod ranks, or under ``empty-rank0`` (from 5 ranks on) id mod (ranks - 1) + 1."""
    empty = owner_rule == "empty-rank0" and ranks > 4
    mask: NDArray[np.bool_] = np.mod(ids, ranks - 1) + 1 == rank if empty else np.mod(ids, ranks) == rank
    return mask
