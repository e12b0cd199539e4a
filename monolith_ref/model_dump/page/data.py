"""What the page draws: features, tables (merged where configured alike), slices, heads, and how they are joined."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from monolith_protos import model_dump_pb2

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.graphs import Slicer, parse_graph
from monolith_ref.model_dump.payloads import read_features, split_heads, table_config
from monolith_ref.model_dump.plain import plain_message

__all__ = ["page_data"]


def page_data(message: model_dump_pb2.ModelDump, title: str) -> dict[str, Any]:
    """Plain data, as the page's script reads it."""
    tables, table_of = _tables(message)
    return {
        "title": title,
        "run_config": message.run_config,
        "tables": tables,
        "modes": {
            mode: _mode(message, message.model_dump[mode], table_of)
            for mode in sorted(message.model_dump, key=lambda name: (name != "train", name))
        },
        "sub_models": {
            kind: {name: [item.name for item in container[name].signature] for name in sorted(container)}
            for kind, container in (("ps", message.ps_sub_model_dump), ("dense", message.dense_sub_model_dump))
        },
    }


def _tables(message: model_dump_pb2.ModelDump) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Tables that have one configuration are one table: its name is the hash of the features' names."""
    groups: dict[tuple[bytes, tuple[float, ...], tuple[str, ...]], list[str]] = {}
    for item in message.table_configs:
        key = (item.table_config, tuple(item.learning_rates), tuple(item.extra_restore_names))
        groups.setdefault(key, []).append(item.name)
    tables: list[dict[str, Any]] = []
    table_of: dict[str, int] = {}
    for (config, rates, restore), names in groups.items():
        merged = hashlib.md5(",".join(sorted(names)).encode(), usedforsecurity=False).hexdigest()
        try:
            shown: Any = plain_message(table_config(config))
        except DumpError as error:
            shown = {"error": str(error)}
        segments = shown.get("entry_config", {}).get("segments", [])
        for name in names:
            table_of[name] = len(tables)
        tables.append(
            {
                "name": names[0] if len(names) == 1 else merged,
                "features": len(names),
                "segments": [_segment(item) for item in segments],
                "learning_rates": list(rates),
                "extra_restore_names": list(restore),
                "config": shown,
            }
        )
    return tables, table_of


def _segment(segment: dict[str, Any]) -> str:
    optimizer = next((name for name in segment.get("opt_config", {}) if name != "stochastic_rounding_float16"), "?")
    compressor = next(iter(segment.get("comp_config", {})), "?")
    return f"{segment.get('dim_size', 0)} × {optimizer}, {compressor}"


def _mode(
    message: model_dump_pb2.ModelDump, proto: model_dump_pb2.ProtoModel, table_of: dict[str, int]
) -> dict[str, Any]:
    dims = {item.name: list(item.dims) for item in message.feature_slice_dims}
    combiners = {item.name: item for item in message.feature_combiners}
    slices, members = _slices(proto)
    columns = {column.feature_name: plain_message(column) for column in proto.features}
    names = list(dict.fromkeys([*columns, *members, *(dims if not columns else ())]))
    features = []
    for name in names:
        combiner = combiners.get(name)
        features.append(
            {
                "name": name,
                "table": table_of.get(name, -1),
                "slices": members.get(name, []),
                "dims": dims.get(name, []),
                "combiner": "" if combiner is None else _combiner(combiner),
                "column": columns.get(name),
            }
        )
    heads, joined = _heads(proto, slices)
    return {
        "features": features,
        "slices": [{key: value for key, value in item.items() if key != "outputs"} for item in slices],
        "heads": heads,
        "joined": joined,
        "inputs": dict(sorted(proto.model_fn.non_ragged_features.items())),
        "losses": [name for name in (proto.model_fn.loss, *proto.model_fn.extra_losses) if name],
    }


def _combiner(message: model_dump_pb2.FeatureCombiner) -> str:
    text = str(plain_message(message).get("combiner", "ReduceSum"))
    return f"{text}({message.max_seq_length})" if message.max_seq_length else text


def _slices(proto: model_dump_pb2.ProtoModel) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    slices = []
    members: dict[str, list[int]] = {}
    for place, item in enumerate(proto.emb_slices):
        try:
            names = list(dict.fromkeys(_flat(read_features(item.features))))
        except DumpError:
            names = []
        for name in names:
            members.setdefault(name, []).append(place)
        parts = plain_message(item)
        parts.pop("features", None)
        parts.pop("output_tensor_names", None)
        outputs = list(item.output_tensor_names)
        slices.append(
            {
                "name": item.slice_name,
                "dim": item.slice_dim,
                "features": len(names),
                "tensors": outputs[:3] + ([f"… {len(outputs) - 3} more"] if len(outputs) > 3 else []),
                "outputs": outputs,
                "config": parts,
            }
        )
    return slices, members


def _flat(value: Any) -> Iterable[str]:
    """Feature names in a slice's features: a list, groups, (name, dim) pairs, or a dict; slots by their usual name."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield f"slot_{value}"
    elif isinstance(value, dict):
        for key in value:
            yield from _flat(key)
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
        yield value[0]
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)


def _heads(proto: model_dump_pb2.ProtoModel, slices: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """Heads with the slices that each prediction depends on; False where the graph does not tell and all are joined."""
    function = proto.model_fn
    names = split_heads(list(function.head_name), len(function.predict))
    owner = {name: place for place, item in enumerate(slices) for name in item["outputs"]}
    try:
        slicer = Slicer(parse_graph(proto.graph_def))
    except DumpError:
        slicer = None
    known = [] if slicer is None else [name for name in owner if name.rpartition(":")[0] in slicer.index]
    heads = []
    told = slicer is not None
    for place, tensor in enumerate(function.predict):
        uses = list(range(len(slices)))
        try:
            if slicer is None or not tensor:
                raise DumpError("no graph", kind="no_graph")
            found = slicer.slice([tensor], known)
            reached = [item.ref for item in found.external_inputs] + found.external_dests
            uses = sorted({owner[ref] for ref in reached if ref in owner})
        except DumpError:
            told = False
        heads.append(
            {
                "name": names[place] if place < len(names) else f"prediction {place}",
                "predict": tensor,
                "label": function.label[place] if place < len(function.label) else "",
                "classification": function.classification[place] if place < len(function.classification) else None,
                "slices": uses,
            }
        )
    if slices and not any(head["slices"] for head in heads):
        # A graph of placeholders joins nothing.
        told = False
        for head in heads:
            head["slices"] = list(range(len(slices)))
    return heads, told
