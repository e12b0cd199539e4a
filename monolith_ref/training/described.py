"""The model that a configuration describes, written as users write models. Rule: features 1, job 8."""

from __future__ import annotations

from monolith_ref.dense import Constant, Dense, Tensor, add_n, bce_with_logits, concat, mse
from monolith_ref.features.slots import FeatureColumn
from monolith_ref.quirks import Quirks
from monolith_ref.training.dealing import BatchSource
from monolith_ref.training.model import EstimatorSpec, ModelFeatures, MonolithModel, ServingInputReceiver
from monolith_ref.training.params import Params
from monolith_ref.training.recipe.model import ModelSpec, SliceSpec

__all__ = ["DescribedModel"]


class DescribedModel(MonolithModel):
    """Slices of features side by side, then numbers, then dense layers; slices that go to the output are added there.

    Parameters
    ----------
    spec : ModelSpec
    source : BatchSource, optional
        What ``input_fn`` gives.
    """

    def __init__(
        self,
        spec: ModelSpec,
        params: Params | None = None,
        *,
        source: BatchSource | None = None,
        quirks: str | Quirks | None = None,
    ) -> None:
        super().__init__(params, quirks=quirks)
        self.spec = spec
        self._source = source
        self.register_slots({feature.name: feature.slot for feature in spec.embedded})

    def input_fn(self, mode: str) -> BatchSource:
        """The rows that every rank takes its share of."""
        if self._source is None:
            raise NotImplementedError("the model was made without a source")
        return self._source

    def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
        """Record the model."""
        spec = self.spec
        columns = {
            feature.name: self.create_embedding_feature_column(
                feature.name,
                feature.occurrence_threshold,
                feature.expire_days,
                feature.max_length,
                feature.shared,
                feature.combiner,
            )
            for feature in spec.embedded
        }
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []
        for piece in spec.slices:
            tensors = self._tensors(piece, columns)
            (inputs if piece.to == "layers" else outputs).extend(tensors)
        inputs += [features.dense(feature.name, 1) for feature in spec.numbers]
        x = concat(inputs) if len(inputs) > 1 else inputs[0]
        for units, activation in zip(spec.layers, spec.activations, strict=True):
            x = Dense(units, activation, bias_initializer=Constant(spec.bias))(x)
        prediction = add_n([Dense(1)(x), *outputs]) if outputs else Dense(1)(x)
        label = features["label"]
        loss = (bce_with_logits if spec.loss == "bce" else mse)(prediction, label)
        return EstimatorSpec(label, prediction, spec.name, loss, spec.optimizer, spec.loss == "bce")

    def _tensors(self, piece: SliceSpec, columns: dict[str, FeatureColumn]) -> list[Tensor]:
        """A slice's tensor of each feature, [rows, d]; positions of sequences side by side."""
        tensors: list[Tensor] = self.lookup_embedding_slice(
            list(piece.features),
            piece.name,
            piece.dim,
            piece.initializer,
            piece.optimizer,
            piece.compressor,
            piece.learning_rate,
        )
        lengths = [columns[name].combiner.max_seq_length for name in piece.features]
        return [
            tensor.reshape(length * piece.dim) if length else tensor
            for tensor, length in zip(tensors, lengths, strict=True)
        ]

    def serving_input_receiver_fn(self) -> ServingInputReceiver:
        """Serialised examples in, every feature's ragged ids and numbers out."""
        features: dict[str, object] = {f.name: {"dtype": "int64", "ragged": True} for f in self.spec.embedded}
        features |= {f.name: {"dtype": "float32", "shape": [None]} for f in self.spec.numbers}
        return ServingInputReceiver(features, {"instances": {"dtype": "string", "shape": [None]}})
