"""Slices beyond the golden ones: input maps, errors, the given graph left alone."""

from __future__ import annotations

import pytest
from monolith_protos import graph_pb2

from monolith_ref.errors import ConfigError, DumpError
from monolith_ref.model_dump.graphs import GraphIndex, OriginalSlicer, Slicer, parse_graph


def make(*nodes: tuple[str, ...], ops: dict[str, str] | None = None) -> graph_pb2.GraphDef:
    """A graph of ``(name, input, ...)``."""
    graph = graph_pb2.GraphDef(versions=graph_pb2.VersionDef(producer=7))
    for name, *inputs in nodes:
        graph.node.add(name=name, op=(ops or {}).get(name, "Op"), input=inputs)
    return graph


def kind_of(graph: graph_pb2.GraphDef, dests: list[str], sources: list[str] | None = None, **options: object) -> str:
    try:
        Slicer(graph).slice(dests, sources or [], **options)  # type: ignore[arg-type]
    except DumpError as error:
        return error.kind
    return "ok"


def test_each_external_input_is_replaced_by_what_it_is_mapped_to() -> None:
    graph = make(("x",), ("y",), ("s", "x", "x:1", "y", "^y"), ("t", "s", "x:2"))
    before = graph.SerializeToString(deterministic=True)
    found = Slicer(graph).slice(["t"], input_map={"x:0": "a:3", "x:1": "b:0", "x:2": "c", "^y": "^d", "y:0": "e:1"})
    assert [list(node.input) for node in found.graph.node] == [["a:3", "b", "e:1", "^d"], ["s", "c"]]
    assert found.nodes == ["s", "t"]
    assert [item.ref for item in found.external_inputs] == ["x:0", "x:1", "y:0", "^y", "x:2"]
    assert found.graph.versions.producer == 7
    assert graph.SerializeToString(deterministic=True) == before


def test_a_bare_key_maps_a_whole_node() -> None:
    graph = make(("x",), ("s", "x", "x:1", "^x"))
    found = Slicer(graph).slice(["s"], input_map={"x": "other"})
    assert list(found.graph.node[0].input) == ["other", "other:1", "^other"]


def test_unknown_keys_and_references_are_told() -> None:
    graph = make(("x",), ("s", "x"))
    assert kind_of(graph, ["s"], input_map={"nope:0": "a"}) == "unknown_node"
    assert kind_of(graph, ["s"], input_map={"x:z": "a"}) == "bad_ref"
    assert kind_of(graph, ["s"], input_map={"x": "a:z"}) == "bad_ref"
    assert kind_of(graph, ["nope"]) == "unknown_node"
    assert kind_of(graph, ["s"], ["nope"]) == "unknown_node"
    assert kind_of(graph, ["s:-1"]) == "bad_ref"
    assert kind_of(graph, [""]) == "bad_ref"


def test_unsound_graphs_are_told() -> None:
    assert kind_of(make(("x",), ("x",), ("s", "x")), ["s"]) == "duplicate_node"
    assert kind_of(make(("s", "gone")), ["s"]) == "dangling_input"
    assert kind_of(make(("a",), ("s", "gone")), ["a"]) == "ok"
    assert kind_of(make(("a", "b"), ("b", "a")), ["a"]) == "cycle"
    assert kind_of(make(("a", "b"), ("b", "a")), ["a"], ["b:0"]) == "ok"
    assert kind_of(make(("a", "b"), ("b", "a"), ops={"b": "NextIteration"}), ["a"]) == "ok"


def test_problems_of_a_whole_graph() -> None:
    kinds = [problem.kind for problem in GraphIndex(make(("x",), ("x",), ("s", "gone", "x:y"))).problems()]
    assert kinds == ["duplicate_node", "dangling_input", "dangling_input"]
    assert [problem.kind for problem in GraphIndex(make(("a", "^a"))).problems()] == ["cycle"]


def test_colocation_goes_where_its_node_went() -> None:
    graph = make(("x",), ("s", "x"))
    graph.node[1].attr["_class"].list.s.extend([b"loc:@x", b"loc:@s"])
    assert list(Slicer(graph).slice(["s"], ["x:0"]).graph.node[0].attr["_class"].list.s) == [b"loc:@s"]
    del graph.node[1].attr["_class"].list.s[1]
    assert "_class" not in Slicer(graph).slice(["s"], ["x:0"]).graph.node[0].attr
    assert list(graph.node[1].attr["_class"].list.s) == [b"loc:@x"]


def test_functions_are_closed_over_lists_names_and_gradients() -> None:
    graph = make(("s",))
    graph.node[0].attr["branches"].list.func.add(name="a").attr["inner"].func.name = "d"
    for name, calls in (("a", "b"), ("b", "Op"), ("c", "Op"), ("grad_b", "c"), ("d", "Op"), ("unused", "Op")):
        function = graph.library.function.add()
        function.signature.name = name
        function.node_def.add(name="call", op=calls)
    graph.library.gradient.add(function_name="b", gradient_func="grad_b")
    graph.library.gradient.add(function_name="unused", gradient_func="c")
    found = Slicer(graph).slice(["s"])
    assert found.functions == ["a", "b", "c", "grad_b", "d"]
    assert found.gradients == [("b", "grad_b")]


def test_a_foreign_graph_is_taken_by_its_bytes() -> None:
    class Foreign:
        def as_graph_def(self) -> graph_pb2.GraphDef:
            return make(("x",), ("s", "x"))

    assert Slicer(Foreign()).nodes == ["x", "s"]
    with pytest.raises(DumpError) as caught:
        Slicer(3)
    assert caught.value.kind == "bad_type"


def test_the_originals_errors_and_revisions() -> None:
    graph = make(("s", "x"))
    with pytest.raises(TypeError):
        OriginalSlicer(graph).sub_graph("s")
    with pytest.raises(AssertionError, match="nope is not in graph"):
        OriginalSlicer(graph).sub_graph(["nope"])
    with pytest.raises(KeyError):
        OriginalSlicer(graph).sub_graph(["s"])
    with pytest.raises(ConfigError):
        OriginalSlicer(graph, "older")


@pytest.mark.parametrize(("data", "kind"), [(b"", "no_graph"), (b"\x0a\xff", "bad_graph")])
def test_bytes_that_are_no_graph(data: bytes, kind: str) -> None:
    with pytest.raises(DumpError) as caught:
        parse_graph(data)
    assert caught.value.kind == kind
