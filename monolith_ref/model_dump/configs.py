"""Table configurations, slice dimensions and combiners between Python values and messages. Rule: model_dump 7.6."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.message import DecodeError, Message
from monolith_protos import model_dump_pb2
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.parsing import parse

__all__ = [
    "TableRecord",
    "combiner_messages",
    "combiners_of",
    "dim_messages",
    "dims_of",
    "slot_in_name",
    "table_messages",
    "tables_of",
]

COMBINERS = {"ReduceSum": 0, "ReduceMean": 1, "FirstN": 2}


@dataclass(frozen=True)
class TableRecord:
    """One table's configuration as recorded; the attributes are those of ``HashTableConfigInstance``.

    ``learning_rate_fns`` are the numbers as the file holds them: float32.
    """

    table_config: EmbeddingHashTableConfig
    learning_rate_fns: Sequence[float] = ()
    extra_restore_names: Sequence[str] = field(default_factory=tuple)


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DumpError(f"{what}: a dict is needed, not a {type(value).__name__}", kind="bad_type")
    for name in value:
        if not isinstance(name, str):
            raise DumpError(f"{what}: a name is needed, not {name!r}", kind="bad_value")
    return value


def table_messages(value: Any) -> list[model_dump_pb2.HashTableConfig]:
    """Messages of ``{name: HashTableConfigInstance or TableRecord}``.

    Raises
    ------
    DumpError
        ``bad_type`` (no dict), ``bad_learning_rate`` (a callable, bool, or anything that is no float32), ``bad_value``.
    """
    out = []
    for name, instance in _mapping(value, "table_configs").items():
        try:
            config = _config_bytes(instance.table_config)
            rates = [_rate(name, rate) for rate in instance.learning_rate_fns]
            names = [str(item) for item in instance.extra_restore_names or ()]
        except (AttributeError, TypeError) as error:
            raise DumpError(f"table_configs: '{name}' is no table configuration ({error})", kind="bad_value") from None
        out.append(
            model_dump_pb2.HashTableConfig(
                name=name, table_config=config, learning_rates=rates, extra_restore_names=names
            )
        )
    return out


def _config_bytes(config: Any) -> bytes:
    if isinstance(config, bytes):
        return config
    message = config.as_proto() if hasattr(config, "as_proto") else config
    if not isinstance(message, Message):
        raise TypeError(f"a {type(config).__name__} is no message")
    return message.SerializeToString(deterministic=True)


def _rate(name: str, rate: Any) -> float:
    if isinstance(rate, bool) or callable(rate) or isinstance(rate, str | bytes):
        raise DumpError(f"table_configs: learning rate {rate!r} of '{name}' is no number", kind="bad_learning_rate")
    try:
        number = float(rate)
    except (TypeError, ValueError, OverflowError):
        raise DumpError(
            f"table_configs: learning rate {rate!r} of '{name}' is no number", kind="bad_learning_rate"
        ) from None
    if math.isfinite(number) and abs(number) > 3.4028235677973366e38:
        raise DumpError(f"table_configs: learning rate {rate!r} of '{name}' is no float32", kind="bad_learning_rate")
    return number


def tables_of(messages: Iterable[model_dump_pb2.HashTableConfig]) -> dict[str, TableRecord]:
    """``{name: TableRecord}``.

    Raises
    ------
    DumpError
        ``bad_table_config``.
    """
    out = {}
    for message in messages:
        try:
            config = parse(EmbeddingHashTableConfig, message.table_config)
        except DecodeError as error:
            raise DumpError(f"table configuration '{message.name}': {error}", kind="bad_table_config") from None
        out[message.name] = TableRecord(config, list(message.learning_rates), list(message.extra_restore_names))
    return out


def dim_messages(value: Any) -> list[model_dump_pb2.FeatureSliceDim]:
    """Messages of ``{name: [dim, ...]}``."""
    out = []
    for name, dims in _mapping(value, "feature_slice_dims").items():
        try:
            out.append(model_dump_pb2.FeatureSliceDim(name=name, dims=[int(dim) for dim in dims]))
        except (TypeError, ValueError) as error:
            raise DumpError(f"feature_slice_dims: {dims!r} of '{name}' ({error})", kind="bad_value") from None
    return out


def dims_of(messages: Iterable[model_dump_pb2.FeatureSliceDim]) -> dict[str, list[int]]:
    """``{name: [dim, ...]}``."""
    return {message.name: list(message.dims) for message in messages}


def length_of(combiner: Any) -> int:
    """``max_seq_length`` of a combiner, 0 where it has none."""
    return int(getattr(combiner, "max_seq_length", getattr(combiner, "seq_length", 0)) or 0)


def combiner_messages(value: Any) -> list[model_dump_pb2.FeatureCombiner]:
    """Messages of ``{name: combiner}``; a combiner is known by its class's name.

    Raises
    ------
    DumpError
        ``unknown_combiner``: another class, or a FirstN without length.
    """
    out = []
    for name, combiner in _mapping(value, "feature_combiners").items():
        kind = next((cls.__name__ for cls in type(combiner).__mro__ if cls.__name__ in COMBINERS), None)
        length = length_of(combiner) if kind == "FirstN" else 0
        if kind is None or (kind == "FirstN" and length <= 0):
            raise DumpError(f"feature_combiners: {combiner!r} of '{name}'", kind="unknown_combiner")
        out.append(
            model_dump_pb2.FeatureCombiner(name=name, combiner=cast(Any, COMBINERS[kind]), max_seq_length=length)
        )
    return out


def combiners_of(messages: Iterable[model_dump_pb2.FeatureCombiner]) -> dict[str, Any]:
    """``{name: combiner}``, combiners of :mod:`monolith_ref.features.combiners`.

    Raises
    ------
    DumpError
        ``unknown_combiner``: a number that is none, or a FirstN without length.
    """
    from monolith_ref.features.combiners import FirstN, ReduceMean, ReduceSum

    out: dict[str, Any] = {}
    for message in messages:
        if message.combiner == model_dump_pb2.ReduceSum:
            out[message.name] = ReduceSum()
        elif message.combiner == model_dump_pb2.ReduceMean:
            out[message.name] = ReduceMean()
        elif message.combiner == model_dump_pb2.FirstN and message.max_seq_length > 0:
            out[message.name] = FirstN(message.max_seq_length)
        else:
            text = f"combiner {message.combiner} of '{message.name}' with max_seq_length {message.max_seq_length}"
            raise DumpError(text, kind="unknown_combiner")
    return out


def slot_in_name(name: str) -> int | None:
    """The slot that ``slot_<n>`` or ``fc_slot_<n>`` says; None for any other name.

    Raises
    ------
    ValueError
        The name begins so, but its last part is no number.
    """
    if not name.startswith(("slot_", "fc_slot_")):
        return None
    digits = name.rpartition("_")[2]
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(name)
    return int(digits)
