"""What is to be compared: settings turned into data, features, path B's universe and the facts that ranks share."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

import numpy as np

from monolith_conformance.compare.generator import FEATURES, ID_SPACE, GeneratedSource, kernel
from monolith_conformance.compare.task import (
    DIM,
    HIDDEN,
    HIDDEN_BIAS,
    LEARNING_RATE,
    START,
    EmbeddingUpdateTask,
    generated_slots,
)
from monolith_conformance.compare.universe import GeneratedUniverse, SortedUniverse, Universe
from monolith_conformance.oracle.sync import Layer
from monolith_conformance.oracle.sync import Settings as OracleSettings
from monolith_ref import __version__
from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks
from monolith_ref.sync.communicator import Communicator
from monolith_ref.training.dealing import BatchSource
from monolith_ref.training.engine import EngineOptions
from monolith_ref.training.input.mapping import InputMap
from monolith_ref.training.input.source import open_logs
from monolith_ref.training.settings import Settings

__all__ = ["DEFAULTS", "Job", "Request", "make_job", "versions"]

DEFAULTS = {"table.layout": "both", "training.batch_size": "455", "training.clip_norm": "0"}
"""Where the comparison's own defaults differ from the table of settings."""

GENERATED_STEPS = 50


@dataclass(frozen=True)
class Request:
    """What the command line asks for beyond settings."""

    plant: str | None = None
    as_published: bool = False
    resume: bool = False
    overwrite: bool = False
    inputs: tuple[Path, ...] = ()
    input_map: InputMap | None = None


@dataclass
class Job:
    """A comparison ready to run.

    Attributes
    ----------
    steps : int
        Total of steps, resumed ones included.
    batch_size : int
        Rows of a global batch.
    slots : dict of feature to slot, in the order of columns of x
    facts : dict
        What must be equal on all ranks, and between a run and the one that continues it.
    """

    settings: Settings
    request: Request
    communicator: Communicator
    steps: int
    batch_size: int
    source: BatchSource
    universe: Universe
    slots: dict[str, int]
    quirks: Quirks
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """Features in the order of their columns."""
        return tuple(self.slots)

    @property
    def layouts(self) -> tuple[str, ...]:
        """Layouts to run, in turn."""
        chosen = self.settings["table.layout"]
        return ("merged", "multi") if chosen == "both" else (chosen,)

    def task(self) -> EmbeddingUpdateTask:
        """The model of this job."""
        params = EmbeddingUpdateTask.params()
        params.seed = self.settings["training.seed"]
        params.train.max_steps = self.steps
        params.train.batch_size = self.batch_size
        return EmbeddingUpdateTask(
            params,
            source=self.source,
            slots=self.slots,
            as_published=self.request.as_published,
            quirks=self.quirks,
        )

    def engine_options(self, layout: str) -> EngineOptions:
        """How path A makes its steps."""
        settings = self.settings
        return EngineOptions(
            layout="merged" if layout == "merged" else "multi",
            reduction=settings["sync.reduction"],
            empty_rank0=settings["sync.empty_rank0"],
            merge_collisions="merge_collisions" in self.quirks,
            grad_wire=settings["sync.embedding_grad_wire"],
            dense_wire=settings["sync.dense_wire"],
            fusion=settings["sync.allreduce_fusion"],
            staleness=settings["sync.staleness"],
            non_finite=settings["training.non_finite"],
        )

    def oracle_settings(self) -> OracleSettings:
        """How path B makes its steps."""
        settings = self.settings
        return OracleSettings(
            settings["sync.reduction"],
            LEARNING_RATE,
            START,
            settings["sync.embedding_grad_wire"] == "f16",
            settings["sync.dense_wire"] == "f16",
            settings["sync.staleness"],
        )

    def oracle_layers(self) -> list[Layer]:
        """The head as path B starts from it; as published, it has a tower of kernels of its own."""
        sizes = (DIM * len(self.slots), *HIDDEN, 1)
        published = self.request.as_published
        layers = []
        for number, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            values = kernel(self.settings["training.seed"], number, fan_in, fan_out, head=1 if published else 0)
            hidden = number < len(HIDDEN) and not published
            layers.append(Layer.fresh(values, HIDDEN_BIAS if hidden else 0.0, START))
        return layers


