"""Models as users of the original write them. Rule: job 8, features 1.

::

    class Task(MonolithModel):
        def input_fn(self, mode): ...                       # a BatchSource, or an iterable of this rank's Batches
        def model_fn(self, features, mode):                 # called once, records the graph
            for name in NAMES:
                self.create_embedding_feature_column(name)
            x = self.lookup_embedding_slice(NAMES, "vec", 15, initializer=..., optimizer=..., out_type="concat")
            pred = Dense(1)(Dense(32, activation="relu")(x))
            label = features["label"]
            return EstimatorSpec(label, pred, "main", mse(pred, label), optimizer=...)
        def serving_input_receiver_fn(self): ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from monolith_ref.dense.graph import Graph, Loss, Tensor
from monolith_ref.dense.operations import dense_view
from monolith_ref.dense.optimizers import checked_optimizer
from monolith_ref.entry import Compressor, Initializer, Optimizer
from monolith_ref.errors import ConfigError, ShapeError, StateError, UnsupportedError
from monolith_ref.features.collection import FeatureCollection
from monolith_ref.features.names import FeatureNames
from monolith_ref.features.slots import FeatureColumn
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.training.params import Params, model_params

__all__ = ["MODES", "EstimatorSpec", "Head", "ModelFeatures", "MonolithModel", "RecordedModel", "ServingInputReceiver"]

MODES = ("train", "eval", "infer")


class EstimatorSpec(NamedTuple):
    """What ``model_fn`` returns; label, pred, head_name and classification are one value, or parallel lists."""

    label: Any
    pred: Any
    head_name: Any = None
    loss: Any = None
    optimizer: Any = None
    classification: Any = True


@dataclass(frozen=True)
class ServingInputReceiver:
    """Inputs of an exported model: ``features`` by name, and what it receives."""

    features: Mapping[str, Any]
    receiver_tensors: Mapping[str, Any]


class ModelFeatures(Mapping[str, Tensor]):
    """Dense inputs by name, made when asked for: ``features["label"]`` is [rows], ``dense(name, d)`` is [rows, d]."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __getitem__(self, name: str) -> Tensor:
        return self._graph.inputs[name] if name in self._graph.inputs else self._graph.input(name)

    def dense(self, name: str, *tail: int) -> Tensor:
        """The input ``name`` as [rows, *tail]."""
        return self._graph.input(name, tail)

    def __iter__(self) -> Iterator[str]:
        return iter(self._graph.inputs)

    def __len__(self) -> int:
        return len(self._graph.inputs)


