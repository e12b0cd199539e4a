"""Variables of a graph: handles, what reads them, what they begin with, and how they are partitioned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from monolith_protos import graph_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.graphs.index import GraphIndex
from monolith_ref.model_dump.graphs.references import base_name, parse_reference
from monolith_ref.model_dump.parsing import parse

__all__ = ["Variable", "describe_variable", "dtype_name", "readers_by_handle", "save_slice_info", "shape_sizes"]

_PART = re.compile(r"(.+)/part_(\d+)\Z", re.DOTALL)
_DTYPES = {"float": "float32", "double": "float64", "half": "float16"}


@dataclass(frozen=True)
class Variable:
    """One ``VarHandleOp``.

    Attributes
    ----------
    shape : list of int, or None
        -1 for an unknown size, None for an unknown rank.
    initial_value : str or None
        The tensor that ``<name>/Assign`` assigns.
    readers : list of str
        All ``ReadVariableOp`` nodes of the whole graph on it.
    partition_of : str or None
        ``w`` for ``w/part_3``.
    """

    name: str
    dtype: str
    shape: list[int] | None
    initial_value: str | None
    readers: list[str]
    device: str
    partition_of: str | None


def dtype_name(number: int) -> str:
    """TensorFlow's name of a dtype number, ``dtype_<n>`` where it has none."""
    try:
        text = graph_pb2.DataType.Name(number).removeprefix("DT_").lower()
    except ValueError:
        return f"dtype_{number}"
    base, ref = (text.removesuffix("_ref"), "_ref") if text.endswith("_ref") else (text, "")
    return _DTYPES.get(base, base) + ref


def shape_sizes(shape: graph_pb2.TensorShapeProto) -> list[int] | None:
    """Sizes of a shape, -1 for an unknown one; None for an unknown rank."""
    return None if shape.unknown_rank else [dim.size for dim in shape.dim]


def readers_by_handle(index: GraphIndex) -> dict[str, list[str]]:
    """Node name of a handle -> names of the ``ReadVariableOp`` nodes on it, in file order."""
    out: dict[str, list[str]] = {}
    for node, inputs in zip(index.nodes, index.inputs, strict=True):
        if node.op == "ReadVariableOp" and inputs:
            out.setdefault(base_name(inputs[0]), []).append(node.name)
    return out


def describe_variable(index: GraphIndex, place: int, readers: Mapping[str, list[str]]) -> Variable:
    """What the graph says about the handle at ``place``."""
    node = index.nodes[place]
    part = _PART.match(node.name)
    initial = None
    assign = index.positions.get(f"{node.name}/Assign")
    if assign is not None and index.nodes[assign].op == "AssignVariableOp" and len(index.inputs[assign]) >= 2:
        initial = str(parse_reference(index.inputs[assign][1], as_input=True))
    return Variable(
        name=node.name,
        dtype=dtype_name(node.attr["dtype"].type) if "dtype" in node.attr else "invalid",
        shape=shape_sizes(node.attr["shape"].shape) if "shape" in node.attr else None,
        initial_value=initial,
        readers=list(readers.get(node.name, ())),
        device=node.device,
        partition_of=part.group(1) if part else None,
    )


def save_slice_info(data: bytes) -> graph_pb2.SaveSliceInfoDef:
    """Where a partition lies in its variable.

    Raises
    ------
    DumpError
        ``bad_save_slice_info``.
    """
    try:
        return parse(graph_pb2.SaveSliceInfoDef, data)
    except DecodeError as error:
        raise DumpError(f"not a SaveSliceInfoDef ({error})", kind="bad_save_slice_info") from None
