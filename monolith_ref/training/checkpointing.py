"""Whole jobs into checkpoints and back: rows, dense variables, streams, filter and times. Rule: job 3, checkpoints 5.

Rows that have expired leave the tables before a save, as they are left out of its files: who continues from the files
and who goes on without a break have the same rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from monolith_kernels.rules import quantizers

from monolith_ref.checkpoint.content import TableContent
from monolith_ref.checkpoint.job import JobCheckpoint, latest, prune
from monolith_ref.checkpoint.job_writer import OwnerRule, write_job_checkpoint
from monolith_ref.checkpoint.restore import load_job
from monolith_ref.errors import CheckpointError, ConfigError
from monolith_ref.features.tables import TableSpec
from monolith_ref.table.store import RowStore
from monolith_ref.training.engine import Engine

__all__ = ["checkpoint_to_continue", "restore_job", "save_job"]

MERGED_NAME = "MonolithHashTable_"


def _owner_rule(engine: Engine) -> OwnerRule:
    return "empty-rank0" if engine.options.empty_rank0 and engine.communicator.size > 4 else "floor-mod"


def _file_name(engine: Engine, spec: TableSpec) -> str:
    """A table's name in checkpoints."""
    return f"{MERGED_NAME}{spec.name}" if engine.options.layout == "merged" else spec.name


def _config(spec: TableSpec) -> bytes:
    return spec.config.table_config.SerializeToString(deterministic=True)


def _one_bit(store: RowStore) -> list[int]:
    return [n for n, segment in enumerate(store.layout.segments) if isinstance(segment.quantizer, quantizers.OneBit)]


def _content(engine: Engine, spec: TableSpec) -> TableContent:
    store = engine.owned.stores[spec.name]
    words = store.scales.view(np.uint32)
    return TableContent(
        name=_file_name(engine, spec),
        kind="single" if engine.options.layout == "merged" else "multi",
        config=_config(spec),
        learning_rates=tuple(str(rate) for rate in spec.config.learning_rate_fns),
        rows=store,
        max_ts=engine.owned.max_ts,
        one_bit_scale=tuple(int(words[number]) for number in _one_bit(store)),
    )


def save_job(engine: Engine, directory: str | Path, extra: Mapping[str, Any], keep: int | None = None) -> Path:
    """Write the checkpoint of the engine's present step; ``keep``: how many stay. Collective.

    Rows that have expired leave the tables. CheckpointError on every rank if any could not write; ConfigError while
    updates are held back (``sync.staleness``).
    """
    if engine.embeddings.held_back:
        raise ConfigError("sync.staleness holds updates back, which a checkpoint would lose; flush them first")
    engine.evict()
    dense = dict(engine.variables)
    for name, slots in engine.slots.items():
        dense |= {f"{name}/{slot}": value for slot, value in slots.items()}
    draws, rounding = engine.owned.streams.export_state()
    admission = engine.owned.filter
    path = write_job_checkpoint(
        directory,
        engine.global_step,
        [_content(engine, spec) for spec in engine.tables],
        dense,
        engine.communicator,
        quirks=sorted(engine.model.quirks),
        profile=engine.target.profile,
        owner_rule=_owner_rule(engine),
        filters=None if admission is None else admission.export_state(),
        random={"initializer_draws": draws, "rounding": list(rounding)},
        extra=extra,
    )
    if keep is not None and engine.communicator.rank == 0:
        prune(directory, keep)
    return path


def checkpoint_to_continue(
    directory: str | Path, facts: Mapping[str, str], ranks: int, last_step: int | None
) -> JobCheckpoint | None:
    """The newest checkpoint to continue from; None where there is none. Its rows are read and checked by loading it.

    Raises
    ------
    ConfigError
        It is of another configuration, of other ranks (unless the reduction is ``exact``), or beyond ``last_step``.
    CheckpointError
        Its manifest is damaged.
    """
    place = Path(directory)
    checkpoint = latest(place) if place.is_dir() else None
    if checkpoint is None:
        return None
    theirs = checkpoint.extra.get("facts", {})
    for key in sorted({*facts, *theirs}):
        if facts.get(key) != theirs.get(key):
            raise ConfigError(
                f"the checkpoint in {place} is of another configuration: {key} was {theirs.get(key)!r}, now it is "
                f"{facts.get(key)!r}"
            )
    if checkpoint.manifest.ranks != ranks and facts.get("sync.reduction") != "exact":
        raise ConfigError(
            f"the checkpoint in {place} was written by {checkpoint.manifest.ranks} ranks, this run has {ranks}: only "
            "sync.reduction=exact gives the same numbers on both"
        )
    if last_step is not None and checkpoint.step > last_step:
        raise ConfigError(
            f"{last_step} steps are wanted, the checkpoint in {place} is already at step {checkpoint.step}"
        )
    return checkpoint


def restore_job(engine: Engine, checkpoint: JobCheckpoint, filters: Literal["restore", "reset"] = "restore") -> None:
    """Everything that :func:`save_job` wrote, each row at its owner of now.

    CheckpointError for damage, other tables, or filter counts of another number of ranks (unless ``reset``); files are
    read and checked before anything changes.
    """
    specs = {_file_name(engine, spec): spec for spec in engine.tables}
    communicator = engine.communicator
    loaded = load_job(
        checkpoint,
        {name: _config(spec) for name, spec in specs.items()},
        rank=communicator.rank,
        ranks=communicator.size,
        owner_rule=_owner_rule(engine),
    )
    dense = checkpoint.dense()
    slots = engine.slots
    names = {*slots, *(f"{name}/{slot}" for name, parts in slots.items() for slot in parts), "global_step"}
    if names != set(dense):
        odd = sorted(names ^ set(dense))
        raise CheckpointError(
            f"dense variable {odd[0]} is only in the model or only in the set", path=str(checkpoint.directory)
        )
    if engine.owned.filter is not None:
        loaded.restore_filter(engine.owned.filter, filters)
    owned = engine.owned
    loaded.put_into({name: owned.stores[spec.name] for name, spec in specs.items()})
    for name, entry in loaded.entries.items():
        store = owned.stores[specs[name].name]
        scales = np.array([int(word, 16) for word in entry.one_bit_scale], np.uint32).view(np.float32)
        store.scales[_one_bit(store)] = scales
        owned.max_ts = max(owned.max_ts, entry.max_ts)
    with warnings.catch_warnings():
        if all(entry is None or not entry["initializer_draws"] for entry in checkpoint.manifest.random):
            # Nothing was ever drawn, so nothing will differ.
            warnings.simplefilter("ignore")
        loaded.restore_streams(owned.streams)
    engine.load_dense(
        {name: dense[name] for name in slots},
        {name: {slot: dense[f"{name}/{slot}"] for slot in parts} for name, parts in slots.items()},
        checkpoint.step,
    )
