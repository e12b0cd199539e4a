"""Messages of a model's record, built and checked before anything is changed. Rule: model_dump 7.3, 7.5."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from monolith_protos import graph_pb2, model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump import arguments
from monolith_ref.model_dump.graphs import GraphIndex, parse_graph
from monolith_ref.model_dump.heads import Heads, tensor_name
from monolith_ref.model_dump.placeholders import placeholder_graph
from monolith_ref.model_dump.stand_ins import Graph, Ragged, Tensor

__all__ = [
    "Model",
    "check_hooks",
    "checked_graph",
    "copies",
    "embedding_slice",
    "extra_outputs",
    "feature_column",
    "foreign_part",
    "graph_def_of",
    "loaded_model",
    "mode_of",
    "model_fn_message",
    "replace_repeated",
    "tensor_names",
]

ITEM_POOL_HOOK = "ItemPoolSaveRestoreHook"


@dataclass(frozen=True)
class Model:
    """One mode's record (still the graph's own message), its graph as it was, and the mode it was made in."""

    record: model_dump_pb2.ProtoModel
    graph_def: bytes
    mode: str

    def message(self) -> model_dump_pb2.ProtoModel:
        """The record with its graph."""
        out = model_dump_pb2.ProtoModel()
        out.CopyFrom(self.record)
        out.graph_def = self.graph_def
        return out


def mode_of(mode: str) -> str:
    """Under which mode a record is kept: train and eval together."""
    try:
        return {"train": "train", "eval": "train", "infer": "infer"}[mode]
    except (KeyError, TypeError):
        raise DumpError(f"a mode is train, eval or infer, not {mode!r}", kind="bad_value") from None


def feature_column(
    bound: inspect.BoundArguments, name_of_slot: Callable[[int], str], *, strict: bool
) -> tuple[model_dump_pb2.FeatureColumn, list[str]]:
    """The record of a feature column, and texts about arguments that it cannot hold."""
    given = arguments.recorded_arguments(bound)
    name, default = given.get("feature_name", (None, None))
    if isinstance(name, int) and not isinstance(name, bool):
        given["feature_name"] = (name_of_slot(name), default)
    return _filled(model_dump_pb2.FeatureColumn(), given, strict)


def embedding_slice(
    bound: inspect.BoundArguments, *, strict: bool
) -> tuple[model_dump_pb2.LookupEmbeddingSlice, list[str]]:
    """The record of a slice without its outputs, and texts about arguments that it cannot hold.

    Raises
    ------
    DumpError
        ``learning_rate_fn_not_allowed``, ``bad_value``.
    """
    given = arguments.recorded_arguments(bound)
    if given.pop("learning_rate_fn", (None, None))[0] is not None:
        raise DumpError("a learning_rate_fn cannot be recorded", kind="learning_rate_fn_not_allowed")
    if "features" in given:
        value, default = given["features"]
        given["features"] = (arguments.features_text(value), default)
    return _filled(model_dump_pb2.LookupEmbeddingSlice(), given, strict)


def _filled(message: Any, given: dict[str, tuple[Any, Any]], strict: bool) -> tuple[Any, list[str]]:
    notices = [f"{message.DESCRIPTOR.name} has no '{name}'" for name in arguments.unrecorded(message, given)]
    if notices and strict:
        raise DumpError("; ".join(notices), kind="unrecorded_argument")
    for name, (value, _) in given.items():
        if value is not None and name in message.DESCRIPTOR.fields_by_name:
            arguments.fill_field(message, name, value)
    return message, notices


def tensor_names(result: Any, what: str) -> list[str]:
    """Names of one tensor, or of a list or tuple of them."""
    items = result if isinstance(result, list | tuple) else [result]
    return [tensor_name(item, f"an output of {what}") for item in items]


def check_hooks(graph: Graph) -> None:
    """Refuse training hooks other than one that saves an item pool."""
    hooks = graph.training_hooks
    if not hooks:
        return
    names = [cls.__name__ for cls in type(hooks[0]).__mro__]
    if len(hooks) > 1 or ITEM_POOL_HOOK not in names:
        found = ", ".join(type(hook).__name__ for hook in hooks)
        raise DumpError(
            f"training hooks {found}; only one {ITEM_POOL_HOOK} is allowed", kind="training_hooks_not_allowed"
        )


def model_fn_message(
    record: model_dump_pb2.ProtoModel, graph: Graph, features: Mapping[str, Any], heads: Heads, loss: Any
) -> model_dump_pb2.ModelFn:
    """The record of a model function."""
    columns = {column.feature_name for column in record.features}
    if not isinstance(features, Mapping):
        raise DumpError(f"features are a {type(features).__name__}, not a dict", kind="bad_value")
    dense = {}
    for name, feature in features.items():
        if not isinstance(name, str):
            raise DumpError(f"a feature is called {name!r}", kind="bad_value")
        if name not in columns and not isinstance(feature, Ragged):
            dense[name] = tensor_name(feature, f"feature '{name}'")
    return model_dump_pb2.ModelFn(
        label=heads.label,
        loss="" if loss is None else tensor_name(loss, "the loss"),
        predict=heads.predict,
        head_name=heads.head_name,
        non_ragged_features=dense,
        extra_losses=[tensor_name(item, "an extra loss") for item in graph.losses],
        summary=[item.node if isinstance(item, Tensor) else str(item) for item in graph.summaries],
        classification=heads.classification,
    )


def extra_outputs(graph: Graph) -> list[model_dump_pb2.ExtraOutput]:
    """One record per export output; a bare tensor goes by its own name."""
    out = []
    for name, output in graph.export_outputs.items():
        tensors = getattr(output, "outputs", output)
        if isinstance(tensors, Tensor):
            tensors = {tensors.name: tensors}
        if not isinstance(tensors, Mapping):
            raise DumpError(f"export output '{name}' is a {type(output).__name__}", kind="bad_value")
        fetches = {str(key): tensor_name(tensor, f"export output '{name}'") for key, tensor in tensors.items()}
        out.append(model_dump_pb2.ExtraOutput(signature_name=name, fetch_dict=fetches))
    return out


def replace_repeated(target: Any, items: Iterable[Any]) -> None:
    """Put other messages into a repeated field."""
    del target[:]
    target.extend(items)


def graph_def_of(graph: Graph) -> graph_pb2.GraphDef:
    """The graph's own nodes, or placeholders for all tensors seen."""
    return placeholder_graph(graph.placeholders) if graph.graph_def is None else graph.graph_def


