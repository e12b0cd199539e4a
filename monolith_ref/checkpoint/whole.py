"""A prefix's tables as whole arrays, whatever wrote them; an increment stands for the chain that it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.checkpoint.inspect import Contents, table_rows
from monolith_ref.checkpoint.job import JobCheckpoint
from monolith_ref.checkpoint.restore import fold, load_job
from monolith_ref.checkpoint.shape import RowShape
from monolith_ref.table.store import RowDump

__all__ = ["WholeTable", "dense_of", "join_dumps", "whole_tables"]

WholeTable = dict[RowShape, RowDump]
"""The rows of a table by shape (one, but for foreign tables of mixed widths), each in order of files and records."""


def join_dumps(parts: Sequence[RowDump]) -> RowDump:
    """Dumps of one shape as one."""
    if len(parts) == 1:
        return parts[0]
    return RowDump(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.weights for part in parts]),
        [
            {name: np.concatenate([part.state[k][name] for part in parts]) for name in parts[0].state[k]}
            for k in range(len(parts[0].state))
        ],
        np.concatenate([part.update_time for part in parts]),
    )


def whole_tables(contents: Contents, only: str | None = None) -> dict[str, WholeTable]:
    """Every table under a prefix (or ``only`` one); damage, or a gap in a chain, raises CheckpointError."""
    if contents.manifest is not None and contents.manifest.kind == "delta":
        return _chain(contents, only)
    parts: dict[str, dict[RowShape, list[RowDump]]] = {}
    for located in table_rows(contents, only):
        shapes = parts.setdefault(located.table, {})
        shapes.setdefault(located.decoded.shape, []).append(located.decoded.rows)
    found = {name: {shape: join_dumps(dumps) for shape, dumps in shapes.items()} for name, shapes in parts.items()}
    for name in contents.tables():
        if only in (None, name):
            found.setdefault(name, {})
    return found


def _chain(contents: Contents, only: str | None) -> dict[str, WholeTable]:
    assert contents.manifest is not None
    checkpoint = JobCheckpoint(contents.root, contents.manifest)
    configs = {table.name: bytes.fromhex(table.config) for table in contents.manifest.tables}
    loaded = load_job(checkpoint, configs)
    found: dict[str, WholeTable] = {}
    for name, layers in loaded.tables.items():
        if only in (None, name):
            rows = fold(layers)
            config = contents.config_of(name)
            assert config is not None
            found[name] = {} if rows is None else {RowShape.of_config(config): rows}
    return found


def dense_of(contents: Contents) -> dict[str, NDArray[Any]] | None:
    """The dense variables of a job's checkpoint; None for anything else."""
    if contents.manifest is None or not any(group.kind == "dense" for group in contents.groups):
        return None
    return JobCheckpoint(contents.root, contents.manifest).dense()
