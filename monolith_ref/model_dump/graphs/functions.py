"""Functions of a graph's library that nodes reach: by attribute, by list, by op name, and as gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monolith_protos import graph_pb2

__all__ = ["called_names", "reached_functions"]


def called_names(nodes: Iterable[graph_pb2.NodeDef]) -> Iterator[str]:
    """Op names, and every function that an attribute names, functions inside of functions' attributes among them."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield from _named(value)


def _named(value: graph_pb2.AttrValue) -> Iterator[str]:
    kind = value.WhichOneof("value")
    found: Iterable[graph_pb2.NameAttrList]
    if kind == "func":
        found = (value.func,)
    elif kind == "list":
        found = value.list.func
    else:
        return
    for function in found:
        yield function.name
        for inner in function.attr.values():
            yield from _named(inner)


def reached_functions(
    library: graph_pb2.FunctionDefLibrary, nodes: Iterable[graph_pb2.NodeDef]
) -> tuple[list[graph_pb2.FunctionDef], list[graph_pb2.GradientDef]]:
    """Functions reached from ``nodes``, transitively, and the gradient pairs of them; both in library order."""
    if not library.function:
        return [], []
    by_name = {function.signature.name: function for function in library.function}
    gradients: dict[str, list[str]] = {}
    for pair in library.gradient:
        gradients.setdefault(pair.function_name, []).append(pair.gradient_func)
    reached: set[str] = set()
    waiting = [name for name in called_names(nodes) if name in by_name]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        called = [*called_names(by_name[name].node_def), *gradients.get(name, ())]
        waiting.extend(inner for inner in called if inner in by_name)
    functions = [function for function in library.function if function.signature.name in reached]
    return functions, [pair for pair in library.gradient if pair.function_name in reached]
