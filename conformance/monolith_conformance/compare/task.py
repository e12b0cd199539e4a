"""The model of the comparison, written as users write models. Rule: sync_training 1.1 and 6; job 8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monolith_conformance.compare.generator import FEATURES, GeneratedSource, feature_names
from monolith_ref.dense import Constant, Dense, GlorotUniform, mse
from monolith_ref.entry import AdagradOptimizer, Fp16Compressor, ZerosInitializer
from monolith_ref.quirks import Quirks
from monolith_ref.training.dealing import BatchSource
from monolith_ref.training.model import EstimatorSpec, ModelFeatures, MonolithModel, ServingInputReceiver
from monolith_ref.training.params import Params

__all__ = ["DIM", "HIDDEN", "HIDDEN_BIAS", "LEARNING_RATE", "START", "EmbeddingUpdateTask", "generated_slots"]

DIM = 15
HIDDEN = (64, 32)
HIDDEN_BIAS = 0.1
LEARNING_RATE = 0.05
START = 0.1
"""Initial value of every accumulator, of rows and of the head."""


def generated_slots() -> dict[str, int]:
    """Features of the generated workload and their slots: ``feature0`` is slot 1."""
    return {name: i + 1 for i, name in enumerate(feature_names(FEATURES))}


class EmbeddingUpdateTask(MonolithModel):
    """Embeddings of every feature summed by row, side by side, then relu 64, relu 32, one output; squared error.

    Parameters
    ----------
    params : Params, optional
    source : BatchSource, optional
        The data; default: the generated workload of ``params.seed`` with ``params.train.batch_size`` rows a step.
    slots : mapping of feature name to slot, optional
        The features in the order of their columns; default: those of the generated workload.
    as_published : bool
        Zero biases, ids without slot, labels broadcast: the test as it was published.
    """

    def __init__(
        self,
        params: Params | None = None,
        *,
        source: BatchSource | None = None,
        slots: Mapping[str, int] | None = None,
        as_published: bool = False,
        quirks: str | Quirks | None = None,
    ) -> None:
        super().__init__(params, quirks=quirks)
        self.as_published = as_published
        self.slots = dict(slots if slots is not None else generated_slots())
        self._source = source
        if not as_published:
            self.register_slots(self.slots)

    @classmethod
    def params(cls) -> Params:
        """50 steps of 455 rows, no clipping."""
        p = super().params()
        p.name = "embedding_update"
        p.train.max_steps = 50
        p.train.batch_size = 455
        p.clip_norm = None
        return p

    def input_fn(self, mode: str) -> BatchSource:
        """The rows that every rank takes its share of."""
        if self._source is not None:
            return self._source
        return GeneratedSource(self.p.seed, self.p.train.batch_size, with_slot=not self.as_published)

    def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
        """One slice ``vec`` of every feature, and the head."""
        for name in self.slots:
            self.create_embedding_feature_column(name, occurrence_threshold=0)
        optimizer = AdagradOptimizer(
            learning_rate=LEARNING_RATE, initial_accumulator_value=START, weight_decay_factor=0.0, warmup_steps=0
        )
        x = self.lookup_embedding_slice(
            list(self.slots),
            slice_name="vec",
            slice_dim=DIM,
            initializer=ZerosInitializer(),
            optimizer=optimizer,
            compressor=Fp16Compressor(),
            out_type="concat",
        )
        bias = Constant(0.0 if self.as_published else HIDDEN_BIAS)
        for layer, units in enumerate((*HIDDEN, 1)):
            last = layer == len(HIDDEN)
            x = Dense(
                units,
                activation=None if last else "relu",
                kernel_initializer=GlorotUniform(self.p.seed, 0, layer),
                bias_initializer=Constant(0.0) if last else bias,
            )(x)
        label = features["label"]
        loss = mse(x, label, broadcast=self.as_published)
        return EstimatorSpec(
            label=label, pred=x, head_name="embedding_update", loss=loss, optimizer=optimizer, classification=False
        )

    def serving_input_receiver_fn(self) -> ServingInputReceiver:
        """Serialised examples in, every feature's ragged ids out."""
        features: dict[str, Any] = {name: {"dtype": "int64", "ragged": True} for name in self.slots}
        return ServingInputReceiver(features, {"instances": {"dtype": "string", "shape": [None]}})
