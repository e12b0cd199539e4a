"""The constants of this machine: a serial engine on batches like the workload's, timed phase by phase."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from monolith_kernels.target import target

from monolith_ref.dense import Dense, mse
from monolith_ref.entry import AdagradOptimizer, Fp32Compressor, ZerosInitializer
from monolith_ref.errors import ConfigError
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.planning.timing import PHASES, Cost, Measurement
from monolith_ref.planning.workload import Feature, Ids, Workload
from monolith_ref.training.engine import Engine
from monolith_ref.training.model import EstimatorSpec, ModelFeatures, MonolithModel

__all__ = ["batch_of", "measure", "measure_engine"]

STEPS = 24
SMALL = 8
"""The second batch size is this part of the first."""


class Likeness(MonolithModel):
    """A model of the workload's features, dims and dense layers; Adagrad throughout."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.dims = {name: dim for name, (_, dim) in _features(workload).items()}
        width = sum(self.dims.values())
        kernels = workload.dense[::2]
        self.units = [size // fan_in for size, fan_in in zip(kernels, _fan_ins(width, kernels), strict=True)]
        self.register_slots({name: number + 1 for number, name in enumerate(self.dims)})

    def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
        """One slice a feature, then the layers."""
        adagrad = AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1)
        parts = []
        for name in self.dims:
            self.create_embedding_feature_column(name)
        for dim in dict.fromkeys(self.dims.values()):
            names = [name for name, one in self.dims.items() if one == dim]
            parts.append(
                self.lookup_embedding_slice(
                    names, f"vec{dim}", dim, ZerosInitializer(), adagrad, Fp32Compressor(), out_type="concat"
                )
            )
        if len(parts) > 1:
            raise ConfigError("plan --measure times workloads whose embeddings have one dimension")
        x = parts[0]
        for units in self.units[:-1]:
            x = Dense(units, "relu")(x)
        x = Dense(self.units[-1])(x)
        return EstimatorSpec(features["label"], x, "main", mse(x, features["label"]), adagrad, False)


def _fan_ins(width: int, kernels: Sequence[int]) -> list[int]:
    fan_ins = [width]
    for size, _ in pairwise((*kernels, 0)):
        fan_ins.append(size // fan_ins[-1])
    return fan_ins[:-1]


def _features(workload: Workload) -> dict[str, tuple[Feature, int]]:
    every = [(feature, table.dim) for table in workload.tables for feature in table.features]
    return {f"feature{number}": one for number, one in enumerate(every)}


def batch_of(workload: Workload, rows: int, seed: int, first_slot: int = 1) -> Batch:
    """Random rows as the workload has them."""
    random = np.random.default_rng(seed)
    ragged = {}
    for slot, (name, (feature, _)) in enumerate(_features(workload).items(), first_slot):
        lengths = random.integers(feature.fewest, feature.most + 1, rows)
        assert isinstance(feature.ids, Ids)
        probability, sizes = feature.ids.groups
        starts = np.cumsum(sizes) - sizes
        group = np.searchsorted(np.cumsum(probability * sizes), random.random(int(lengths.sum())))
        group = np.minimum(group, len(sizes) - 1)
        ids = (starts[group] + np.floor(random.random(len(group)) * sizes[group])).astype(np.int64)
        ragged[name] = Ragged.from_lengths(ids * feature.ids.stride + (np.int64(slot) << 48), lengths)
    return Batch(ragged, {"label": random.integers(0, 2, rows).astype(np.float32)}, rows)


def measure(workload: Workload, steps: int = STEPS) -> Measurement:
    """Time a serial engine of the workload's likeness; see :func:`measure_engine`."""
    merged = any(len(table.features) > 1 for table in workload.tables)

    def make() -> Engine:
        return Engine(
            Likeness(workload),
            layout="merged" if merged else "multi",
            reduction=workload.reduction,
            fusion=workload.fusion,
            target=target("cpu"),
        )

    return measure_engine(workload, make, lambda rows, step: batch_of(workload, rows, step), steps)


def measure_engine(
    workload: Workload, make: Callable[[], Engine], batch: Callable[[int, int], Batch], steps: int = STEPS
) -> Measurement:
    """Time a serial engine with the workload's batch and with a part of it; constants from the two.

    ``batch(rows, step)`` gives the rows of a step.
    """
    sizes = (workload.rows, max(1, workload.rows // SMALL))
    seconds = [_phases(make(), [batch(rows, step) for step in range(steps)]) for rows in sizes]
    units = [_units(replace(workload, rows=rows)) for rows in sizes]
    costs = {}
    for phase, (unit, _) in PHASES.items():
        large, small = (one.get(phase, 0.0) for one in seconds)
        more = units[0][unit] - units[1][unit]
        each = max(0.0, (large - small) / more) if more else 0.0
        costs[phase] = Cost(max(0.0, large - each * units[0][unit]), each)
    about = {"rows": workload.rows, "tables": len(workload.tables), "reduction": workload.reduction}
    about["dim"] = workload.tables[0].dim
    return Measurement(f"{platform.machine()}, {platform.system()}", about, costs)


def _phases(engine: Engine, batches: Sequence[Batch]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for batch in batches:
        result = engine.step(batch)
        for phase, spent in result.seconds.items():
            found.setdefault(phase, []).append(spent)
    return {phase: statistics.median(spent[len(spent) // 2 :]) for phase, spent in found.items()}


def _units(workload: Workload) -> dict[str, float]:
    from monolith_ref.planning.traffic import predict_traffic

    return {
        "occurrences": workload.occurrences,
        "requests": predict_traffic(workload, 1).requests,
        "rows": float(workload.rows),
        "none": 0.0,
    }
