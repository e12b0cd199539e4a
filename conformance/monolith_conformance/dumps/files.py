"""One dump file against everything that is expected of it: ``<name>.pb`` and ``<name>.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monolith_protos import graph_pb2, model_dump_pb2

from monolith_conformance.dumps.results import Table
from monolith_ref.errors import DumpError
from monolith_ref.model_dump import Recorder, parse_dump, read_dump
from monolith_ref.model_dump.canonical import canonical_bytes
from monolith_ref.model_dump.graphs import OriginalSlicer, Slicer, parse_graph
from monolith_ref.model_dump.jsonform import build, to_json
from monolith_ref.model_dump.literals import parse_literal
from monolith_ref.model_dump.payloads import decode_payloads, input_references, located_models, receiver_references
from monolith_ref.model_dump.plain import plain_message
from monolith_ref.model_dump.verify import verify

__all__ = ["replay_file"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def replay_file(path: Path, expected: Mapping[str, Any], table: Table) -> None:
    """Check one file; every part of the expectation is a kind of the table."""
    name = path.stem
    raw = path.read_bytes()
    table.equal("file as described", name, (len(raw), sha256(raw)), (expected["size"], expected["sha256"]))
    try:
        dump = read_dump(path)
    except DumpError as error:
        table.add("read", name, [str(error)])
        return
    table.add("read", name, [])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.pb"
        dump.write(copy)
        table.equal("write unchanged", name, copy.read_bytes() == raw, True)
    canonical = canonical_bytes(dump.message)
    want = (expected["canonical_size"], expected["canonical_sha256"])
    table.equal("canonical form", name, (len(canonical), sha256(canonical)), want)
    again = canonical_bytes(parse_dump(canonical))
    table.equal("canonical form is a fixed point", name, again == canonical, True)
    table.equal("json and back", name, build(to_json(raw)) == raw, True)
    table.equal("message", name, plain_message(dump.message), expected["message"])
    table.equal("payloads", name, decode_payloads(dump.message), expected["payloads"])
    _graphs(name, dump.message, expected["graphs"], table)
    _slices(name, dump.message, expected["slices"], table)
    _verify(name, path, expected["verify"], table)
    _imports(name, path, dump.message, expected.get("original_import", {}), table)


def graph_at(message: model_dump_pb2.ModelDump, where: str) -> graph_pb2.GraphDef:
    """The graph of ``model_dump{train}`` and the like."""
    field, _, key = where.removesuffix("}").partition("{")
    return parse_graph(getattr(message, field)[key].graph_def)


def _graphs(name: str, message: model_dump_pb2.ModelDump, expected: Mapping[str, Any], table: Table) -> None:
    found = {}
    for model in located_models(message):
        if not model.proto.graph_def:
            continue
        graph = parse_graph(model.proto.graph_def)
        found[model.where] = {
            "bytes": len(model.proto.graph_def),
            "sha256": sha256(model.proto.graph_def),
            "canonical_sha256": sha256(canonical_bytes(graph)),
            "versions": {
                "producer": graph.versions.producer,
                "min_consumer": graph.versions.min_consumer,
            },
            "nodes": [
                [node.name, node.op, list(node.input), *([node.device] if node.device else [])] for node in graph.node
            ],
            "colocated": {
                node.name: [item.decode() for item in node.attr["_class"].list.s]
                for node in graph.node
                if "_class" in node.attr
            },
            "functions": [function.signature.name for function in graph.library.function],
            "gradients": {pair.function_name: pair.gradient_func for pair in graph.library.gradient},
        }
    for where in [*expected, *(where for where in found if where not in expected)]:
        table.equal("graphs", f"{name} {where}", found.get(where), expected.get(where))


def _slices(name: str, message: model_dump_pb2.ModelDump, slices: list[Any], table: Table) -> None:
    for case in slices:
        graph = graph_at(message, case["graph"])
        before = canonical_bytes(graph)
        title = f"{name} {case['graph']} {case['title']}"
        newest = case["original_newest"]
        fork = newest if case["original_fork"] == "same" else case["original_fork"]
        table.equal("slices, port level", title, _port_slice(graph, case), _without(case["port_level"], "what"))
        for revision, want in (("newest", newest), ("fork", fork)):
            got = _original_slice(graph, case, revision)
            if "error" in want:
                got, want = _without(got, "message"), _without(want, "message")
            table.equal(f"slices, original {revision}", title, got, want)
        table.equal("graph left alone", title, canonical_bytes(graph) == before, True)


def _without(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}


def _port_slice(graph: graph_pb2.GraphDef, case: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found = Slicer(graph).slice(case["dests"], case["sources"])
    except DumpError as error:
        return {"error": error.kind}
    return {
        "nodes": found.nodes,
        "external_inputs": [dataclasses.asdict(item) for item in found.external_inputs],
        "external_dests": found.external_dests,
        "variables": [dataclasses.asdict(item) for item in found.variables],
        "functions": found.functions,
        "gradients": [list(pair) for pair in found.gradients],
    }


def _original_slice(graph: graph_pb2.GraphDef, case: Mapping[str, Any], revision: str) -> dict[str, Any]:
    try:
        slicer = OriginalSlicer(graph, revision)
        found = slicer.sub_graph(case["dests"], case["sources"], case["with_library"])
    except (AssertionError, TypeError, KeyError) as error:
        return {"error": type(error).__name__, "message": str(error)}
    data = canonical_bytes(found.graph)
    return {
        "nodes": found.nodes,
        "variables": found.variables,
        "functions": found.functions,
        "unresolved_inputs": [dataclasses.asdict(item) for item in found.unresolved_inputs],
        "canonical_sha256": sha256(data),
        "canonical_size": len(data),
    }


def _verify(name: str, path: Path, expected: Mapping[str, Any], table: Table) -> None:
    report = verify(path)
    got = sorted((item.severity, item.code, item.where) for item in report.findings)
    want = sorted((item["severity"], item["code"], item["where"]) for item in expected["findings"])
    table.equal("verify", name, [report.ok, got], [expected["ok"], want])


def _imports(
    name: str, path: Path, message: model_dump_pb2.ModelDump, expected: Mapping[str, Any], table: Table
) -> None:
    """Presence and structure of what the original's load and import gave; graphs are not executed here."""
    if not expected:
        return
    recorder = Recorder(compat="original")
    recorder.load(path)
    for title, read in (("restore_params", _restored), ("has_collected", _collected)):
        want = expected[title]["newest"]
        if isinstance(want, dict):
            want = {"error": want["error"]}
        got = read(recorder)
        table.equal("original import", f"{name} {title}", got, want)
    for title, describe in (("import_input_fn(train)", _input_shape), ("import_receiver_fn(infer)", _receiver_shape)):
        if title in expected:
            want = _shape(expected[title]["newest"])
            mode = "train" if "train" in title else "infer"
            table.equal("original import", f"{name} {title}", describe(message.model_dump[mode]), want)


def _restored(recorder: Recorder) -> Any:
    try:
        found = recorder.restore_params()
    except Exception as error:  # the original's own kind of error
        return {"error": type(error).__name__}
    return "None" if found is None else sorted(found)


def _collected(recorder: Recorder) -> Any:
    try:
        return recorder.has_collected
    except AssertionError:
        return {"error": "AssertionError"}


def _shape(value: Any) -> Any:
    """Names of dense tensors, and which features are ragged; names of ragged parts vary from run to run."""
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return {key: "ragged" if isinstance(item, dict) else item for key, item in value.items()}


def _input_shape(proto: model_dump_pb2.ProtoModel) -> dict[str, Any]:
    out = {}
    for key, text in proto.input_fn.output_features.items():
        out[key] = "ragged" if parse_literal(text)["is_ragged"] else input_references(text)[0]
    return {**out, **({"label": proto.input_fn.label} if proto.input_fn.label else {})}


def _receiver_shape(proto: model_dump_pb2.ProtoModel) -> list[Any]:
    receiver = proto.serving_input_receiver_fn
    out = {}
    for key, text in receiver.features.items():
        out[key] = "ragged" if parse_literal(text)["is_ragged"] else receiver_references(text)[0]
    return [out, dict(receiver.receiver_name)]
