"""Models as users of the original write them. Rule: job 8, features 1.

::

    class Task(MonolithModel):
        def input_fn(self, mode): ...                       # a BatchSource, or an iterable of Batch
        def model_fn(self, features, mode):                 # called once, records the graph
            for name in NAMES:
                self.create_embedding_feature_column(name)
            x = self.lookup_embedding_slice(NAMES, "vec", 15, initializer=..., optimizer=..., out_type="concat")
            pred = Dense(1)(Dense(32, activation="relu")(x))
            loss = mse(pred, features["label"])
            return EstimatorSpec(label=features["label"], pred=pred, head_name="main", loss=loss, optimizer=...)
        def serving_input_receiver_fn(self): ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "DistributedCpuTrainingConfig",
    "EstimatorSpec",
    "MonolithModel",
    "ServingInputReceiver",
    "distributed_sync_train",
]


@dataclass(frozen=True)
class EstimatorSpec:
    """What ``model_fn`` returns; label, pred, head_name and classification are one value or parallel lists."""

    label: Any
    pred: Any
    head_name: Any = None
    loss: Any = None
    optimizer: Any = None
    classification: Any = True


@dataclass(frozen=True)
class ServingInputReceiver:
    """Inputs of an exported model: ``features`` (name -> placeholder) and ``receiver_tensors``."""

    features: dict[str, Any]
    receiver_tensors: dict[str, Any]


class MonolithModel:
    """Base of user models; ``self.p`` are its parameters (``p.train.max_steps``,
    ``p.train.per_replica_batch_size`` ...)."""

    def input_fn(self, mode: str) -> Any:
        raise NotImplementedError

    def model_fn(self, features: Any, mode: str) -> EstimatorSpec:
        raise NotImplementedError

    def serving_input_receiver_fn(self) -> ServingInputReceiver:
        raise NotImplementedError


class DistributedCpuTrainingConfig:
    """Fields of sync_training 3."""


def distributed_sync_train(config: DistributedCpuTrainingConfig, task: MonolithModel, **options: Any) -> Any:
    """Train ``task`` synchronously on all ranks of the launcher; returns the :class:`Engine`."""
    raise NotImplementedError