class MonolithModel:
    """Base of user models.

    Attributes
    ----------
    p : Params
        ``p.train.max_steps``, ``p.train.per_replica_batch_size``, ``p.clip_norm`` ... (see ``training.params``).
    names : FeatureNames
        Slots of feature names: ``self.register_slots({"user": 1})``.
    """

    def __init__(self, params: Params | None = None, *, quirks: str | Quirks | None = None) -> None:
        self.p = params if params is not None else type(self).params()
        self.quirks = as_quirks(quirks)
        self.names = FeatureNames(self.quirks)
        self._collection: FeatureCollection | None = None

    @classmethod
    def params(cls) -> Params:
        """The parameters of this class with their defaults; extend by overriding and calling ``define``."""
        return model_params()

    # What users write.

    def input_fn(self, mode: str) -> Any:
        """The data: a BatchSource, or an iterable of this rank's own Batches."""
        raise NotImplementedError(f"{type(self).__name__}.input_fn")

    def model_fn(self, features: ModelFeatures, mode: str) -> EstimatorSpec:
        """Record the model and return its heads."""
        raise NotImplementedError(f"{type(self).__name__}.model_fn")

    def serving_input_receiver_fn(self) -> ServingInputReceiver:
        """The inputs of the exported model."""
        raise NotImplementedError(f"{type(self).__name__}.serving_input_receiver_fn")

    # What users call.

    def register_slots(self, slots: Mapping[str, int]) -> None:
        """Give feature names their slots."""
        self.names.register(slots)

    def create_embedding_feature_column(
        self,
        feature_name: str | int,
        occurrence_threshold: int | None = None,
        expire_time: int = 36500,
        max_seq_length: int = 0,
        shared_name: str | None = None,
        combiner: Any = None,
    ) -> FeatureColumn:
        """The column of a feature (in ``model_fn``); a second call with its name returns the first column."""
        return self._recording().create_column(
            feature_name, occurrence_threshold, expire_time, max_seq_length, shared_name, combiner
        )

    def lookup_embedding_slice(
        self,
        features: Any,
        slice_name: str,
        slice_dim: int | None = None,
        initializer: Initializer | None = None,
        optimizer: Optimizer | None = None,
        compressor: Compressor | None = None,
        learning_rate_fn: Any = None,
        group_out_type: str = "add_n",
        out_type: str | None = None,
    ) -> Any:
        """Embeddings of a slice (in ``model_fn``): a list of tensors, or one for ``out_type`` concat, stack or
        add_n."""
        return self._recording().lookup(
            features,
            slice_name,
            slice_dim,
            initializer,
            optimizer,
            compressor,
            learning_rate_fn,
            group_out_type,
            out_type,
        )

    def _recording(self) -> FeatureCollection:
        if self._collection is None:
            raise StateError("columns and slices belong to a graph: ask for them in model_fn")
        return self._collection

    # What the engine calls.

    def record(self, mode: str = "train", *, exact: bool = False) -> RecordedModel:
        """Run ``model_fn`` once and check what it returned."""
        if mode not in MODES:
            raise ConfigError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
        graph = Graph(self.p.seed)
        graph.exact = exact
        with graph, self._collecting(graph) as collection:
            spec = self.model_fn(ModelFeatures(graph), mode)
            heads = _heads(spec, type(self).__name__)
            if mode == "train":
                _check_training(spec, graph, type(self).__name__)
        return RecordedModel(graph, collection, spec, heads)

    @contextmanager
    def _collecting(self, graph: Graph) -> Iterator[FeatureCollection]:
        self._collection = FeatureCollection(
            graph,
            self.names,
            quirks=self.quirks,
            default_occurrence_threshold=self.p.default_occurrence_threshold,
        )
        try:
            yield self._collection
        finally:
            self._collection = None


@dataclass(frozen=True)
class Head:
    """One output: its name, prediction [rows], label (or None) and kind."""

    name: str
    prediction: Tensor
    label: Tensor | None
    classification: bool


@dataclass(frozen=True)
class RecordedModel:
    """A model function's record: graph, features, what it returned, and its heads."""

    graph: Graph
    collection: FeatureCollection
    spec: EstimatorSpec
    heads: tuple[Head, ...]


def _parallel(value: Any, count: int, what: str, owner: str) -> list[Any]:
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value] * count
    if len(values) != count:
        raise ConfigError(f"{owner}.model_fn: {len(values)} {what} for {count} predictions")
    return values


def _heads(spec: Any, owner: str) -> tuple[Head, ...]:
    if not isinstance(spec, EstimatorSpec):
        raise ConfigError(f"{owner}.model_fn must return an EstimatorSpec, not {type(spec).__name__}")
    predictions = list(spec.pred) if isinstance(spec.pred, list | tuple) else [spec.pred]
    count = len(predictions)
    names = spec.head_name
    if names is None:
        names = ["main"] if count == 1 else [f"head_{i}" for i in range(count)]
    names = _parallel(names, count, "head names", owner)
    if len(set(names)) != count:
        raise ConfigError(f"{owner}.model_fn: head names must differ, found {names}")
    labels = _parallel(spec.label, count, "labels", owner)
    kinds = _parallel(spec.classification, count, "classification flags", owner)
    heads = []
    for name, prediction, label, kind in zip(names, predictions, labels, kinds, strict=True):
        if not isinstance(prediction, Tensor) or prediction.tail not in ((), (1,)):
            raise ShapeError(f"{owner}.model_fn, head {name}: pred must be a tensor [rows] or [rows, 1]")
        heads.append(Head(name, dense_view(prediction), label, bool(kind)))
    return tuple(heads)


def _check_training(spec: EstimatorSpec, graph: Graph, owner: str) -> None:
    if not isinstance(spec.loss, Loss):
        raise ConfigError(f"{owner}.model_fn must return a loss of monolith_ref.dense for training, not {spec.loss!r}")
    if graph.exact and any(not term.has_exact_sum for term in spec.loss.terms):
        raise UnsupportedError("mse(broadcast=True) is a mean over one rank's rows; it has no exact reduction")
    for variable in graph.variables.values():
        checked_optimizer(variable.optimizer or spec.optimizer)