def checked_graph(data: bytes, where: str) -> None:
    """Refuse a missing graph (``no_graph``) and one that is not sound (``bad_graph``)."""
    try:
        GraphIndex(parse_graph(data)).check()
    except DumpError as error:
        kind = "no_graph" if error.kind == "no_graph" else "bad_graph"
        raise DumpError(f"graph of {where}: {error}", kind=kind) from None


def loaded_model(proto: model_dump_pb2.ProtoModel, mode: str) -> Model:
    """A mode's record from a file; its graph is checked."""
    checked_graph(proto.graph_def, f"mode '{mode}'")
    record = model_dump_pb2.ProtoModel()
    record.CopyFrom(proto)
    record.ClearField("graph_def")
    return Model(record, proto.graph_def, mode)


def copies(container: Mapping[str, model_dump_pb2.ProtoModel]) -> dict[str, model_dump_pb2.ProtoModel]:
    """Sub-models of a file, by name."""
    out = {}
    for name, proto in container.items():
        out[name] = model_dump_pb2.ProtoModel()
        out[name].CopyFrom(proto)
    return out


def foreign_part(message: model_dump_pb2.ModelDump) -> model_dump_pb2.ModelDump:
    """The unknown fields of a file, to be written again, and models of modes that are not ours."""
    out = model_dump_pb2.ModelDump()
    out.CopyFrom(message)
    for field, _ in message.ListFields():
        if field.name != "model_dump":
            out.ClearField(field.name)
    for mode in ("train", "infer"):
        out.model_dump.pop(mode, None)
    return out
