"""Slices as the original's helper makes them, in either revision, on a copy of the graph. Rule: model_dump 3.2 A, B.

Cuts by node, follows colocation, drops devices, colocation, versions, variable handles and some of their readers.
Errors are the exceptions of the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monolith_protos import graph_pb2

from monolith_ref.errors import ConfigError
from monolith_ref.model_dump.graphs.references import base_name
from monolith_ref.model_dump.graphs.slicing import COLOCATION, ExternalInput, as_graph_def

__all__ = ["OriginalSlice", "OriginalSlicer"]

REVISIONS = ("newest", "fork")


@dataclass(frozen=True)
class OriginalSlice:
    """What the original's ``sub_graph`` gives: a graph and the names of dropped variables, sorted."""

    graph: graph_pb2.GraphDef
    variables: list[str]
    unresolved_inputs: list[ExternalInput]

    @property
    def nodes(self) -> list[str]:
        """Names of kept nodes in file order."""
        return [node.name for node in self.graph.node]

    @property
    def functions(self) -> list[str]:
        """Names of kept functions in library order."""
        return [function.signature.name for function in self.graph.library.function]


class OriginalSlicer:
    """The original's index over a graph of its own."""

    def __init__(self, graph: object, revision: str = "newest") -> None:
        if revision not in REVISIONS:
            raise ConfigError(f"a revision is newest or fork, not {revision!r}")
        self.revision = revision
        self.graph = graph_pb2.GraphDef()
        self.graph.CopyFrom(as_graph_def(graph))
        self.dependencies: dict[str, list[str]] = {}
        self.nodes: dict[str, graph_pb2.NodeDef] = {}
        self.positions: dict[str, int] = {}
        for place, node in enumerate(self.graph.node):
            node.ClearField("device")
            found = [base_name(text) for text in node.input]
            if "_class" in node.attr:
                found += [item.removeprefix(COLOCATION).decode() for item in node.attr["_class"].list.s]
                del node.attr["_class"]
            self.dependencies[node.name] = found
            self.nodes[node.name] = node
            self.positions[node.name] = place

    def sub_graph(
        self, dests: Sequence[str], sources: Sequence[str] | None = None, with_library: bool = True
    ) -> OriginalSlice:
        """What the original returns.

        Raises
        ------
        TypeError, AssertionError, KeyError
            As the original does.
        """
        if isinstance(dests, str):
            raise TypeError("dest_nodes must be a list.")
        ends, starts = ({base_name(text) for text in texts} for texts in (dests, sources or ()))
        for texts in (sources or (), dests):
            for text in texts:
                if base_name(text) not in self.nodes:
                    raise AssertionError(f"{base_name(text)} is not in graph")
        kept: set[str] = set()
        waiting = list(ends)
        while waiting:
            name = waiting.pop()
            if name in kept or name in starts:
                continue
            kept.add(name)
            waiting.extend(self.dependencies[name])
        out = graph_pb2.GraphDef()
        variables = []
        for name in sorted(kept, key=self.positions.__getitem__):
            node = self.nodes[name]
            if node.op == "VarHandleOp":
                variables.append(name)
            elif not self._is_dropped_reader(node):
                out.node.add().CopyFrom(node)
        if with_library:
            self._add_functions(out)
        return OriginalSlice(out, sorted(variables), _unresolved(out))

    def _is_dropped_reader(self, node: graph_pb2.NodeDef) -> bool:
        if node.op != "ReadVariableOp":
            return False
        return self.revision == "fork" or node.name == f"{node.input[0]}/Read/ReadVariableOp"

    def _add_functions(self, out: graph_pb2.GraphDef) -> None:
        used: set[str] = set()
        if self.revision == "newest":
            used = {value.func.name for node in out.node for value in node.attr.values() if value.HasField("func")}
        for function in self.graph.library.function:
            if "Dataset" in function.signature.name or function.signature.name in used:
                copied = out.library.function.add()
                copied.CopyFrom(function)
                for node in copied.node_def:
                    node.ClearField("device")


def _unresolved(graph: graph_pb2.GraphDef) -> list[ExternalInput]:
    """References whose node was not kept, in order of first use."""
    names = {node.name for node in graph.node}
    found: dict[str, list[str]] = {}
    for node in graph.node:
        for number, text in enumerate(node.input):
            if base_name(text) not in names:
                consumer = node.name if text.startswith("^") else f"{node.name}:{number}"
                found.setdefault(text, []).append(consumer)
    return [ExternalInput(ref, consumers) for ref, consumers in found.items()]
