"""Restore a job checkpoint into the tables of one rank of any number of ranks. Rule: checkpoints 5.1, 5.2."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monolith_ref.checkpoint import naming
from monolith_ref.checkpoint.ahead import ahead
from monolith_ref.checkpoint.api import set_scales
from monolith_ref.checkpoint.damage import damage
from monolith_ref.checkpoint.filters import holds_elements
from monolith_ref.checkpoint.job import JobCheckpoint
from monolith_ref.checkpoint.loaded import LoadedTable, make_stage
from monolith_ref.checkpoint.manifest import Manifest, TableEntry
from monolith_ref.checkpoint.sets import check_tables, expect
from monolith_ref.errors import CheckpointError, StateError
from monolith_ref.table.admission import AdmissionFilter
from monolith_ref.table.core import Table
from monolith_ref.table.store import RowDump, RowStore
from monolith_ref.table.streams import RandomStreams

__all__ = ["Layer", "LoadedJob", "fold", "load_job"]


@dataclass
class Layer:
    """What one set of a chain says of a table: ids that go, then rows that come."""

    gone: NDArray[np.int64]
    rows: LoadedTable


@dataclass
class LoadedJob:
    """A rank's share of a checkpoint, read and checked, nothing changed yet.

    Attributes
    ----------
    checkpoint : JobCheckpoint
    tables : dict of str to list of Layer
        Per table the full set and the increments after it.
    entries : dict of str to TableEntry
        What the manifest says of each table: ``max_ts``, ``learning_rates``, ``one_bit_scale``.
    """

    checkpoint: JobCheckpoint
    tables: dict[str, list[Layer]]
    entries: dict[str, TableEntry]
    rank: int
    ranks: int
    owner_rule: str

    @property
    def same_ranks(self) -> bool:
        """Whether rows stay on the ranks that saved them."""
        manifest = self.checkpoint.manifest
        return (manifest.ranks, manifest.owner_rule) == (self.ranks, self.owner_rule)

    def put_into(self, stores: Mapping[str, RowStore]) -> None:
        """Clear the tables and fill them; tables that track changes begin a new interval."""
        for name, layers in self.tables.items():
            store = stores[name]
            store.clear()
            for layer in layers:
                if len(layer.gone):
                    store.erase(store.target.asarray(layer.gone))
                layer.rows.put_into(store)
            if store.tracking:
                store.forget_changes()

    def put_into_tables(self, tables: Mapping[str, Table]) -> None:
        """As :meth:`put_into`, of tables: they also take the checkpoint's maximum times and one_bit scales."""
        self.put_into({name: tables[name].training_store for name in self.tables})
        for name, entry in self.entries.items():
            table = tables[name]
            table.max_ts = entry.max_ts
            set_scales(table, tuple(int(word, 16) for word in entry.one_bit_scale))

    def restore_filter(self, admission: AdmissionFilter, mode: Literal["restore", "reset"] = "restore") -> None:
        """Give this rank's filter its counts back.

        On other ranks than those that saved, counts cannot travel: CheckpointError if any filter holds an element,
        unless ``mode`` is ``reset``.
        """
        manifest = self.checkpoint.manifest
        if mode == "reset":
            return
        if not self.same_ranks:
            for rank in range(len(manifest.filters)):
                if holds_elements(self.checkpoint.filter(rank)):
                    raise CheckpointError(
                        f"the filter of rank {rank} holds counts, which cannot go from {manifest.ranks} ranks "
                        f"({manifest.owner_rule}) to {self.ranks} ({self.owner_rule}); filters='reset' forgets them",
                        path=str(self.checkpoint.directory),
                    )
            return
        state = self.checkpoint.filter(self.rank)
        if state is None:
            return
        try:
            admission.import_state(state)
        except StateError as error:
            raise CheckpointError(f"rank {self.rank}: {error}", path=str(self.checkpoint.directory)) from None

    def restore_streams(self, streams: RandomStreams) -> None:
        """Continue the random streams; on other ranks than those that saved they start anew, with a warning.

        Call it after :meth:`put_into`: filling a table draws.
        """
        saved = self.checkpoint.manifest.random
        entry = saved[self.rank] if self.same_ranks and self.rank < len(saved) else None
        if entry is not None:
            z, w = entry["rounding"]
            streams.import_state(int(entry["initializer_draws"]), (int(z), int(w)))
            return
        if saved:
            warnings.warn("random initial values will differ from an uninterrupted run", stacklevel=2)
        fresh = RandomStreams()
        streams.initializer[:] = fresh.initializer
        streams.rounding[:] = fresh.rounding
        streams.draws = 0


