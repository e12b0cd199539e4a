"""The workload of a training configuration, with ids as its own data has them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from monolith_kernels.target import target
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.features.tables import TableSpec
from monolith_ref.planning.measure import measure_engine
from monolith_ref.planning.timing import Measurement
from monolith_ref.planning.workload import Feature, SeenIds, Table, Workload
from monolith_ref.sync.communicator import SerialCommunicator
from monolith_ref.training.config import options_of
from monolith_ref.training.dataset import open_dataset
from monolith_ref.training.described import DescribedModel
from monolith_ref.training.engine import Engine
from monolith_ref.training.input.source import LogSource
from monolith_ref.training.recipe.load import TrainConfig

__all__ = ["Observed"]


class Observed:
    """A configuration whose data has been read.

    Attributes
    ----------
    workload : Workload
    source : LogSource
    """

    def __init__(self, config: TrainConfig) -> None:
        settings = config.settings
        if settings["training.batch_size_per_rank"] is not None:
            raise ConfigError(
                "plan compares ranks on one global batch: the configuration must give training.batch_size, not "
                "training.batch_size_per_rank"
            )
        self._config = config
        rows = settings["training.batch_size"]
        self.source: LogSource = open_dataset(config, rows, SerialCommunicator()).train
        engine = self._engine()
        ragged = self.source.data.ragged
        self.workload = Workload(
            tuple(_table(spec, engine, ragged) for spec in engine.tables),
            rows,
            tuple(int(value.size) for value in engine.variables.values()),
            outputs=len(engine.recorded.spec.loss.terms),
            reduction=settings["sync.reduction"],
            grad_wire=settings["sync.embedding_grad_wire"],
            dense_wire=settings["sync.dense_wire"],
            fusion=settings["sync.allreduce_fusion"],
            empty_rank0=settings["sync.empty_rank0"],
        )

    def _engine(self) -> Engine:
        settings = self._config.settings
        params = DescribedModel.params()
        params.seed = settings["training.seed"]
        model = DescribedModel(self._config.model, params, source=self.source, quirks=settings["quirks"])
        return Engine(model, options_of(settings), target=target("cpu"))

    def measure(self) -> Measurement:
        """This machine's constants, from the configuration's own model and data."""
        source = self.source

        def batch(rows: int, step: int) -> Batch:
            step %= max(1, source.data.rows // source.batch_size)
            return source.rows(step, 0, min(rows, source.global_rows(step)))

        return measure_engine(self.workload, self._engine, batch)


def _table(spec: TableSpec, engine: Engine, ragged: Mapping[str, Ragged]) -> Table:
    """Features of one slot share ids, and count as one."""
    by_slot: dict[str, list[Ragged]] = {}
    for feature, slot in zip(spec.features, spec.slot_names, strict=True):
        by_slot.setdefault(slot, []).append(ragged[feature])
    width = engine.embeddings.tables[spec.name].layout.width
    return Table(spec.name, spec.dim, width * 4, tuple(_feature(columns) for columns in by_slot.values()))


def _feature(columns: list[Ragged]) -> Feature:
    values: NDArray[np.int64] = np.concatenate([column.values for column in columns])
    fids, counts = np.unique(values, return_counts=True)
    lengths = np.sum([column.lengths() for column in columns], axis=0)
    shares = np.bincount(lengths) / len(lengths)
    return Feature(SeenIds(fids, counts / max(1, len(values))), 0, max(1, len(shares) - 1), _padded(shares))


def _padded(shares: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(shares.tolist()) if len(shares) > 1 else (1.0, 0.0)
