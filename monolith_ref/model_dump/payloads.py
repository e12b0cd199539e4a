"""What the ``bytes`` and texts inside of a dump say, decoded without executing anything. Rule: model_dump 1.4, 7.3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from monolith_protos import model_dump_pb2
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.errors import DumpError
from monolith_ref.model_dump import params
from monolith_ref.model_dump.graphs import save_slice_info
from monolith_ref.model_dump.literals import TfDtype, parse_literal
from monolith_ref.model_dump.parsing import parse
from monolith_ref.model_dump.plain import plain_message, plain_value

__all__ = [
    "LocatedModel",
    "decode_payloads",
    "feature_references",
    "input_references",
    "located_models",
    "model_payloads",
    "read_features",
    "receiver_references",
    "split_heads",
    "table_config",
]


class LocatedModel(NamedTuple):
    """A model of a file and where it stands: ``model_dump{train}``."""

    where: str
    mode: str | None
    proto: model_dump_pb2.ProtoModel


def located_models(message: model_dump_pb2.ModelDump) -> Iterator[LocatedModel]:
    """All models, those of the modes first; ``mode`` is None for sub-models."""
    for field, container in (
        ("model_dump", message.model_dump),
        ("ps_sub_model_dump", message.ps_sub_model_dump),
        ("dense_sub_model_dump", message.dense_sub_model_dump),
    ):
        for key in sorted(container):
            yield LocatedModel(f"{field}{{{key}}}", key if field == "model_dump" else None, container[key])


def split_heads(names: list[str], predictions: int) -> list[str]:
    """Head names by prediction: a single entry with as many comma parts as predictions is taken apart."""
    if len(names) == 1 and predictions > 1 and len(names[0].split(",")) == predictions:
        return names[0].split(",")
    return names


def _described(text: str) -> dict[str, Any]:
    value = parse_literal(text)
    if not isinstance(value, dict) or not isinstance(value.get("is_ragged"), bool):
        raise DumpError(f"{text!r:.80} describes no feature", kind="bad_repr")
    return value


def _names(text: str, value: dict[str, Any], keys: tuple[str, ...]) -> list[str]:
    found = [value.get(key) for key in keys]
    for key, name in zip(keys, found, strict=True):
        if not isinstance(name, str):
            raise DumpError(f"{text!r:.80} has no '{key}'", kind="bad_repr")
    return [str(name) for name in found]


def input_references(text: str) -> list[str]:
    """The tensor (or, if ragged, the node) that a text of the input function names.

    Raises
    ------
    DumpError
        ``bad_repr``.
    """
    return _names(text, _described(text), ("name",))


def receiver_references(text: str) -> list[str]:
    """The tensors that a text of the serving receiver names.

    Raises
    ------
    DumpError
        ``bad_repr``.
    """
    value = _described(text)
    if value["is_ragged"]:
        return _names(text, value, ("values", "row_splits"))
    if not isinstance(value.get("dtype"), TfDtype) or "last_dim" not in value:
        raise DumpError(f"{text!r:.80} lacks dtype or last_dim", kind="bad_repr")
    return _names(text, value, ("name",))


def feature_references(proto: model_dump_pb2.ProtoModel) -> Iterator[tuple[str, str, str, bool]]:
    """``(field, key, text, of the receiver)`` of all texts about input features."""
    for key, text in sorted(proto.input_fn.output_features.items()):
        yield "input_fn.output_features", key, text, False
    for key, text in sorted(proto.serving_input_receiver_fn.features.items()):
        yield "serving_input_receiver_fn.features", key, text, True


def read_features(text: str) -> Any:
    """The ``features`` of a slice."""
    return parse_literal(text)


def table_config(data: bytes) -> EmbeddingHashTableConfig:
    """A table's configuration.

    Raises
    ------
    DumpError
        ``bad_table_config``.
    """
    try:
        return parse(EmbeddingHashTableConfig, data)
    except DecodeError as error:
        raise DumpError(f"not an EmbeddingHashTableConfig ({error})", kind="bad_table_config") from None


def _or_error(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except DumpError as error:
        return {"error": error.kind, "what": str(error)}


def params_payload(data: bytes) -> dict[str, Any]:
    """A params pickle: names, plain values, leaves of ``p``, layouts."""
    value, names = params.read_params(data)
    out: dict[str, Any] = {
        "sorted_globals": list(names),
        "value": {key: plain_value(item) for key, item in value.items() if key != "p"},
    }
    if "p" in value:
        out["p"] = {name: plain_value(leaf) for name, leaf in params.parameter_leaves(value["p"])}
    key = next((name for name in ("_layout_dict", "layout_dict") if name in value), None)
    if key is not None:
        out["layout_key"] = key
        out["layouts"] = {name: plain_message(item) for name, item in params.restored(value)["layout_dict"].items()}
    return out


def optimizer_payload(data: bytes) -> dict[str, Any]:
    """An optimizer pickle: names and the inert object."""
    value, names = params.read_optimizer(data)
    return {"sorted_globals": list(names), "value": plain_value(value)}


def model_payloads(proto: model_dump_pb2.ProtoModel) -> dict[str, Any]:
    """Decoded payloads of one model by field; what cannot be read is ``{"error": kind, "what": text}``."""
    out: dict[str, Any] = {}
    if proto.params:
        out["params"] = _or_error(params_payload, proto.params)
    if proto.optimizer:
        out["optimizer"] = _or_error(optimizer_payload, proto.optimizer)
    if proto.save_slice_info:
        out["save_slice_info"] = {
            name: _or_error(lambda data: plain_message(save_slice_info(data)), data)
            for name, data in sorted(proto.save_slice_info.items())
        }
    for field, key, text, _ in feature_references(proto):
        out.setdefault(field, {})[key] = _or_error(lambda item: plain_value(parse_literal(item)), text)
    if proto.emb_slices:
        out["emb_slices.features"] = [
            _or_error(lambda item: plain_value(read_features(item)), item.features) for item in proto.emb_slices
        ]
    return out


def decode_payloads(message: model_dump_pb2.ModelDump) -> dict[str, Any]:
    """Decoded payloads of a whole file by path."""
    out: dict[str, Any] = {}
    for where, _, proto in located_models(message):
        for field, value in model_payloads(proto).items():
            out[f"{where}.{field}"] = value
    for place, item in enumerate(message.table_configs):
        out[f"table_configs[{place}].table_config"] = _or_error(
            lambda data: plain_message(table_config(data)), item.table_config
        )
    return out
