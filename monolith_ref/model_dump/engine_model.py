"""A whole model of an engine in one value, and the file that it becomes. Rule: model_dump 1.3, 7.1.

For a model that is described rather than traced: its features, slices, tables and heads are listed, and a graph
of placeholders gives every recorded tensor a node. :func:`record_model` puts it into a recorder,
:func:`dump_model` straight into a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from monolith_protos.graph_pb2 import GraphDef

from monolith_ref.errors import DumpError
from monolith_ref.features.combiners import Combiner, FirstN, ReduceMean, ReduceSum
from monolith_ref.model_dump.configs import TableRecord
from monolith_ref.model_dump.placeholders import dtype_number, placeholder_graph, shape_message
from monolith_ref.model_dump.recorder import Recorder
from monolith_ref.model_dump.stand_ins import Graph, Ragged, Receiver, Tensor

__all__ = ["EngineFeature", "EngineModel", "EngineSlice", "EngineTable", "dump_model", "record_model"]


@dataclass(frozen=True)
class EngineFeature:
    """One feature column: its name and slot, thresholds, and how its ids are combined.

    ``combiner`` is ``ReduceSum``, ``ReduceMean`` or ``FirstN`` (then ``max_seq_length`` > 0). ``slot`` None: the name
    says it (``slot_<n>``, ``fc_slot_<n>``) or nothing does.
    """

    name: str
    slot: int | None = None
    occurrence_threshold: int = 0
    expire_time: int = 36500
    max_seq_length: int = 0
    shared_name: str = ""
    combiner: str = "ReduceSum"


@dataclass(frozen=True)
class EngineSlice:
    """One embedding slice over several features: ``dim`` floats of each.

    ``initializer``, ``optimizer`` and ``compressor`` are configuration objects with ``as_proto()``, messages, or None.
    ``out_type`` ``"concat"`` gives one tensor ``<slice>_concat``, else one per feature: ``<feature>/<slice>``.
    """

    name: str
    features: Sequence[str]
    dim: int
    initializer: Any = None
    optimizer: Any = None
    compressor: Any = None
    out_type: str | None = None


@dataclass(frozen=True)
class EngineTable:
    """One table (a feature's, before tables merge): its configuration and learning rates.

    ``config`` is an ``EmbeddingHashTableConfig`` or its bytes; ``learning_rates`` one number per segment.
    """

    name: str
    config: Any
    learning_rates: Sequence[float] = ()
    extra_restore_names: Sequence[str] = ()


@dataclass(frozen=True)
class EngineModel:
    """What a dump file says of a model.

    Attributes
    ----------
    dense_features : dict of str to (dtype, shape)
        Inputs that are not ids.
    labels, predictions : list of str
        Tensor names (without port); one per head. A label of a head without one is None.
    heads : list of str
        Names of the heads; ``classification`` one bool per head (or one for all).
    loss, extra_losses : names of scalar tensors.
    run_config : dict
        Written as JSON.
    params : object or None
        Its attributes are recorded (``p`` among them: a tree of parameters).
    layouts : dict of str to OutConfig
    optimizer : object or None
        The dense optimizer.
    variables : dict of str to (dtype, shape)
        Dense variables; each becomes a ``VarHandleOp`` with its reader and initial value.
    graph_def : GraphDef or None
        A graph of the caller in place of placeholders.
    serving : bool
        Also record an infer model with a serving receiver (one ``Placeholder`` of serialised examples).
    """

    features: Sequence[EngineFeature]
    slices: Sequence[EngineSlice]
    tables: Sequence[EngineTable]
    heads: Sequence[str] = ("main",)
    labels: Sequence[str | None] = ("label",)
    predictions: Sequence[str] = ("pred",)
    classification: bool | Sequence[bool] = True
    loss: str | None = "loss"
    extra_losses: Sequence[str] = ()
    dense_features: Mapping[str, tuple[str, tuple[int | None, ...]]] = field(default_factory=dict)
    run_config: Mapping[str, Any] = field(default_factory=dict)
    user_params: Sequence[str] = ()
    params: Any = None
    layouts: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Any = None
    variables: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    graph_def: Any = None
    serving: bool = True
    parser_type: str = "example"


def record_model(recorder: Recorder, model: EngineModel) -> dict[str, Graph]:
    """Record ``model`` (train, and infer where ``serving``) and return the graph of each mode.

    Raises
    ------
    DumpError
        ``unknown_feature`` for a slice over a feature that is not listed; else as the recorder's members.
    """
    known = {feature.name for feature in model.features}
    for item in model.slices:
        for name in item.features:
            if name not in known:
                raise DumpError(f"slice '{item.name}' is over '{name}', which is no feature", kind="unknown_feature")
    recorder.parser_type = model.parser_type
    recorder.feature_slots.update({item.name: item.slot for item in model.features if item.slot is not None})
    recorder.add_config(json.dumps(dict(model.run_config)))
    recorder.add_user_params(list(model.user_params))
    holder = _Holder(model)
    recorder.record_params(holder)
    graphs = {"train": _record_mode(recorder, model, holder, "train")}
    if model.serving:
        graphs["infer"] = _record_mode(recorder, model, holder, "infer")
    recorder.table_configs = {
        item.name: TableRecord(item.config, item.learning_rates, item.extra_restore_names) for item in model.tables
    }
    recorder.feature_slice_dims = {
        item.name: [part.dim for part in model.slices if item.name in part.features] for item in model.features
    }
    recorder.feature_combiners = {item.name: _combiner(item) for item in model.features}
    return graphs


def dump_model(path: str | PathLike[str], model: EngineModel, *, compat: str = "clean") -> Recorder:
    """Write ``model`` to ``path`` (a real ``model_dump`` file, canonical bytes, replaced as a whole)."""
    recorder = Recorder(True, compat=compat)
    record_model(recorder, model)
    recorder.dump(path)
    return recorder


class _Holder:
    """The attributes of a model that are recorded."""

    def __init__(self, model: EngineModel) -> None:
        given = model.params
        own = {} if given is None else dict(given) if isinstance(given, Mapping) else dict(vars(given))
        self.__dict__.update({str(name): value for name, value in own.items()})
        self.__dict__["_layout_dict"] = dict(model.layouts)


def _combiner(feature: EngineFeature) -> Combiner:
    if feature.combiner == "FirstN":
        return FirstN(feature.max_seq_length)
    kinds: dict[str, type[Combiner]] = {"ReduceSum": ReduceSum, "ReduceMean": ReduceMean}
    return kinds.get(feature.combiner, Combiner)()


def _record_mode(recorder: Recorder, model: EngineModel, holder: _Holder, mode: str) -> Graph:
    graph = Graph()
    ragged = {
        item.name: Ragged(
            graph.placeholder(f"{item.name}/RaggedFromVariant:1", "int64", (None,)),
            graph.placeholder(f"{item.name}/RaggedFromVariant:0", "int64", (None,)),
        )
        for item in model.features
    }
    dense = {name: graph.placeholder(name, dtype, shape) for name, (dtype, shape) in model.dense_features.items()}
    features: dict[str, Any] = {**ragged, **dense}
    with recorder.recording(graph):
        if mode == "train":
            recorder.add_input_fn(features)
        else:
            examples = {"example_batch": graph.placeholder("example_batch", "string")}
            recorder.record_receiver(lambda: Receiver(features, examples))()
        _record_columns(recorder, model)
        for item in model.slices:
            _record_slice(recorder, graph, item)
        heads = _heads(graph, model, mode)
        graph.graph_def = _graph_with_variables(graph, model)
        recorder.add_model_fn(holder, mode, features, *heads, list(model.heads), model.classification)
        if mode == "train" and model.optimizer is not None:
            recorder.add_optimizer(model.optimizer)
    return graph


def _record_columns(recorder: Recorder, model: EngineModel) -> None:
    @recorder.record_feature
    def create_embedding_feature_column(
        feature_name: str,
        occurrence_threshold: int | None = None,
        expire_time: int = 36500,
        max_seq_length: int = 0,
        shared_name: str | None = None,
        combiner: str | None = None,
    ) -> None:
        """Stands for the engine's own function, whose arguments are recorded."""

    texts = {"ReduceSum": None, "ReduceMean": "reduce_mean", "FirstN": "first_n"}
    for item in model.features:
        create_embedding_feature_column(
            item.name,
            occurrence_threshold=item.occurrence_threshold or None,
            expire_time=item.expire_time,
            max_seq_length=item.max_seq_length,
            shared_name=item.shared_name or None,
            combiner=texts.get(item.combiner, item.combiner),
        )


def _record_slice(recorder: Recorder, graph: Graph, item: EngineSlice) -> None:
    @recorder.record_slice
    def lookup_embedding_slice(
        features: list[str],
        slice_name: str,
        slice_dim: int,
        initializer: Any = None,
        optimizer: Any = None,
        compressor: Any = None,
        group_out_type: str = "add_n",
        out_type: str | None = None,
    ) -> Any:
        if out_type == "concat":
            return graph.placeholder(f"{slice_name}_concat", "float32", (None, slice_dim * len(features)))
        return [graph.placeholder(f"{name}/{slice_name}", "float32", (None, slice_dim)) for name in features]

    lookup_embedding_slice(
        list(item.features),
        item.name,
        item.dim,
        initializer=item.initializer,
        optimizer=item.optimizer,
        compressor=item.compressor,
        out_type=item.out_type,
    )


def _heads(graph: Graph, model: EngineModel, mode: str) -> tuple[list[Any] | None, Tensor | None, list[Tensor]]:
    """Labels and loss (in train only) and predictions."""
    predictions = [graph.placeholder(name) for name in model.predictions]
    if mode != "train":
        return None, None, predictions
    labels = [None if name is None else graph.placeholder(name) for name in model.labels]
    loss = None if model.loss is None else graph.placeholder(model.loss, "float32", ())
    graph.losses = [graph.placeholder(name, "float32", ()) for name in model.extra_losses]
    return labels, loss, predictions


def _graph_with_variables(graph: Graph, model: EngineModel) -> GraphDef:
    """The caller's graph, or placeholders, with a handle, a value to begin with and a reader for every variable."""
    out = GraphDef()
    out.CopyFrom(placeholder_graph(graph.placeholders) if model.graph_def is None else model.graph_def)
    present = {node.name for node in out.node}
    for name, (dtype, shape) in model.variables.items():
        if name in present:
            continue
        handle = out.node.add(name=name, op="VarHandleOp")
        initial = out.node.add(name=f"{name}/Initializer", op="Placeholder")
        for node in (handle, initial):
            node.attr["dtype"].type = dtype_number(dtype)
            node.attr["shape"].shape.CopyFrom(shape_message(shape))
        assign = out.node.add(name=f"{name}/Assign", op="AssignVariableOp", input=[name, f"{name}/Initializer"])
        reader = out.node.add(name=f"{name}/Read/ReadVariableOp", op="ReadVariableOp", input=[name])
        for node in (assign, reader):
            node.attr["dtype"].type = dtype_number(dtype)
    return out
