"""A graph's nodes by name, and whether the graph is sound. The graph is only read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from google.protobuf.message import DecodeError
from monolith_protos import graph_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.graphs.references import base_name, parse_reference
from monolith_ref.model_dump.parsing import parse

__all__ = ["GraphIndex", "parse_graph"]


def parse_graph(data: bytes) -> graph_pb2.GraphDef:
    """Read a serialised ``GraphDef``.

    Raises
    ------
    DumpError
        ``no_graph`` for no bytes, ``bad_graph`` for bytes that are no graph.
    """
    if not data:
        raise DumpError("there is no graph", kind="no_graph")
    try:
        return parse(graph_pb2.GraphDef, data)
    except DecodeError as error:
        raise DumpError(f"not a graph ({error})", kind="bad_graph") from None


class GraphIndex:
    """Nodes of one graph by name, in file order.

    Attributes
    ----------
    graph : GraphDef
        The graph itself; it must not be changed while it is indexed.
    positions : dict of str to int
        Node name -> place in the file; of nodes of one name the last.
    duplicates : list of str
        Names that more than one node has.
    """

    def __init__(self, graph: graph_pb2.GraphDef) -> None:
        self.graph = graph
        self.nodes = list(graph.node)
        self.positions: dict[str, int] = {}
        self.duplicates: list[str] = []
        for place, node in enumerate(self.nodes):
            if node.name in self.positions:
                self.duplicates.append(node.name)
            self.positions[node.name] = place

    def __contains__(self, name: str) -> bool:
        return name in self.positions

    def __len__(self) -> int:
        return len(self.nodes)

    def node(self, name: str) -> graph_pb2.NodeDef:
        """The node of that name.

        Raises
        ------
        DumpError
            ``unknown_node``.
        """
        try:
            return self.nodes[self.positions[name]]
        except KeyError:
            raise DumpError(f"there is no node '{name}'", kind="unknown_node") from None

    @cached_property
    def inputs(self) -> list[list[str]]:
        """Per node its inputs as written."""
        return [list(node.input) for node in self.nodes]

    def problems(self) -> Iterator[DumpError]:
        """What makes the graph unsound: ``duplicate_node``, ``dangling_input``, ``cycle``."""
        for name in self.duplicates:
            yield DumpError(f"two nodes of the name '{name}'", kind="duplicate_node")
        sound = not self.duplicates
        for node, inputs in zip(self.nodes, self.inputs, strict=True):
            for text in inputs:
                try:
                    reference = parse_reference(text, as_input=True)
                except DumpError:
                    known = False
                else:
                    known = reference.node in self.positions
                if not known:
                    sound = False
                    yield DumpError(f"'{node.name}' has the input '{text}', which names no node", kind="dangling_input")
        if sound:
            stuck = self.cycle_among(range(len(self.nodes)))
            if stuck is not None:
                yield DumpError(f"'{stuck}' depends on itself", kind="cycle")

    def check(self) -> None:
        """Raise the first of :meth:`problems`."""
        for problem in self.problems():
            raise problem

    def cycle_among(self, places: range | set[int]) -> str | None:
        """Name of a node in a cycle among these nodes that passes through no ``NextIteration``, or None."""
        members = set(places)
        waiting = dict.fromkeys(members, 0)
        consumers: dict[int, list[int]] = {}
        for place in members:
            for text in self.inputs[place]:
                source = self.positions.get(base_name(text))
                if source in members and self.nodes[source].op not in ("NextIteration", "RefNextIteration"):
                    waiting[place] += 1
                    consumers.setdefault(source, []).append(place)
        ready = [place for place, count in waiting.items() if not count]
        done = 0
        while ready:
            place = ready.pop()
            done += 1
            for consumer in consumers.get(place, ()):
                waiting[consumer] -= 1
                if not waiting[consumer]:
                    ready.append(consumer)
        if done == len(members):
            return None
        return self.nodes[min(place for place, count in waiting.items() if count)].name
