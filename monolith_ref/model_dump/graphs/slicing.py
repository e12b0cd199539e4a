"""Cuts a sub-graph at tensors, and says what it needs from outside. Rule: model_dump 3.3, port-level rules.

The given graph is never changed. A source ``node:k`` cuts one tensor, a bare ``node`` all outputs and control edges of
it, and ``^node`` its control edges; colocation pulls in nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monolith_protos import graph_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.graphs.functions import reached_functions
from monolith_ref.model_dump.graphs.index import GraphIndex
from monolith_ref.model_dump.graphs.references import Reference, parse_reference
from monolith_ref.model_dump.graphs.variables import (
    Variable,
    describe_variable,
    readers_by_handle,
    save_slice_info,
)
from monolith_ref.model_dump.parsing import parse

__all__ = ["ExternalInput", "GraphSlice", "Slicer"]

COLOCATION = b"loc:@"


@dataclass(frozen=True)
class ExternalInput:
    """A cut reference and the inputs that use it: ``node:input_index``, or ``node`` for a control edge."""

    ref: str
    consumers: list[str]


@dataclass(frozen=True)
class GraphSlice:
    """A sub-graph and its border.

    Attributes
    ----------
    graph : GraphDef
        Kept nodes in file order, the functions that they reach, and the versions of the whole graph.
    nodes : list of str
    external_inputs : list of ExternalInput
        In order of first use.
    external_dests : list of str
        Destinations that are cut themselves.
    variables : list of Variable
        One per kept ``VarHandleOp``.
    functions : list of str
        In library order; ``gradients`` are the pairs (function, gradient) among them.
    """

    graph: graph_pb2.GraphDef
    nodes: list[str]
    external_inputs: list[ExternalInput]
    external_dests: list[str]
    variables: list[Variable]
    functions: list[str]
    gradients: list[tuple[str, str]]


@dataclass
class _Cut:
    """What the sources cut."""

    tensors: set[tuple[str, int]] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    controls: set[str] = field(default_factory=set)

    def add(self, reference: Reference) -> None:
        if reference.control:
            self.controls.add(reference.node)
        elif reference.port is None:
            self.nodes.add(reference.node)
        else:
            self.tensors.add((reference.node, reference.port))

    def holds(self, reference: Reference) -> bool:
        if reference.node in self.nodes:
            return True
        if reference.control:
            return reference.node in self.controls
        return reference.port is not None and (reference.node, reference.port) in self.tensors


class Slicer:
    """Slices of one graph; the graph is read, never changed.

    Parameters
    ----------
    graph : GraphDef, or a TensorFlow graph (whatever has ``as_graph_def``), or another copy of the message
    save_slice_info : mapping of str to bytes
        Node name of a variable -> serialised ``SaveSliceInfoDef``.
    """

    def __init__(self, graph: object, save_slice_info: Mapping[str, bytes] | None = None) -> None:
        self.index = GraphIndex(as_graph_def(graph))
        self.save_slice_info = dict(save_slice_info or {})

    @property
    def nodes(self) -> list[str]:
        """Names of all nodes in file order."""
        return [node.name for node in self.index.nodes]

    @property
    def functions(self) -> list[str]:
        """Names of all functions in library order."""
        return [function.signature.name for function in self.index.graph.library.function]

    def variables(self) -> list[Variable]:
        """All variables of the graph, in file order."""
        places = (place for place, node in enumerate(self.index.nodes) if node.op == "VarHandleOp")
        return [describe_variable(self.index, place, self._readers()) for place in places]

    def slice_info(self, name: str) -> graph_pb2.SaveSliceInfoDef | None:
        """Where the partition of that node name lies in its variable; None if that was not recorded."""
        return save_slice_info(self.save_slice_info[name]) if name in self.save_slice_info else None

    def slice(
        self, dests: Iterable[str], sources: Iterable[str] = (), *, input_map: Mapping[str, str] | None = None
    ) -> GraphSlice:
        """The nodes that ``dests`` need, cut at ``sources`` (and at the keys of ``input_map``).

        Parameters
        ----------
        input_map : mapping of str to str
            Each external input that a key names is replaced by the reference it is mapped to; a bare node maps all
            of its ports and control edges to those of another node. The references need not be in this graph.

        Raises
        ------
        DumpError
            ``bad_ref``, ``unknown_node``, ``duplicate_node``, ``dangling_input``, ``cycle``; nothing is returned then.
        """
        if isinstance(dests, str) or isinstance(sources, str):
            raise DumpError("a list of references is needed, not one text", kind="bad_ref")
        mapping = {parse_reference(key): parse_reference(value) for key, value in (input_map or {}).items()}
        cut = _Cut()
        for reference in [*map(parse_reference, sources), *mapping]:
            self._known(reference)
            cut.add(reference)
        wanted = [parse_reference(text) for text in dests]
        for reference in wanted:
            self._known(reference)
        if self.index.duplicates:
            raise DumpError(f"two nodes of the name '{self.index.duplicates[0]}'", kind="duplicate_node")
        external_dests = list(dict.fromkeys(str(reference) for reference in wanted if cut.holds(reference)))
        kept, external = self._visit([item.node for item in wanted if not cut.holds(item)], cut)
        graph = self._emit(kept, mapping)
        variables = [
            describe_variable(self.index, place, self._readers())
            for place in kept
            if self.index.nodes[place].op == "VarHandleOp"
        ]
        return GraphSlice(
            graph=graph,
            nodes=[self.index.nodes[place].name for place in kept],
            external_inputs=external,
            external_dests=external_dests,
            variables=variables,
            functions=[function.signature.name for function in graph.library.function],
            gradients=[(pair.function_name, pair.gradient_func) for pair in graph.library.gradient],
        )

    def _known(self, reference: Reference) -> None:
        if reference.node not in self.index:
            raise DumpError(f"there is no node '{reference.node}'", kind="unknown_node")

    def _visit(self, start: list[str], cut: _Cut) -> tuple[list[int], list[ExternalInput]]:
        index = self.index
        kept: set[int] = set()
        waiting = [index.positions[name] for name in start]
        external: dict[str, list[tuple[int, int, str]]] = {}
        while waiting:
            place = waiting.pop()
            if place in kept:
                continue
            kept.add(place)
            name = index.nodes[place].name
            for number, text in enumerate(index.inputs[place]):
                reference = parse_reference(text, as_input=True)
                source = index.positions.get(reference.node)
                if source is None:
                    raise DumpError(f"'{name}' has the input '{text}', which names no node", kind="dangling_input")
                if cut.holds(reference):
                    consumer = name if reference.control else f"{name}:{number}"
                    external.setdefault(str(reference), []).append((place, number, consumer))
                else:
                    waiting.append(source)
        stuck = index.cycle_among(kept)
        if stuck is not None:
            raise DumpError(f"'{stuck}' depends on itself", kind="cycle")
        uses = sorted((sorted(found), ref) for ref, found in external.items())
        return sorted(kept), [ExternalInput(ref, [use[2] for use in found]) for found, ref in uses]

    def _emit(self, kept: list[int], mapping: Mapping[Reference, Reference]) -> graph_pb2.GraphDef:
        index = self.index
        graph = graph_pb2.GraphDef()
        names = {index.nodes[place].name for place in kept}
        for place in kept:
            node = graph.node.add()
            node.CopyFrom(index.nodes[place])
            _drop_foreign_colocation(node, names)
            if mapping:
                node.input[:] = [_mapped(text, mapping) for text in index.inputs[place]]
        functions, gradients = reached_functions(index.graph.library, graph.node)
        if functions:
            graph.library.function.extend(functions)
            graph.library.gradient.extend(gradients)
        if index.graph.HasField("versions"):
            graph.versions.CopyFrom(index.graph.versions)
        return graph

    def _readers(self) -> dict[str, list[str]]:
        if not hasattr(self, "_reader_index"):
            self._reader_index = readers_by_handle(self.index)
        return self._reader_index


def as_graph_def(graph: object) -> graph_pb2.GraphDef:
    """A graph as our message: itself, the copy of a TensorFlow graph, or of another generated ``GraphDef``."""
    if isinstance(graph, graph_pb2.GraphDef):
        return graph
    found = graph.as_graph_def() if hasattr(graph, "as_graph_def") else graph
    serialize = getattr(found, "SerializeToString", None)
    if not callable(serialize) or type(found).__name__ != "GraphDef":
        raise DumpError(f"a GraphDef is needed, not a {type(graph).__name__}", kind="bad_type")
    return parse(graph_pb2.GraphDef, serialize())


def _mapped(text: str, mapping: Mapping[Reference, Reference]) -> str:
    reference = parse_reference(text, as_input=True)
    target = mapping.get(reference)
    if target is not None:
        return _as_input(target)
    whole = mapping.get(Reference(reference.node))
    if whole is None:
        return text
    if reference.control:
        return f"^{whole.node}"
    if whole.port is None:
        return _as_input(Reference(whole.node, reference.port))
    # A tensor stands for the node's first output only.
    return _as_input(whole) if reference.port == 0 else text


def _as_input(reference: Reference) -> str:
    return reference.node if reference.port == 0 else str(reference)


def _drop_foreign_colocation(node: graph_pb2.NodeDef, names: set[str]) -> None:
    if "_class" not in node.attr:
        return
    given = list(node.attr["_class"].list.s)
    near = [
        item
        for item in given
        if not item.startswith(COLOCATION) or item[len(COLOCATION) :].decode("utf-8", "replace") in names
    ]
    if not near:
        del node.attr["_class"]
    elif len(near) != len(given):
        node.attr["_class"].list.s[:] = near