def load_job(
    checkpoint: JobCheckpoint,
    configs: Mapping[str, bytes],
    *,
    rank: int = 0,
    ranks: int = 1,
    owner_rule: str = "floor-mod",
    partial: bool = False,
) -> LoadedJob:
    """Read what a rank owns of every table; ``configs``: table name → configuration of the model's table.

    A row goes to its owner by the rule that is on now, whatever file it came from. CheckpointError for damage, for
    tables that only the set or only the model has and for other configurations (``partial``: warnings).
    """
    checkpoint.verify_files()
    entries = {entry.name: entry for entry in checkpoint.manifest.tables}
    check_tables(entries, configs, partial, checkpoint.directory)
    wanted = {name: entry for name, entry in entries.items() if name in configs}
    for name, entry in wanted.items():
        expect(entry, configs[name], partial, checkpoint.directory)
    tables: dict[str, list[Layer]] = {name: [] for name in wanted}
    for manifest in checkpoint.chain:
        for name, layer in _layers(checkpoint, manifest, wanted, rank, ranks, owner_rule).items():
            tables[name].append(layer)
    return LoadedJob(checkpoint, tables, wanted, rank, ranks, owner_rule)


def _layers(
    checkpoint: JobCheckpoint,
    manifest: Manifest,
    wanted: Mapping[str, TableEntry],
    rank: int,
    ranks: int,
    owner_rule: str,
) -> dict[str, Layer]:
    layers = {name: Layer(np.empty(0, np.int64), LoadedTable([], entry.max_ts)) for name, entry in wanted.items()}
    for name, parts in checkpoint.gone(manifest).items():
        if name in layers:
            ids = np.concatenate(parts)
            layers[name].gone = ids[naming.owned(ids, rank, ranks, owner_rule)]
    stages = {}
    if manifest.kind == "full":
        for name, table in wanted.items():
            stage = make_stage(bytes.fromhex(table.config), 0)
            if stage is not None:
                stages[name] = layers[name].rows.stage = stage
    for name, decoded in ahead(checkpoint.walk(manifest, list(wanted.values()), rank, ranks, owner_rule, stages)):
        layers[name].rows.add(decoded)
    for name, layer in layers.items():
        layer.rows.check_distinct(checkpoint.directory, name)
        if (rank, ranks) == (0, 1):
            entry = manifest.table(name)
            if entry is not None and entry.rows != len(layer.rows):
                text = f"table {name} has {len(layer.rows)} rows, the manifest says {entry.rows}"
                raise damage("manifest_mismatch", text, Path(checkpoint.directory))
    return layers


def fold(layers: list[Layer]) -> RowDump | None:
    """One dump of the rows that a chain ends with, in order of their last writing; None without any rows."""
    parts: list[RowDump] = []
    alive: list[NDArray[np.bool_]] = []
    for layer in layers:
        news = [rows for rows, _widths in layer.rows.parts]
        leaving = np.concatenate([layer.gone, *(rows.ids for rows in news)])
        for rows, mask in zip(parts, alive, strict=True):
            mask &= ~np.isin(rows.ids, leaving)
        parts += news
        alive += [np.ones(len(rows), np.bool_) for rows in news]
    if not parts:
        return None
    return RowDump(
        np.concatenate([p.ids[a] for p, a in zip(parts, alive, strict=True)]),
        np.concatenate([p.weights[a] for p, a in zip(parts, alive, strict=True)]),
        [
            {
                name: np.concatenate([p.state[k][name][a] for p, a in zip(parts, alive, strict=True)])
                for name in parts[0].state[k]
            }
            for k in range(len(parts[0].state))
        ],
        np.concatenate([p.update_time[a] for p, a in zip(parts, alive, strict=True)]),
    )
