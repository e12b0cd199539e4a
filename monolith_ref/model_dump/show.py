"""A dump in words: what a person wants to know first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from monolith_protos import model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.file import Dump
from monolith_ref.model_dump.graphs import parse_graph
from monolith_ref.model_dump.page.data import page_data
from monolith_ref.model_dump.payloads import LocatedModel, located_models, model_payloads, read_features, split_heads
from monolith_ref.model_dump.wire_findings import wire_findings

__all__ = ["show_lines"]

FEW = 12


def show_lines(dump: Dump, *, everything: bool = False) -> Iterator[str]:
    """Lines about a file; long lists are cut short unless ``everything`` is asked for."""
    message = dump.message
    size = f"{len(dump.raw)} bytes" if dump.raw is not None else "not written yet"
    yield f"{dump.path or 'dump'}: {size}, models {', '.join(sorted(message.model_dump))}"
    yield from _run_config(message)
    yield from _tables(message, everything)
    for model in located_models(message):
        yield ""
        yield from _model(model, everything)
    if dump.raw is not None:
        unusual = [f"{item.code} {item.what} in {item.where}" for item in wire_findings(dump.raw)]
        if unusual:
            yield ""
            yield "unusual in the bytes:"
            yield from _some([f"  {text}" for text in unusual], everything)


def _some(lines: Iterable[str], everything: bool, indent: str = "  ") -> Iterator[str]:
    items = list(lines)
    shown = items if everything or len(items) <= FEW + 1 else items[:FEW]
    yield from shown
    if len(shown) < len(items):
        yield f"{indent}… {len(items) - len(shown)} more (--all)"


def _run_config(message: model_dump_pb2.ModelDump) -> Iterator[str]:
    try:
        found = json.loads(message.run_config)
        text = ", ".join(f"{key}={json.dumps(value)}" for key, value in found.items())
    except (ValueError, AttributeError, RecursionError):
        text = repr(message.run_config) if message.run_config else "none"
    yield f"run config: {text}"
    if message.user_params:
        yield f"set by the user: {', '.join(message.user_params)}"


def _tables(message: model_dump_pb2.ModelDump, everything: bool) -> Iterator[str]:
    data = page_data(message, "")
    yield f"tables: {len(message.table_configs)} configured, {len(data['tables'])} after merging equal ones"
    lines = [
        f"  {item['name']}: {item['features']} features, {' | '.join(item['segments']) or 'no segment'}, "
        f"rates {item['learning_rates']}"
        for item in data["tables"]
    ]
    yield from _some(lines, everything)


def _model(model: LocatedModel, everything: bool) -> Iterator[str]:
    proto = model.proto
    yield f"{model.where}"
    try:
        graph = parse_graph(proto.graph_def)
        yield (
            f"  graph: {len(proto.graph_def)} bytes, {len(graph.node)} nodes, {len(graph.library.function)} functions, "
            f"producer {graph.versions.producer}"
        )
    except DumpError as error:
        yield f"  graph: {error}"
    if proto.features:
        yield f"  features: {len(proto.features)}"
        yield from _some((f"    {_column(column)}" for column in proto.features), everything, "    ")
    for item in proto.emb_slices:
        yield f"  slice {item.slice_name}: dim {item.slice_dim}, {_feature_text(item)}, {_config(item)}"
    yield from _functions(proto)
    payloads = model_payloads(proto)
    for field in ("params", "optimizer"):
        if field in payloads:
            yield f"  {field}: {_payload(payloads[field])}"
    for name in ("typed_params", "typed_optimizer"):
        if getattr(proto, name):
            yield f"  {name}: {getattr(proto, name).decode('utf-8', 'replace'):.200}"
    for name, info in payloads.get("save_slice_info", {}).items():
        yield f"  partition {name}: {json.dumps(info)}"
    for signature in proto.signature:
        inputs, outputs = dict(sorted(signature.inputs.items())), dict(sorted(signature.outputs.items()))
        yield f"  signature {signature.name}: {inputs} -> {outputs}"
    for output in proto.extra_output:
        yield f"  extra output {output.signature_name}: {dict(sorted(output.fetch_dict.items()))}"


def _column(column: model_dump_pb2.FeatureColumn) -> str:
    parts = [f"{field.name} {value}" for field, value in column.ListFields() if field.name != "feature_name"]
    return f"{column.feature_name}: {', '.join(parts)}" if parts else column.feature_name


def _feature_text(item: model_dump_pb2.LookupEmbeddingSlice) -> str:
    try:
        found = read_features(item.features)
    except DumpError:
        return f"features not readable ({item.features:.40})"
    text = ", ".join(map(str, found))
    return f"{len(found)} features ({text if len(text) <= 60 else text[:57] + '...'})"


def _config(item: model_dump_pb2.LookupEmbeddingSlice) -> str:
    parts = []
    for name in ("initializer", "optimizer", "compressor"):
        if item.HasField(name):  # type: ignore[arg-type]
            parts.append("+".join(field.name for field, _ in getattr(item, name).ListFields()) or name)
    return " / ".join(parts) or "no configuration"


def _functions(proto: model_dump_pb2.ProtoModel) -> Iterator[str]:
    if proto.HasField("input_fn"):
        found = proto.input_fn
        label = f", label {found.label}" if found.label else ""
        yield f"  input function: {len(found.output_features)} features, parser {found.parser_type or 'not set'}{label}"
    if proto.HasField("serving_input_receiver_fn"):
        receiver = proto.serving_input_receiver_fn
        names = dict(sorted(receiver.receiver_name.items()))
        yield f"  receiver: {len(receiver.features)} features from {names}, parser {receiver.parser_type or 'not set'}"
    if proto.HasField("model_fn"):
        function = proto.model_fn
        heads = split_heads(list(function.head_name), len(function.predict))
        for place, tensor in enumerate(function.predict):
            name = heads[place] if place < len(heads) else f"prediction {place}"
            label = function.label[place] if place < len(function.label) and function.label[place] else "none"
            yield f"  head {name}: {tensor or 'none'}, label {label}"
        if function.loss:
            yield f"  loss: {', '.join([function.loss, *function.extra_losses])}"


def _payload(value: Any) -> str:
    if "error" in value:
        return str(value["what"])
    if "p" in value:
        leaves = ", ".join(f"{name}={json.dumps(leaf)}" for name, leaf in value["p"].items())
        return f"{', '.join(value['value'])}, {len(value.get('layouts', {}))} layouts; p: {leaves:.400}"
    return f"{json.dumps(value['value']):.300}"
