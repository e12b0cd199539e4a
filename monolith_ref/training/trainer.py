"""Train a described model on real logs, on any number of ranks. Rule: job 1 to 3, sync_training 2 to 5.

::

    trainer = Trainer(load_train_config("train.toml"))
    result = trainer.fit()                       # every rank calls it
    result.digests["state"], result.evaluations[-1].auc

Work is refused before it starts: the configuration, then the data, then whether ranks agree, then the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref import __version__
from monolith_ref.errors import ConfigError
from monolith_ref.features.ragged import Batch
from monolith_ref.sync.agreement import check_agreement
from monolith_ref.sync.communicator import Communicator
from monolith_ref.sync.launch import make_communicator
from monolith_ref.training.callbacks import Callback
from monolith_ref.training.checkpointing import checkpoint_to_continue, restore_job, save_job
from monolith_ref.training.config import options_of
from monolith_ref.training.dataset import Dataset, open_dataset
from monolith_ref.training.dealing import deal, row_range
from monolith_ref.training.described import DescribedModel
from monolith_ref.training.digests import LossDigest, state_digest
from monolith_ref.training.engine import Engine
from monolith_ref.training.history import History, Window
from monolith_ref.training.metrics import Evaluation, judge
from monolith_ref.training.outputs import CHECKPOINTS, prepare_outputs
from monolith_ref.training.params import Params
from monolith_ref.training.prefetch import prefetched
from monolith_ref.training.recipe.load import TrainConfig

__all__ = ["TrainResult", "Trainer"]

_MAY_CHANGE = (
    "training.steps", "training.epochs", "training.log_every", "training.report_every", "training.batch_size",
    "training.batch_size_per_rank", "checkpoint.every_steps", "checkpoint.every_seconds", "checkpoint.keep",
    "sync.communicator", "sync.timeout", "sync.allreduce_fusion", "table.initial_capacity", "targets",
)  # fmt: skip
"""Settings that a run which continues another one may have otherwise: they change no bit, or only how far it goes."""


@dataclass
class TrainResult:
    """What a run came to; the same on every rank, times apart.

    Attributes
    ----------
    steps : int
        Steps made in all, those before a resumption included.
    resumed_at : int
        Step of the checkpoint that the run continued; 0: from the start.
    digests : dict
        ``state``, ``loss`` (see ``training.digests``) and ``data``, 64 hex digits each.
    evaluations : list of Evaluation
    windows : list of Window
    rows : dict of table to int
        Rows over all ranks.
    seconds : float
        Wall time of this call.
    checkpoint : Path or None
        Manifest of the last checkpoint.
    notes : list of str
        What a reader of the numbers should know.
    """

    steps: int = 0
    resumed_at: int = 0
    loss: float = float("nan")
    digests: dict[str, str] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    checkpoint: Path | None = None
    notes: list[str] = field(default_factory=list)


class Trainer:
    """A configuration with its data and engine, ready to train.

    Parameters
    ----------
    config : TrainConfig
    communicator : Communicator, optional
        Default: the launcher's.
    callbacks : sequence of Callback
    directory : path, optional
        Where checkpoints go (``<directory>/checkpoint``); default: the setting ``model_dir``; None of both: there are
        none.
    overwrite : bool
        Outputs of an earlier run in the directory go.
    resume : bool
        Continue from the newest checkpoint there (from the start if there is none yet).

    Attributes
    ----------
    engine : Engine
    dataset : Dataset
    directory : Path or None
    steps : int
        Steps that a whole run makes.
    facts : dict
        What a run that continues this one must have in common with it.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        communicator: Communicator | None = None,
        callbacks: Sequence[Callback] = (),
        directory: str | Path | None = None,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        settings = config.settings
        self.config = config
        self.callbacks = list(callbacks)
        if communicator is None:
            communicator = make_communicator(settings["sync.communicator"], settings["sync.timeout"])
        self.communicator = communicator
        per_rank = settings["training.batch_size_per_rank"]
        self.batch_size: int = per_rank * communicator.size if per_rank is not None else settings["training.batch_size"]
        self.dataset: Dataset = open_dataset(config, self.batch_size, communicator)
        limit = settings["training.steps"]
        whole = self.dataset.train.steps
        self.steps: int = whole if limit is None else min(limit, whole)
        self.engine = self._make_engine()
        self.facts = self._agree()
        chosen = directory if directory is not None else settings["model_dir"]
        if resume and chosen is None:
            raise ConfigError("there is nothing to resume without a directory (model_dir)")
        self.directory: Path | None = None
        if chosen is not None:
            self.directory = prepare_outputs(chosen, communicator, overwrite=overwrite, resume=resume)
        self._losses = LossDigest()
        self._result = TrainResult(notes=self._notes())
        self._saved_at = -1
        earlier: list[dict[str, Any]] = []
        if resume:
            earlier = self._resume()
        self.history = History(self.engine, settings["training.report_every"], earlier)
        self._result.windows = self.history.windows

    def _make_engine(self) -> Engine:
        settings = self.config.settings
        params: Params = DescribedModel.params()
        params.name = self.config.model.name
        params.seed = settings["training.seed"]
        params.clip_norm = settings["training.clip_norm"] or None
        params.dense_weight_decay = settings["training.dense_weight_decay"]
        params.train.max_steps = self.steps
        params.train.batch_size = self.batch_size
        model = DescribedModel(self.config.model, params, source=self.dataset.train, quirks=settings["quirks"])
        place = make_target(settings["targets"][0], threads=settings["threads"])
        return Engine(model, options_of(settings), communicator=self.communicator, target=place)

    def _agree(self) -> dict[str, str]:
        """Check that ranks agree; what a run that continues this one must agree on."""
        settings = self.config.settings
        shared = settings.shared()
        said = {
            **self.engine.configuration(),
            "configuration": self.config.digest(),
            "data": self.dataset.digest,
            "rows of a global batch": str(self.batch_size),
        }
        check_agreement(self.communicator, {**shared, **said, "version": __version__})
        # Where evaluation differs, training does not.
        del said["configuration"]
        return {**{key: text for key, text in shared.items() if key not in _MAY_CHANGE}, **said}

    def _notes(self) -> list[str]:
        """What keeps an exact run from being the same for any number of ranks."""
        owned, notes = self.engine.owned, []
        if self.config.settings["sync.reduction"] == "exact" and owned.draws:
            notes.append(
                "rows are initialised or rounded at random, by each rank in the order in which its ids come: another "
                "number of ranks gives other numbers"
            )
        if self.config.settings["sync.reduction"] == "exact" and owned.filter is not None:
            notes.append(
                "each rank has an admission filter of its own: where two ids collide in it, another number of ranks "
                "may admit one of them at another step"
            )
        return notes

    @property
    def checkpoint_directory(self) -> Path | None:
        """Where checkpoints go."""
        return None if self.directory is None else self.directory / CHECKPOINTS

    def _resume(self) -> list[dict[str, Any]]:
        """Restore the newest checkpoint, if there is one; the windows before it."""
        assert self.checkpoint_directory is not None
        checkpoint = checkpoint_to_continue(self.checkpoint_directory, self.facts, self.communicator.size, self.steps)
        found = np.array([-1 if checkpoint is None else checkpoint.step], np.int64)
        everywhere = self.communicator.allgather(found, "train: checkpoint")[:, 0].tolist()
        if len(set(everywhere)) > 1:
            raise ConfigError(f"ranks see different checkpoints in {self.checkpoint_directory}: steps {everywhere}")
        if checkpoint is None:
            return []
        restore_job(self.engine, checkpoint)
        extra = checkpoint.extra
        self._losses = LossDigest(extra["losses"])
        self._result.resumed_at = checkpoint.step
        self._result.loss = extra["loss"]
        self._result.evaluations = [Evaluation(**one) for one in extra["evaluations"]]
        self._saved_at = checkpoint.step
        windows: list[dict[str, Any]] = extra["windows"]
        return windows

    # What a user calls.

    def fit(self) -> TrainResult:
        """Train to the end: steps, evaluations, checkpoints, digests. Collective."""
        since = perf_counter()
        result, engine = self._result, self.engine
        for callback in self.callbacks:
            callback.on_start(self)
        self._saved_time = monotonic()
        rank, size = self.communicator.rank, self.communicator.size
        batches = prefetched(
            lambda step: deal(self.dataset.train, step, rank, size),
            engine.global_step,
            self.steps,
            self.config.input.prefetch,
        )
        for batch in batches:
            self._step(batch)
        engine.embeddings.flush()
        self._close_window()
        if self.dataset.evaluation is not None and not self._evaluated_at(engine.global_step):
            self.evaluate()
        result.steps = engine.global_step
        if self.directory is not None and self._saved_at != engine.global_step:
            self.save()
        result.digests = {"state": state_digest(engine), "loss": self._losses.hexdigest(), "data": self.dataset.digest}
        sizes = np.array([engine.embeddings.tables[spec.name].size for spec in engine.tables], np.int64)
        totals = self.communicator.sum_int64(sizes, "train: rows").tolist()
        result.rows = {spec.name: total for spec, total in zip(engine.tables, totals, strict=True)}
        result.seconds = perf_counter() - since
        for callback in self.callbacks:
            callback.on_end(self, result)
        return result

    def evaluate(self) -> Evaluation:
        """Judge the present state on the rows kept apart. Collective; ConfigError where there are none."""
        since = perf_counter()
        data = self.dataset.evaluation
        if data is None:
            raise ConfigError("no rows are kept apart: [evaluation] has neither files nor a split")
        predictions, labels = self._predict_all(data)
        model = self.config.model
        found = judge(self.engine.global_step, predictions, labels, model.loss, self.communicator, self.engine.target)
        found = Evaluation(**{**found.as_dict(), "seconds": perf_counter() - since})
        self._result.evaluations.append(found)
        for callback in self.callbacks:
            callback.on_evaluate(self, found)
        self.history.resume_clock()
        return found

    def predict(self, batch: Batch) -> NDArray[np.float32]:
        """What the model gives for this rank's rows [rows]: logits with ``bce``. Collective."""
        return self.engine.predict(batch)[self.config.model.name]

    def save(self) -> Path:
        """Write a checkpoint of the present step. Collective; ConfigError where there is no directory."""
        if self.checkpoint_directory is None:
            raise ConfigError("there is no directory for checkpoints (model_dir)")
        result = self._result
        extra: Mapping[str, Any] = {
            "facts": self.facts,
            "losses": self._losses.hexdigest(),
            "loss": result.loss,
            "evaluations": [one.as_dict() for one in result.evaluations],
            "windows": [window.as_dict() for window in result.windows],
        }
        path = save_job(self.engine, self.checkpoint_directory, extra, self.config.settings["checkpoint.keep"])
        result.checkpoint = path
        self._saved_at, self._saved_time = self.engine.global_step, monotonic()
        for callback in self.callbacks:
            callback.on_checkpoint(self, path)
        self.history.resume_clock()
        return path

    # The loop.

    def _step(self, batch: Batch) -> None:
        result = self.engine.step(batch)
        self._losses.add(result.loss)
        self._result.loss = float(result.loss)
        made = self.engine.global_step
        for callback in self.callbacks:
            callback.on_step(self, result)
        window = self.history.add(result)
        if window is not None:
            self._tell(window)
        settings, spec = self.config.settings, self.config.evaluation
        evict = settings["table.evict_every_steps"]
        if evict is not None and made % evict == 0:
            self.engine.evict()
        if spec.every_steps is not None and self.dataset.evaluation is not None and made % spec.every_steps == 0:
            self._close_window()
            self.evaluate()
        if self.directory is not None and self._save_is_due(made):
            self._close_window()
            self.save()

    def _save_is_due(self, made: int) -> bool:
        settings = self.config.settings
        every_steps, every_seconds = settings["checkpoint.every_steps"], settings["checkpoint.every_seconds"]
        if every_seconds is not None:
            late = monotonic() - self._saved_time >= every_seconds
            return self.communicator.broadcast_bytes(bytes([late]), 0, "train: checkpoint due") == b"\1"
        return every_steps is not None and made % every_steps == 0

    def _close_window(self) -> None:
        window = self.history.close()
        if window is not None:
            self._tell(window)

    def _tell(self, window: Window) -> None:
        for callback in self.callbacks:
            callback.on_window(self, window)

    def _evaluated_at(self, step: int) -> bool:
        done = self._result.evaluations
        return bool(done) and done[-1].step == step

    def _predict_all(self, data: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """This rank's predictions and labels, global batch by global batch."""
        parts, labels = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
        for low in range(0, data.rows, self.config.evaluation.batch_size):
            total = min(self.config.evaluation.batch_size, data.rows - low)
            first, last = row_range(self.communicator.rank, self.communicator.size, total)
            mine = data.slice_rows(low + first, low + last)
            parts.append(self.predict(mine))
            labels.append(mine.label)
        return np.concatenate(parts), np.concatenate(labels)
