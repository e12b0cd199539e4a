"""Slices of a dump's graphs: the nodes that some tensors need, cut at others. Rule: model_dump 3.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monolith_protos import graph_pb2, model_dump_pb2

from monolith_conformance.oracle.dump_wire import BadDump, canonical

__all__ = ["slice_lines"]


def graph_of(data: bytes, field: str, key: str) -> Any:
    """The graph of one model of a dump."""
    dump = model_dump_pb2.ModelDump.FromString(canonical(data))
    models = getattr(dump, field, None)
    if models is None or key not in models or not models[key].graph_def:
        raise BadDump(f"there is no graph {field} {key}")
    try:
        return graph_pb2.GraphDef.FromString(models[key].graph_def)
    except Exception as error:  # protobuf's DecodeError
        raise BadDump(f"{field} {key}: no graph ({error})") from None


def slice_lines(data: bytes, field: str, key: str, dests: Sequence[str], sources: Sequence[str]) -> list[str]:
    """The slice, a fact a line: nodes, inputs from outside, destinations outside, variables, functions, gradients."""
    graph = graph_of(data, field, key)
    nodes = {node.name: node for node in graph.node}
    place = {node.name: number for number, node in enumerate(graph.node)}
    cuts, wanted = [_reference(text) for text in sources], [_reference(text) for text in dests]
    for name, _ in [*cuts, *wanted]:
        if name not in nodes:
            raise BadDump(f"there is no node {name}")
    if len(nodes) != len(graph.node):
        raise BadDump("two nodes have one name")

    def is_cut(reference: tuple[str, str]) -> bool:
        return reference in cuts or (reference[0], "") in cuts

    kept: set[str] = set()
    waiting = [name for name, port in wanted if not is_cut((name, port))]
    outside: dict[str, list[tuple[int, int, str]]] = {}
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        kept.add(name)
        for number, text in enumerate(nodes[name].input):
            source, port = _reference(text)
            port = port or "0"
            if source not in nodes:
                raise BadDump(f"{name} has the input {text}, which names no node")
            if is_cut((source, port)):
                consumer = name if port == "^" else f"{name}:{number}"
                outside.setdefault(_text(source, port), []).append((place[name], number, consumer))
            else:
                waiting.append(source)
    ordered = [node.name for node in graph.node if node.name in kept]
    _refuse_cycles(nodes, kept)
    lines = [f"node {name}" for name in ordered]
    uses = sorted((sorted(found), text) for text, found in outside.items())
    lines += [" ".join(["input", text, *(use[2] for use in found)]) for found, text in uses]
    lines += [f"dest {text}" for text in dict.fromkeys(_text(*one) for one in wanted if is_cut(one))]
    lines += [f"variable {name}" for name in ordered if nodes[name].op == "VarHandleOp"]
    return lines + _functions(graph.library, [nodes[name] for name in ordered])


def _reference(text: str) -> tuple[str, str]:
    """(node, port): the port is a number, ``^`` for control, empty for the node as a whole."""
    if text.startswith("^"):
        if ":" in text or len(text) == 1:
            raise BadDump(f"{text} names no node")
        return text[1:], "^"
    name, colon, port = text.partition(":")
    if not name or (colon and not (port.isascii() and port.isdigit())):
        raise BadDump(f"{text} names no tensor")
    return name, str(int(port)) if colon else ""


def _text(node: str, port: str) -> str:
    return f"^{node}" if port == "^" else f"{node}:{port}" if port else node


def _refuse_cycles(nodes: dict[str, Any], kept: set[str]) -> None:
    """A cycle must go through a NextIteration node."""
    inside = {
        name: {_reference(text)[0] for text in nodes[name].input} & kept if nodes[name].op != "NextIteration" else set()
        for name in kept
    }
    while True:
        free = [name for name, needs in inside.items() if not needs & inside.keys()]
        if not free:
            break
        for name in free:
            del inside[name]
    if inside:
        raise BadDump(f"{min(inside)} depends on itself")


def _functions(library: Any, nodes: Sequence[Any]) -> list[str]:
    bodies = {function.signature.name: function for function in library.function}
    gradients = {pair.function_name: pair.gradient_func for pair in library.gradient}
    reached: set[str] = set()
    waiting = [name for node in nodes for name in _called(node)]
    while waiting:
        name = waiting.pop()
        if name not in bodies or name in reached:
            continue
        reached.add(name)
        waiting += [inner for node in bodies[name].node_def for inner in _called(node)]
        waiting += [gradients[name]] if name in gradients else []
    lines = [f"function {name}" for name in bodies if name in reached]
    pairs = [pair for pair in library.gradient if pair.function_name in reached]
    return lines + [f"gradient {pair.function_name} {pair.gradient_func}" for pair in pairs]


def _called(node: Any) -> list[str]:
    found = [node.op]
    for value in node.attr.values():
        if value.HasField("func"):
            found.append(value.func.name)
        found += [function.name for function in value.list.func]
    return found
