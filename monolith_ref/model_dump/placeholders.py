"""A graph for an engine that has none: one node per recorded tensor. Rule: model_dump 7.1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from monolith_protos import graph_pb2

from monolith_ref.model_dump.stand_ins import Tensor

__all__ = ["dtype_number", "placeholder_graph", "shape_message"]

PRODUCER = 1645
"""The version of graphs that our nodes belong to: TensorFlow 2.15."""

_NAMES = {
    "float16": "HALF",
    "float32": "FLOAT",
    "float64": "DOUBLE",
}
_NUMBERS = dict(graph_pb2.DataType.items())


def dtype_number(name: str) -> graph_pb2.DataType:
    """The wire number of a dtype's TensorFlow name; 0 where there is none."""
    base, ref = (name[:-4], "_REF") if name.endswith("_ref") else (name, "")
    return cast(graph_pb2.DataType, _NUMBERS.get(f"DT_{_NAMES.get(base, base.upper())}{ref}", graph_pb2.DT_INVALID))


def shape_message(shape: Iterable[int | None] | None) -> graph_pb2.TensorShapeProto:
    """A shape's message: -1 for unknown sizes."""
    if shape is None:
        return graph_pb2.TensorShapeProto(unknown_rank=True)
    dims = [graph_pb2.TensorShapeProto.Dim(size=-1 if size is None else size) for size in shape]
    return graph_pb2.TensorShapeProto(dim=dims)


def placeholder_graph(tensors: Mapping[str, list[Tensor]]) -> graph_pb2.GraphDef:
    """A ``Placeholder`` per node; where ports above 0 occur an ``IdentityN`` over one placeholder per port."""
    graph = graph_pb2.GraphDef(versions=graph_pb2.VersionDef(producer=PRODUCER))
    for name, outputs in tensors.items():
        ports = {tensor.port: tensor for tensor in outputs}
        highest = max(ports)
        if highest == 0:
            _placeholder(graph, name, ports[0])
            continue
        types = []
        inputs = []
        for port in range(highest + 1):
            tensor = ports.get(port, Tensor(f"{name}:{port}", "float32", None))
            _placeholder(graph, f"{name}/input_{port}", tensor)
            inputs.append(f"{name}/input_{port}")
            types.append(dtype_number(tensor.dtype))
        node = graph.node.add(name=name, op="IdentityN", input=inputs)
        node.attr["T"].list.type.extend(types)
    return graph


def _placeholder(graph: graph_pb2.GraphDef, name: str, tensor: Tensor) -> None:
    node = graph.node.add(name=name, op="Placeholder")
    node.attr["dtype"].type = dtype_number(tensor.dtype)
    node.attr["shape"].shape.CopyFrom(shape_message(tensor.shape))
