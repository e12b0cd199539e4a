"""Checkpoints of a comparison: written from the engine, read back into it and, on its own, into path B.

A checkpoint carries the state digest of its rows and head, so that whoever continues knows what to start from. Path B
reads the files with a reader of its own and must come to that digest before the first step. Rule: job 3; checkpoints 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from monolith_conformance.compare.comparer import Comparer
from monolith_conformance.compare.final import collect_state_digest, oracle_state_digest
from monolith_conformance.compare.path_b import PathB
from monolith_conformance.oracle.records import DamagedCheckpoint, read_job
from monolith_conformance.oracle.sync import Layer
from monolith_conformance.oracle.sync_rules import put_rows
from monolith_ref.checkpoint.job import JobCheckpoint, TableContent, prune, write_job_checkpoint
from monolith_ref.errors import CheckpointError
from monolith_ref.sync.communicator import Communicator
from monolith_ref.training.checkpointing import checkpoint_to_continue
from monolith_ref.training.observer import Observer, StepResult

__all__ = ["Checkpoints", "restore_engine", "restore_path_b", "usable_checkpoint"]

MERGED_NAME = "MonolithHashTable_"


class Checkpoints(Observer):
    """Writes checkpoints after compared steps: every so many steps or seconds, and at the end.

    ``facts`` go into every manifest: what a run must have in common with this one to continue it.
    """

    def __init__(
        self,
        directory: Path,
        communicator: Communicator,
        comparer: Comparer,
        facts: Mapping[str, str],
        *,
        every_steps: int | None,
        every_seconds: float | None,
        keep: int,
        quirks: tuple[str, ...],
        empty_rank0: bool,
    ) -> None:
        self._directory = directory
        self._communicator = communicator
        self._comparer = comparer
        self._facts = dict(facts)
        self._every_steps = every_steps
        self._every_seconds = every_seconds
        self._keep = keep
        self._quirks = quirks
        self._empty_rank0 = empty_rank0
        self._last = monotonic()
        self._engine: Any = None

    def on_start(self, engine: Any) -> None:
        """See :class:`Observer`."""
        self._engine = engine

    def on_step(self, result: StepResult) -> None:
        """Write one where it is due; with updates held back (staleness) rows and head are not of one step."""
        due = self._every_steps is not None and (result.step + 1) % self._every_steps == 0
        if self._every_seconds is not None:
            late = monotonic() - self._last >= self._every_seconds
            due = self._communicator.broadcast_bytes(bytes([late]), 0, "compare: checkpoint due") == b"\1"
        if due and self._engine.embeddings.held_back == 0:
            self.write(collect_state_digest(self._engine, self._communicator))

    def write(self, digest: str) -> Path:
        """Write the checkpoint of the engine's present step. Collective."""
        engine = self._engine
        dense = dict(engine.variables)
        for name, slots in engine.slots.items():
            dense |= {f"{name}/{slot}": value for slot, value in slots.items()}
        extra = {"state_digest": digest, "facts": self._facts, "losses": self._comparer.loss_bits()}
        path = write_job_checkpoint(
            self._directory,
            engine.global_step,
            [_content(engine, spec) for spec in engine.tables],
            dense,
            self._communicator,
            quirks=self._quirks,
            profile=engine.target.profile,
            owner_rule=_owner_rule(self._empty_rank0, self._communicator.size),
            extra=extra,
        )
        self._last = monotonic()
        if self._communicator.rank == 0:
            prune(self._directory, self._keep)
        return path


def _owner_rule(empty_rank0: bool, ranks: int) -> Any:
    return "empty-rank0" if empty_rank0 and ranks > 4 else "floor-mod"


def _content(engine: Any, spec: Any) -> TableContent:
    merged = engine.options.layout == "merged"
    return TableContent(
        name=f"{MERGED_NAME}{spec.name}" if merged else spec.name,
        kind="single" if merged else "multi",
        config=spec.config.table_config.SerializeToString(deterministic=True),
        learning_rates=tuple(str(rate) for rate in spec.config.learning_rate_fns),
        rows=engine.embeddings.tables[spec.name].export(),
        max_ts=0,
    )


def usable_checkpoint(directory: Path, facts: Mapping[str, str], ranks: int, last_step: int) -> JobCheckpoint | None:
    """The newest checkpoint to continue from, or None where there is none yet.

    Raises
    ------
    ConfigError
        It is of another configuration, of other ranks (unless the reduction is ``exact``), or beyond ``last_step``.
    CheckpointError
        Its files are damaged.
    """
    checkpoint = checkpoint_to_continue(directory, facts, ranks, last_step)
    if checkpoint is not None:
        checkpoint.verify_files()
    return checkpoint


def restore_engine(engine: Any, checkpoint: JobCheckpoint, communicator: Communicator, empty_rank0: bool) -> None:
    """Rows and head of a checkpoint into the engine, each row at its owner of now."""
    rule = _owner_rule(empty_rank0, communicator.size)
    for name, rows in checkpoint.all_rows(communicator.rank, communicator.size, rule):
        engine.embeddings.tables[name.removeprefix(MERGED_NAME)].import_(rows)
    dense = checkpoint.dense()
    names = list(engine.variables)
    variables = {name: dense[name] for name in names}
    slots = {name: {slot: dense[f"{name}/{slot}"] for slot in engine.slots[name]} for name in names}
    engine.load_dense(variables, slots, checkpoint.step)


def restore_path_b(path_b: PathB, checkpoint: JobCheckpoint, slots: Mapping[str, int]) -> None:
    """Rows and head of a checkpoint into path B's arrays, read by the oracle's own reader.

    CheckpointError where the files do not give the digest that the manifest states.
    """
    try:
        content = read_job(checkpoint.directory, checkpoint.step)
    except DamagedCheckpoint as error:
        raise CheckpointError(str(error), path=str(checkpoint.directory)) from error
    rows = path_b.oracle.rows
    slot_of = (content.fids >> 48) & 0x7FFF
    for feature, name in enumerate(path_b.features):
        mine = np.flatnonzero(slot_of == slots[name])
        positions = path_b.universe.positions(feature, content.fids[mine])
        put_rows(rows.w, positions, content.weights[mine])
        put_rows(rows.accumulator, positions, content.accumulators[mine])
        rows.touched[positions] = True
    path_b.oracle.layers = [
        Layer(*(np.array(content.dense[f"dense_{i}/{part}"]) for part in _LAYER_PARTS))
        for i in range(len(path_b.oracle.layers))
    ]
    found, stated = oracle_state_digest(path_b), checkpoint.extra.get("state_digest")
    if found != stated:
        raise CheckpointError(
            f"the rows and the head give the state digest {found}, the manifest says {stated}",
            path=str(checkpoint.directory),
        )


_LAYER_PARTS = ("kernel", "bias", "kernel/accumulator", "bias/accumulator")
