"""Inputs of a model: texts of input function and receiver, datasets and hooks. Rule: model_dump 7.3, 7.6."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from monolith_protos import model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.heads import tensor_name
from monolith_ref.model_dump.literals import TfDtype, write_literal
from monolith_ref.model_dump.stand_ins import Graph, Ragged, Tensor

__all__ = [
    "Dataset",
    "DatasetInitHook",
    "DatasetInitializerHook",
    "input_message",
    "input_text",
    "last_dim",
    "parse_input_fn_result",
    "receiver_message",
    "receiver_text",
]


@dataclass(frozen=True)
class Dataset:
    """A dataset by its elements: ``name -> (dtype, shape)``; its iterator gives one tensor each, by sorted name."""

    elements: Mapping[str, tuple[str, Iterable[int | None] | None]]

    def next_element(self, graph: Graph) -> dict[str, Tensor]:
        """The tensors of ``IteratorGetNext`` in ``graph``."""
        return {
            name: graph.placeholder(f"IteratorGetNext:{port}", dtype, shape)
            for port, (name, (dtype, shape)) in enumerate(sorted(self.elements.items()))
        }


@dataclass(frozen=True)
class DatasetInitHook:
    """Runs what initialises the input iterator; None where there is nothing to run."""

    initializer: Any


@dataclass(frozen=True)
class DatasetInitializerHook:
    """Initialises the iterator of a dataset."""

    dataset: Dataset


def parse_input_fn_result(recorder: Any, result: Any) -> tuple[Any, Any, list[Any]]:
    """Record an input function's result with ``recorder``; returns features, label and initializing hooks."""
    found: tuple[Any, Any, list[Any]] = recorder.parse_input_fn_result(result)
    return found


def input_text(name: str, feature: Any) -> str:
    """How the input function's record describes a feature."""
    if isinstance(feature, Ragged):
        return write_literal({"name": feature.values.node, "is_ragged": True})
    return write_literal({"name": tensor_name(feature, f"feature '{name}'"), "is_ragged": False})


def last_dim(tensor: Tensor) -> int | None:
    """The last size; None where unknown, 0 for a scalar."""
    if tensor.shape is None:
        return None
    return tensor.shape[-1] if tensor.shape else 0


def receiver_text(name: str, feature: Any) -> str:
    """How the receiver's record describes a feature."""
    if isinstance(feature, Ragged):
        return write_literal({"values": feature.values.name, "row_splits": feature.row_splits.name, "is_ragged": True})
    return write_literal(
        {
            "name": tensor_name(feature, f"feature '{name}'"),
            "is_ragged": False,
            "dtype": TfDtype(feature.dtype),
            "last_dim": last_dim(feature),
        }
    )


def input_message(results: Any, graph: Graph, parser_type: str | None) -> model_dump_pb2.InputFn:
    """The record of ``features`` or ``(features, label)``.

    Raises
    ------
    DumpError
        ``bad_value``, ``missing_tensor``; nothing is changed.
    """
    features, label = results, None
    if isinstance(results, tuple):
        if len(results) != 2:
            raise DumpError(f"{len(results)} values where (features, label) belong", kind="bad_value")
        features, label = results
    if not isinstance(features, Mapping):
        raise DumpError(f"features are a {type(features).__name__}, not a dict", kind="bad_value")
    out = model_dump_pb2.InputFn(parser_type=parser_type or "")
    for name, feature in features.items():
        out.output_features[_key(name)] = input_text(name, feature)
    if label is not None:
        out.label = tensor_name(label, "the label")
    if len(graph.item_pools) > 1:
        raise DumpError(f"{len(graph.item_pools)} item pools (at most one)", kind="bad_value")
    if graph.item_pools:
        out.item_pool = tensor_name(graph.item_pools[0], "the item pool")
    return out


def receiver_message(receiver: Any, parser_type: str | None) -> model_dump_pb2.ServingInputReceiverFn:
    """The record of a serving receiver: an object with ``features`` and ``receiver_tensors``, or a pair of them."""
    if isinstance(receiver, tuple) and len(receiver) == 2:
        features, tensors = receiver
    else:
        features, tensors = getattr(receiver, "features", None), getattr(receiver, "receiver_tensors", None)
    if isinstance(tensors, Tensor):
        tensors = {tensors.node: tensors}
    if not isinstance(features, Mapping) or not isinstance(tensors, Mapping):
        raise DumpError(f"a {type(receiver).__name__} is no receiver of features and tensors", kind="bad_value")
    out = model_dump_pb2.ServingInputReceiverFn(parser_type=parser_type or "")
    for name, feature in features.items():
        out.features[_key(name)] = receiver_text(name, feature)
    for name, tensor in tensors.items():
        out.receiver_name[_key(name)] = tensor_name(tensor, f"receiver '{name}'")
    return out


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise DumpError(f"a feature is called {name!r}", kind="bad_value")
    return name