def make_job(settings: Settings, request: Request, communicator: Communicator) -> Job:
    """Check what was asked for, open the data, and say what ranks must agree on.

    ConfigError or FormatError where something cannot be meant or read; nothing has been written then.
    """
    _check(settings, request)
    per_rank = settings["training.batch_size_per_rank"]
    batch_size = per_rank * communicator.size if per_rank is not None else settings["training.batch_size"]
    steps = settings["training.steps"]
    seed = settings["training.seed"]
    quirks = Quirks.parse(settings["quirks"])
    if request.as_published:
        quirks = quirks.plus("merge_collisions")
    source: BatchSource
    universe: Universe
    if request.inputs:
        assert request.input_map is not None
        logs = open_logs(
            request.inputs, request.input_map, batch_size=batch_size, epochs=settings["training.epochs"], seed=seed
        )
        if logs.steps == 0:
            raise ConfigError(f"there are no rows in {', '.join(map(str, request.inputs))}")
        steps = logs.steps if steps is None else min(steps, logs.steps)
        slots = {column.name: column.slot for column in request.input_map.columns}
        source, universe = logs, SortedUniverse(logs.data)
    else:
        steps = GENERATED_STEPS if steps is None else steps
        source = GeneratedSource(seed, batch_size, with_slot=not request.as_published)
        slots = generated_slots()
        universe = GeneratedUniverse(FEATURES, ID_SPACE, with_slot=not request.as_published)
    job = Job(settings, request, communicator, steps, batch_size, source, universe, slots, quirks)
    job.facts = _facts(job)
    return job


def _check(settings: Settings, request: Request) -> None:
    refused = {
        "sync.skip_allreduce": (False, "ranks would drift apart by intention"),
        "training.clip_norm": (0.0, "the compared model does not clip"),
        "training.dense_weight_decay": (0.0, "the compared model has no weight decay"),
    }
    for key, (wanted, why) in refused.items():
        if settings[key] != wanted:
            raise ConfigError(f"{key}={settings.text(key)} ({settings.origin(key)}): not in the comparison, {why}")
    if request.as_published:
        if request.inputs:
            raise ConfigError("--as-published has data of its own; --input does not go with it")
        if settings["sync.reduction"] == "exact":
            raise ConfigError("--as-published has no exact reduction: its loss is a mean over one rank's rows")
        if request.resume or request.plant:
            raise ConfigError("--as-published goes neither with --resume nor with --plant")
    if request.inputs and request.input_map is None:
        raise ConfigError("--input needs --map FILE, or --column and --label")
    if request.input_map is not None and not request.inputs:
        raise ConfigError("a map describes --input; there is none")


def _facts(job: Job) -> dict[str, str]:
    """Settings that decide numbers, and the data: equal on all ranks, and in every part of a resumed run."""
    settings = job.settings
    keys = (
        "training.seed",
        "training.epochs",
        "training.non_finite",
        "sync.reduction",
        "sync.embedding_grad_wire",
        "sync.dense_wire",
        "sync.staleness",
        "sync.empty_rank0",
    )
    facts = {key: settings.text(key) for key in keys}
    facts["quirks"] = str(job.quirks)
    facts["global batch"] = str(job.batch_size)
    facts["features"] = ",".join(f"{name}:{slot}" for name, slot in job.slots.items())
    facts["data"] = "generated" if not job.request.inputs else f"input {_digest_of(job.universe)}"
    if job.request.input_map is not None:
        facts["map"] = job.request.input_map.digest()
    return facts


def _digest_of(universe: Universe) -> str:
    fids = universe.fids(np.arange(universe.count, dtype=np.int64))
    return hashlib.sha256(fids.astype("<i8").tobytes()).hexdigest()[:16]


def versions(communicator: Communicator, packages: Sequence[str] = ()) -> Mapping[str, str]:
    """Versions of what decides numbers and speed."""
    found = {"monolith-ref": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in packages or ("numpy", "numba", "llvmlite", "numba-cuda", "mpi4py", "mpich", "protobuf"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["communicator"] = f"{communicator.name}, {communicator.size} rank{'s' * (communicator.size > 1)}"
    return found
