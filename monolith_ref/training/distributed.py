"""``distributed_sync_train``: train a task on all ranks of the launcher. Rule: sync_training 2.1, job 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monolith_kernels.target import target as make_target

from monolith_ref import __version__
from monolith_ref.errors import ConfigError
from monolith_ref.quirks import as_quirks
from monolith_ref.sync.agreement import check_agreement
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.launch import make_communicator
from monolith_ref.training.config import DistributedCpuTrainingConfig, options_of
from monolith_ref.training.engine import Engine
from monolith_ref.training.model import MonolithModel
from monolith_ref.training.observer import Observer
from monolith_ref.training.settings import Settings

__all__ = ["distributed_sync_train"]


def distributed_sync_train(
    config: DistributedCpuTrainingConfig,
    task: MonolithModel,
    *,
    settings: Settings | None = None,
    communicator: Communicator | None = None,
    observers: Sequence[Observer] = (),
    environment: Mapping[str, str] | None = None,
) -> Engine:
    """Train ``task`` synchronously until ``p.train.max_steps`` or the end of its data, and return the engine.

    Every rank calls it. ``settings`` None: resolved from the environment over the fields of ``config`` and the task's
    parameters. ``communicator`` None: the launcher's. Save, export and compare with the engine that is returned.

    Raises
    ------
    ConfigError
        Before the first step, on every rank, where ranks differ in settings, tables, variables or version; where the
        configuration contradicts the launcher; where a setting is malformed.
    """
    if settings is None:
        settings = Settings.resolve(environment=environment, defaults={**task_settings(task), **config.as_settings()})
    if communicator is None:
        communicator = make_communicator(settings["sync.communicator"], settings["sync.timeout"])
    config.check(communicator.rank, communicator.size)
    names = settings["targets"]
    if len(names) != 1:
        raise ConfigError(f"training runs on one target, targets names {', '.join(names)}")
    _apply_settings(task, settings, communicator.size)
    engine = Engine(
        task,
        options_of(settings),
        communicator=communicator,
        target=make_target(names[0], threads=settings["threads"]),
        observers=observers,
    )
    check_agreement(communicator, {**settings.shared(), **engine.configuration(), "version": __version__})
    engine.train(task.input_fn("train"), settings["training.steps"])
    return engine


def task_settings(task: MonolithModel) -> dict[str, str]:
    """What a task's parameters say, by setting."""
    p = task.p
    said = {
        "training.seed": str(p.seed),
        "training.clip_norm": str(p.clip_norm or 0),
        "training.dense_weight_decay": str(p.dense_weight_decay),
    }
    per_rank = p.train.per_replica_batch_size
    for key, value in (
        ("training.steps", p.train.max_steps),
        ("training.batch_size", p.train.batch_size if per_rank is None else None),
        ("training.batch_size_per_rank", per_rank),
    ):
        if value is not None:
            said[key] = str(value)
    return said


def _apply_settings(task: MonolithModel, settings: Settings, ranks: int) -> None:
    """Let the task see what was decided: steps, rows of a global batch, seed, quirks."""
    train = task.p.train
    train.max_steps = settings["training.steps"]
    per_rank = settings["training.batch_size_per_rank"]
    train.per_replica_batch_size = per_rank
    train.batch_size = settings["training.batch_size"] if per_rank is None else per_rank * ranks
    task.p.seed = settings["training.seed"]
    if not settings.is_default("quirks"):
        task.quirks = as_quirks(settings["quirks"])
