"""Is a dump file sound? Every part is looked at; nothing in it is executed. Rule: model_dump 7."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike

from monolith_protos import model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump import params
from monolith_ref.model_dump.file import Dump, parse_dump, read_dump
from monolith_ref.model_dump.findings import Report
from monolith_ref.model_dump.graphs import GraphIndex, base_name, parse_graph, save_slice_info
from monolith_ref.model_dump.payloads import (
    LocatedModel,
    feature_references,
    input_references,
    located_models,
    read_features,
    receiver_references,
    split_heads,
    table_config,
)
from monolith_ref.model_dump.wire_findings import wire_findings

__all__ = ["recorded_names", "verify", "verify_bytes", "verify_dump"]


def verify(path: str | PathLike[str]) -> Report:
    """Check a file; where it cannot be read, that is the one finding."""
    try:
        return verify_dump(read_dump(path))
    except DumpError as error:
        return _unreadable(error)


def verify_bytes(raw: bytes) -> Report:
    """Check the bytes of a file."""
    try:
        message = parse_dump(raw)
        if "train" not in message.model_dump:
            raise DumpError("there is no 'train' model in it", kind="no_train")
    except DumpError as error:
        return _unreadable(error)
    return verify_dump(Dump(message, raw))


def _unreadable(error: DumpError) -> Report:
    report = Report()
    report.error(error.kind, ".", str(error))
    return report


def verify_dump(dump: Dump) -> Report:
    """Check a file that was read."""
    report = Report()
    known_pickles: dict[bytes, list[tuple[str, str]]] = {}
    for model in located_models(dump.message):
        _check_names(report, model, _check_graph(report, model))
        _check_payloads(report, model, known_pickles)
        _check_texts(report, model)
        _check_heads(report, model)
    _check_configs(report, dump.message)
    if dump.raw is not None:
        # Listed first, looked at last: graphs and records need not be in memory at the same time.
        report.findings[:0] = list(wire_findings(dump.raw))
    return report


def _check_graph(report: Report, model: LocatedModel) -> GraphIndex | None:
    try:
        index = GraphIndex(parse_graph(model.proto.graph_def))
    except DumpError as error:
        report.error(error.kind, model.where, str(error))
        return None
    report.count("graphs")
    report.count("nodes", len(index))
    report.count("inputs", sum(map(len, index.inputs)))
    for problem in index.problems():
        report.error(problem.kind, model.where, str(problem))
    return index


def _check_payloads(report: Report, model: LocatedModel, known: dict[bytes, list[tuple[str, str]]]) -> None:
    proto = model.proto
    for field, data in (("params", proto.params), ("optimizer", proto.optimizer)):
        if data:
            report.count("pickles")
            key = field.encode() + data
            if key not in known:
                known[key] = list(_pickle_problems(field, data))
            for kind, text in known[key]:
                report.error(kind, f"{model.where}.{field}", text)
    if proto.typed_params:
        try:
            params.read_params_json(proto.typed_params)
        except DumpError as error:
            report.error(error.kind, f"{model.where}.typed_params", str(error))
    if proto.typed_optimizer:
        try:
            json.loads(proto.typed_optimizer.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            report.error("bad_typed_optimizer", f"{model.where}.typed_optimizer", str(error))
    for name, data in sorted(proto.save_slice_info.items()):
        try:
            save_slice_info(data)
        except DumpError as error:
            report.error(error.kind, f"{model.where}.save_slice_info{{{name}}}", str(error))


def _pickle_problems(field: str, data: bytes) -> Iterator[tuple[str, str]]:
    try:
        if field == "params":
            params.restored(params.read_params(data)[0])
        else:
            params.read_optimizer(data)
    except DumpError as error:
        yield error.kind, str(error)


def _check_texts(report: Report, model: LocatedModel) -> None:
    for field, key, text, of_receiver in feature_references(model.proto):
        try:
            receiver_references(text) if of_receiver else input_references(text)
        except DumpError as error:
            report.error("bad_repr", f"{model.where}.{field}", f"{key}: {error}")
    for place, item in enumerate(model.proto.emb_slices):
        try:
            read_features(item.features)
        except DumpError as error:
            report.warning("unreadable_features", f"{model.where}.emb_slices[{place}]", str(error))


def recorded_names(proto: model_dump_pb2.ProtoModel) -> Iterator[tuple[str, str]]:
    """``(field, reference)`` of every tensor and node that a model's record names; unreadable texts are passed over."""
    for place, item in enumerate(proto.emb_slices):
        for name in item.output_tensor_names:
            yield f"emb_slices[{place}].output_tensor_names", name
    for field, _, text, of_receiver in feature_references(proto):
        try:
            names = receiver_references(text) if of_receiver else input_references(text)
        except DumpError:
            continue
        for name in names:
            yield field, name
    for field, value in (("input_fn.label", proto.input_fn.label), ("input_fn.item_pool", proto.input_fn.item_pool)):
        if value:
            yield field, value
    for _, name in sorted(proto.serving_input_receiver_fn.receiver_name.items()):
        yield "serving_input_receiver_fn.receiver_name", name
    function = proto.model_fn
    if function.loss:
        yield "model_fn.loss", function.loss
    for field in ("label", "predict", "extra_losses", "summary"):
        for name in getattr(function, field):
            if name:
                yield f"model_fn.{field}", name
    for _, name in sorted(function.non_ragged_features.items()):
        yield "model_fn.non_ragged_features", name
    for place, output in enumerate(proto.extra_output):
        for _, name in sorted(output.fetch_dict.items()):
            yield f"extra_output[{place}].fetch_dict", name
    for place, signature in enumerate(proto.signature):
        for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs)):
            for _, name in sorted(tensors.items()):
                yield f"signature[{place}].{side}", name


def _check_names(report: Report, model: LocatedModel, index: GraphIndex | None) -> None:
    if index is None:
        return
    for field, name in recorded_names(model.proto):
        report.count("names")
        if base_name(name) not in index:
            report.error("unresolved_name", f"{model.where}.{field}", name)


def _check_heads(report: Report, model: LocatedModel) -> None:
    function = model.proto.model_fn
    predictions = len(function.predict)
    heads = len(split_heads(list(function.head_name), predictions))
    flags = len(function.classification)
    if (heads and heads != predictions) or (flags and flags != predictions):
        text = f"{predictions} predict, {heads} head_name"
        report.warning(
            "head_mismatch", f"{model.where}.model_fn", text + (f", {flags} classification" if flags else "")
        )


def _check_configs(report: Report, message: model_dump_pb2.ModelDump) -> None:
    for place, item in enumerate(message.table_configs):
        report.count("table_configs")
        try:
            table_config(item.table_config)
        except DumpError as error:
            report.error(error.kind, f"table_configs[{place}]", str(error))
    lists = {
        "table_configs": {item.name for item in message.table_configs},
        "feature_slice_dims": {item.name for item in message.feature_slice_dims},
        "feature_combiners": {item.name for item in message.feature_combiners},
    }
    if len({frozenset(names) for names in lists.values()}) > 1:
        text = ", ".join(f"{field} {len(names)}" for field, names in lists.items())
        report.warning("config_names_differ", ".", f"{text} names")
    try:
        if not isinstance(json.loads(message.run_config), dict):
            raise ValueError("it is no object")
    except (ValueError, RecursionError) as error:
        report.warning("bad_run_config", "run_config", str(error))
