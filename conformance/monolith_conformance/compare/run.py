"""One layout on one target: the engine under the comparer's eyes, from the first step to the last row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import numpy as np
from monolith_kernels.target import Target

from monolith_conformance.compare.checkpointing import Checkpoints, restore_engine, restore_path_b, usable_checkpoint
from monolith_conformance.compare.comparer import Comparer, ComparisonStopped
from monolith_conformance.compare.final import check_all_rows, collect_state_digest, oracle_state_digest
from monolith_conformance.compare.golden import known_state
from monolith_conformance.compare.job import Job
from monolith_conformance.compare.path_b import PathB
from monolith_conformance.compare.plants import plant
from monolith_conformance.compare.probe import watch_rows
from monolith_conformance.compare.published import published_notes
from monolith_conformance.compare.results import RunResult, StepRecord
from monolith_conformance.compare.task import DIM
from monolith_ref.checkpoint.job import JobCheckpoint
from monolith_ref.training.engine import Engine
from monolith_ref.training.export import write_model_dump
from monolith_ref.training.observer import Observer, StepResult

__all__ = ["Progress", "checkpoint_of", "run_one"]

Progress = Callable[[int, float], None]
"""Told after every compared step: steps made, loss."""


class _Teller(Observer):
    def __init__(self, tell: Progress) -> None:
        self._tell = tell

    def on_step(self, result: StepResult) -> None:
        self._tell(result.step + 1, float(result.loss))


def _checkpoint_directory(directory: Path, layout: str, target: str) -> Path:
    return directory / "checkpoint" / f"{layout}-{target}"


def _facts(job: Job, layout: str, target: str) -> dict[str, str]:
    return {**job.facts, "table.layout": layout, "targets": target}


def checkpoint_of(job: Job, layout: str, target: str, directory: Path) -> JobCheckpoint | None:
    """The checkpoint to continue from, checked; None where there is none yet. Errors: ``usable_checkpoint``."""
    place = _checkpoint_directory(directory, layout, target)
    return usable_checkpoint(place, _facts(job, layout, target), job.communicator.size, job.steps)


def run_one(job: Job, layout: str, target: Target, directory: Path, tell: Progress) -> RunResult:
    """Compare one layout on one target; collective. The result is the same on every rank."""
    started = perf_counter()
    communicator = job.communicator
    engine = Engine(job.task(), job.engine_options(layout), communicator=communicator, target=target)
    path_b, comparer = _other_path(job)
    result = RunResult(layout, target.name, features=list(job.features))
    if job.request.resume:
        _resume(job, checkpoint_of(job, layout, target.name, directory), engine, path_b, comparer, result)
    checkpoints = _checkpoints(job, layout, target.name, directory, comparer)
    if job.request.plant is not None:
        plant(job.request.plant, engine)
    watch_rows(engine, job.features, comparer.on_rows)
    engine.observers += [comparer, checkpoints, _Teller(tell)]
    try:
        engine.train(job.source, job.steps)
        path_b.flush()
        if not job.request.as_published:
            check_all_rows(engine, path_b, comparer, job.settings["sync.empty_rank0"])
    except ComparisonStopped as stop:
        result.findings, result.differences = stop.findings, stop.total
    _finish(job, result, engine, path_b, comparer)
    if result.verdict == "pass" or job.request.as_published:
        if result.resumed_at < job.steps:
            checkpoints.write(result.digests["state"])
        if communicator.rank == 0 and (layout == "multi" or job.settings["table.layout"] != "both"):
            write_model_dump(directory / "model_dump", engine)
    result.seconds = perf_counter() - started
    return result


def _other_path(job: Job) -> tuple[PathB, Comparer]:
    """The plain arrays, and who holds the engine against them."""
    published = job.request.as_published
    path_b = PathB(
        job.communicator,
        job.universe,
        job.features,
        job.oracle_layers(),
        job.oracle_settings(),
        DIM,
        broadcast_labels=published,
    )
    comparer = Comparer(
        job.communicator,
        path_b,
        empty_rank0=job.settings["sync.empty_rank0"],
        activations_only=published,
        with_slot=bool(job.request.inputs),
    )
    return path_b, comparer


def _resume(
    job: Job, checkpoint: JobCheckpoint | None, engine: Engine, path_b: PathB, comparer: Comparer, result: RunResult
) -> None:
    """Take both paths to where the checkpoint stands, and note it."""
    if checkpoint is None:
        result.notes.append("there was no checkpoint to continue from: this run began at step 0")
        return
    restore_engine(engine, checkpoint, job.communicator, job.settings["sync.empty_rank0"])
    restore_path_b(path_b, checkpoint, job.slots)
    earlier = (job.source.rows(t, 0, job.source.global_rows(t)) for t in range(checkpoint.step))
    comparer.resume(checkpoint.extra["losses"], earlier if job.communicator.rank == 0 else ())
    result.resumed_at = checkpoint.step
    result.notes.append(f"continued from the checkpoint of step {checkpoint.step}")


def _checkpoints(job: Job, layout: str, target: str, directory: Path, comparer: Comparer) -> Checkpoints:
    return Checkpoints(
        _checkpoint_directory(directory, layout, target),
        job.communicator,
        comparer,
        _facts(job, layout, target),
        every_steps=job.settings["checkpoint.every_steps"],
        every_seconds=job.settings["checkpoint.every_seconds"],
        keep=job.settings["checkpoint.keep"],
        quirks=tuple(job.quirks),
        empty_rank0=job.settings["sync.empty_rank0"],
    )


def _finish(job: Job, result: RunResult, engine: Engine, path_b: PathB, comparer: Comparer) -> None:
    """Sums over ranks, digests, movement and the verdict."""
    communicator = job.communicator
    text = json.dumps([asdict(record) for record in comparer.records]).encode()
    everyone = [json.loads(data) for data in communicator.allgather_bytes(text, "compare: records")]
    result.records = [
        StepRecord.over_ranks([StepRecord(**record) for record in records]) for records in zip(*everyone, strict=True)
    ]
    sizes = sum(store.size for store in engine.embeddings.tables.values())
    moved = np.zeros(1, np.int64) + _moved_rows(engine, comparer, path_b, job)
    result.rows_per_rank = communicator.allgather(np.array([sizes], np.int64), "compare: sizes")[:, 0].tolist()
    result.rows = sum(result.rows_per_rank)
    result.moved_rows = int(communicator.sum_int64(moved, "compare: moved rows")[0])
    result.steps = engine.global_step
    result.comparisons = sum(sum(record.compared) for record in result.records) + comparer.final_comparisons
    if result.findings:
        return
    result.digests = {
        "data": communicator.broadcast_bytes(comparer.data.hexdigest().encode(), 0, "compare: data digest").decode(),
        "state": collect_state_digest(engine, communicator),
        "loss": comparer.losses.hexdigest(),
    }
    if job.request.as_published:
        result.verdict = "vacuous"
        notes, sound = published_notes(job, engine, path_b, result)
        result.notes += notes
        result.verdict = "vacuous" if sound else "fail"
        return
    if oracle_state_digest(path_b) != result.digests["state"]:
        result.notes.append("the state digests of the two paths differ although no single number did")
        return
    known = _known_state(job)
    if known is not None and not result.digests["state"].startswith(known):
        result.notes.append(f"the two paths agree, but this workload is known to give the state digest {known}...")
        return
    if known is not None:
        result.notes.append("the state digest is the one that independent implementations give")
    still = [record.step for record in result.records if record.moved == 0]
    still = [step for step in still if step - result.resumed_at >= job.settings["sync.staleness"]]
    if still:
        result.verdict = "vacuous"
        result.notes.append(f"no row moved in step {still[0]}: equality proves nothing there")
        return
    result.verdict = "pass"


def _known_state(job: Job) -> str | None:
    """How the state digest of this job begins by independent implementations, if it is one of theirs."""
    settings = job.settings
    unchanged = (
        not job.request.inputs
        and settings["training.seed"] == 42
        and job.batch_size == 455
        and settings["sync.staleness"] == 0
        and settings["sync.embedding_grad_wire"] == settings["sync.dense_wire"] == "f32"
    )
    return known_state(settings["sync.reduction"], job.communicator.size, job.steps) if unchanged else None


def _moved_rows(engine: Engine, comparer: Comparer, path_b: PathB, job: Job) -> int:
    """Rows of this rank whose weights have changed since they were created."""
    if not job.request.as_published:
        return int(comparer.moved.sum())
    moved = 0
    for table in engine.tables:
        weights = engine.embeddings.tables[table.name].export().weights
        moved += int((weights.view(np.uint32) != 0).any(axis=1).sum())
    return moved
