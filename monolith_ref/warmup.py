"""Compiling ahead of time: small work of every kind, so that a later job finds its machine code in the cache.

Kernels are compiled when they are first called, under a lock between processes (``monolith_kernels.jit``): of many
ranks that warm up together one compiles a kernel and the others load it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from monolith_kernels.jit import compiled_signatures
from monolith_kernels.target import target
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref import entry
from monolith_ref.dense import Dense, bce_with_logits, mse
from monolith_ref.features.ragged import Batch, Ragged
from monolith_ref.sync.embeddings import Reduction
from monolith_ref.table.hash_table import HashTable, hash_table_from_config
from monolith_ref.table.names import NameScope
from monolith_ref.training.engine import Engine
from monolith_ref.training.model import EstimatorSpec, ModelFeatures, MonolithModel, ServingInputReceiver

__all__ = ["Done", "Stage", "stages", "warm_up"]

_REDUCTIONS: tuple[Reduction, ...] = ("sequential", "sum", "mean", "exact")
_RULES: tuple[type[Any], ...] = (
    entry.AdagradOptimizer,
    entry.SgdOptimizer,
    entry.FtrlOptimizer,
    entry.AdamOptimizer,
    entry.AmsgradOptimizer,
    entry.AdadeltaOptimizer,
    entry.MomentumOptimizer,
    entry.MovingAverageOptimizer,
    entry.RmspropOptimizer,
    entry.RmspropV2Optimizer,
    entry.BatchSoftmaxOptimizer,
    entry.AdaGradWithGroupLassoOptimizer,
    entry.FTRLWithGroupSparsityOptimizer,
    entry.DynamicWdAdagradOptimizer,
)
_DIM = 8
_IDS = np.arange(20, dtype=np.int64)


class Stage(NamedTuple):
    """Small work that compiles what larger work of its kind needs."""

    name: str
    work: Callable[[], None]


class Done(NamedTuple):
    """A stage that has run: its kernels that were compiled, those that were in the cache, and its wall time."""

    name: str
    compiled: int
    loaded: int
    seconds: float


def stages(profile: str, rules: Iterable[type[Any]] = _RULES) -> list[Stage]:
    """Everything there is to compile for the CPU under a rounding profile."""
    found = [Stage(f"training, {name}", partial(_train, profile, name)) for name in _REDUCTIONS]
    for rule in rules:
        found.append(Stage(f"table, {rule.__name__}", partial(_use_table, profile, rule())))
    found.append(Stage("reading a table back", partial(_save_and_restore, profile)))
    return found


def warm_up(chosen: Iterable[Stage]) -> Iterator[Done]:
    """Run stages one by one; yields each when it is done."""
    for stage in chosen:
        loaded, compiled = _counts()
        since = perf_counter()
        stage.work()
        after_loaded, after_compiled = _counts()
        yield Done(stage.name, after_compiled - compiled, after_loaded - loaded, perf_counter() - since)


def _counts() -> tuple[int, int]:
    """(signatures loaded, signatures compiled) of this process so far."""
    counts = compiled_signatures().values()
    return sum(loaded for loaded, _ in counts), sum(compiled for _, compiled in counts)


def _table(profile: str, optimizer: Any) -> HashTable:
    config = EmbeddingHashTableConfig()
    starts = (entry.ZerosInitializer(), entry.RandomUniformInitializer(-1.0, 1.0))
    packings = (entry.Fp32Compressor(), entry.Fp16Compressor())
    for start, packing in zip(starts, packings, strict=True):
        config.entry_config.segments.append(entry.CombineAsSegment(_DIM, start, optimizer, packing))
    entry.CuckooHashTableConfig().mutate_table(config)
    instance = entry.HashTableConfigInstance(config, [0.1, 0.1])
    quirks = "default +unbuilt_rules"
    return hash_table_from_config(instance, target=target("cpu", profile=profile), quirks=quirks, scope=NameScope())


def _use_table(profile: str, optimizer: Any) -> None:
    """Every call on a table of two segments."""
    table = _table(profile, optimizer)
    values = np.ones((len(_IDS), 2 * _DIM), np.float32)
    for step in range(2):
        table.apply_gradients(_IDS, values, step, enable_dedup=bool(step), req_time=1)
    table.assign(_IDS, values, 1)
    table.assign_add(_IDS, values, 1)
    table.lookup(_IDS)
    table.reinitialize(_IDS, 1)
    table.evict(1)


def _save_and_restore(profile: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        table = _table(profile, entry.AdagradOptimizer())
        table.assign(_IDS, np.ones((len(_IDS), 2 * _DIM), np.float32), 1)
        basename = str(Path(directory, "table"))
        table.save(basename)
        table.restore(basename)


class _Task(MonolithModel):
    """A feature of each combiner, two layers, both losses."""

    def input_fn(self, mode: str) -> list[Batch]:
        """Nothing: batches are handed over."""
        return []

    def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
        """Both heads read the same sums."""
        self.create_embedding_feature_column("sums", combiner="reduce_sum")
        self.create_embedding_feature_column("means", combiner="reduce_mean")
        optimizer = entry.AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1)
        x = self.lookup_embedding_slice(
            ["sums", "means"],
            slice_name="vec",
            slice_dim=_DIM,
            initializer=entry.ZerosInitializer(),
            optimizer=optimizer,
            compressor=entry.Fp16Compressor(),
            out_type="concat",
        )
        hidden = Dense(16, activation="relu")(x)
        label = features["label"]
        scores, logits = Dense(1)(hidden), Dense(1)(hidden)
        loss = mse(scores, label) + bce_with_logits(logits, label)
        return EstimatorSpec(
            [label, label],
            [scores, logits],
            ["score", "logit"],
            loss,
            optimizer=optimizer,
            classification=[False, True],
        )

    def serving_input_receiver_fn(self) -> ServingInputReceiver:
        """Not exported."""
        return ServingInputReceiver({}, {})


def _train(profile: str, reduction: Reduction) -> None:
    """Three steps in both layouts."""
    rows = len(_IDS) // 2
    splits = 2 * np.arange(rows + 1, dtype=np.int64)
    for layout in ("multi", "merged"):
        task = _Task()
        task.register_slots({"sums": 1, "means": 2})
        engine = Engine(task, layout=layout, reduction=reduction, target=target("cpu", profile=profile))
        for step in range(3):
            ragged = {
                name: Ragged(_IDS % (7 + step) + (slot << 48), splits) for name, slot in (("sums", 1), ("means", 2))
            }
            engine.step(Batch(ragged, {"label": np.ones(rows, np.float32)}, rows))
