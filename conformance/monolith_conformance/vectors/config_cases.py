"""Replay of entry_configs and learning_rates: messages byte for byte, identities, table names, schedules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from monolith_protos import compressor_pb2, hash_table_pb2, initializer_pb2, optimizer_pb2

from monolith_conformance.vectors.registry import Outcome, Setting, judged, replays
from monolith_ref import entry, learning_rate
from monolith_ref.errors import ConfigError
from monolith_ref.table.naming import table_name
from monolith_ref.table.thresholds import slot_thresholds

__all__ = ["message_of"]

_MODULES = (optimizer_pb2, initializer_pb2, compressor_pb2, hash_table_pb2)


def _part(recipe: Mapping[str, Any]) -> Any:
    """A configuration object from its class and arguments."""
    arguments = {
        name: _part(value) if isinstance(value, dict) and "class" in value else value
        for name, value in recipe.get("kwargs", {}).items()
    }
    return getattr(entry, recipe["class"])(*recipe.get("args", ()), **arguments)


def _segment(recipe: Mapping[str, Any]) -> Any:
    arguments = {name: _part(value) if isinstance(value, dict) else value for name, value in recipe.items()}
    return entry.CombineAsSegment(**arguments)


def _table(recipe: Mapping[str, Any]) -> Any:
    message = hash_table_pb2.EmbeddingHashTableConfig()
    for segment in recipe["segs"]:
        message.entry_config.segments.append(_segment(segment))
    if "expire" in recipe:
        message.slot_expire_time_config.SetInParent()
        for slot, days in recipe["expire"]:
            message.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=days)
    if recipe.get("raw"):
        message.entry_type = hash_table_pb2.EmbeddingHashTableConfig.RAW
    if recipe.get("serving"):
        message.entry_config.entry_type = hash_table_pb2.EntryConfig.SERVING
    if "skip" in recipe:
        message.skip_zero_embedding = recipe["skip"]
    entry.CuckooHashTableConfig(recipe.get("cap", 1), recipe.get("evict", 0)).mutate_table(message)
    return message


def message_of(recipe: Mapping[str, Any]) -> Any:
    """The message that a recipe describes, built through the public classes."""
    if "class" in recipe:
        return _part(recipe).as_proto()
    if "CombineAsSegment" in recipe:
        return _segment(recipe["CombineAsSegment"])
    if "table" in recipe:
        return _table(recipe["table"])
    if "multi" in recipe:
        multi = hash_table_pb2.MultiEmbeddingHashTableConfig()
        for name in sorted(recipe["multi"]):
            multi.names.append(name)
            multi.configs.append(_table(recipe["multi"][name]["table"]))
        return multi
    if "slots" in recipe:
        return slot_thresholds(dict(recipe["slots"]), recipe.get("default"))
    if "default_expire_time" in recipe:
        return hash_table_pb2.SlotExpireTimeConfig(default_expire_time=recipe["default_expire_time"])
    raise ValueError(f"unknown recipe {sorted(recipe)}")


def _message_class(name: str) -> Any:
    short = name.rsplit(".", 1)[-1]
    if short == "Segment":
        return hash_table_pb2.EntryConfig.Segment
    for module in _MODULES:
        if hasattr(module, short):
            return getattr(module, short)
    raise ValueError(f"unknown message {name!r}")


def _present(message: Any) -> dict[str, Any]:
    """Fields that are present, nested; floats in C99 hex of the float32."""
    fields: dict[str, Any] = {}
    for described, value in message.ListFields():
        if described.message_type is not None:
            repeated = isinstance(value, (list, tuple)) or hasattr(value, "add")
            fields[described.name] = [_present(v) for v in value] if repeated else _present(value)
        elif described.enum_type is not None:
            fields[described.name] = described.enum_type.values_by_number[value].name
        elif isinstance(value, float):
            fields[described.name] = value.hex()
        elif not isinstance(value, (int, bool, str)):
            fields[described.name] = list(value)
        else:
            fields[described.name] = value
    return fields


def _run_config(case: Mapping[str, Any]) -> str:
    data = bytes.fromhex(case["hex"])
    parsed = _message_class(case["message"])()
    parsed.ParseFromString(data)
    if parsed.SerializeToString() != data:
        return "the bytes do not survive reading and writing"
    if "clean" in case:
        try:
            message_of(case["recipe"])
        except ConfigError:
            return ""
        return f"{case['clean']} expected, the object was built"
    message = message_of(case["recipe"])
    got = message.SerializeToString().hex()
    if got != case["hex"]:
        return f"bytes {got}, expected {case['hex']}"
    present = _present(message)
    if "present" in case and present != case["present"]:
        return f"fields present {present}, expected {case['present']}"
    return ""


def _rate(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((name, arguments),) = value.items()
    return getattr(learning_rate, name)(**arguments)


def _run_identity(row: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    recipe = next(case["recipe"] for case in document["cases"] if case["name"] == row["table"])
    rates = [_rate(value) for value in row["learning_rate_fns"]]
    got = str(entry.HashTableConfigInstance(message_of(recipe), rates))
    return "" if got == row["string"] else f"{got!r}, expected {row['string']!r}"


def _run_name(row: Mapping[str, Any]) -> str:
    got = table_name(row["features"])
    wanted = (row["table"], row["extra_restore_names"])
    return "" if got == wanted else f"{got}, expected {wanted}"


@replays("entry_configs*", when=lambda document: "identity_strings" in document)
def _replay_configs(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    for case in document["cases"]:
        yield from judged(case["name"], "config", lambda case=case: _run_config(case))  # type: ignore[misc]
    for number, row in enumerate(document.get("identity_strings", [])):
        name = f"identity {number} of {row['table']}"
        yield from judged(name, "identity", lambda row=row: _run_identity(row, document))  # type: ignore[misc]
    for row in document.get("table_names", []):
        name = ",".join(row["features"])
        yield from judged(name, "table name", lambda row=row: _run_name(row))  # type: ignore[misc]


def _run_schedule(case: Mapping[str, Any]) -> str:
    defaults = {"end_learning_rate": 0.0001, "power": 1.0, "cycle": False}
    given = {**defaults, **case["kwargs"]}
    sound = given["decay_steps"] > 0
    if sound:
        function: Any = getattr(learning_rate, case["function"])(**case["kwargs"])
        if str(function) != case["string"]:
            return f"text {function}, expected {case['string']}"
    else:
        try:
            getattr(learning_rate, case["function"])(**case["kwargs"])
        except ConfigError:
            pass
        else:
            return "decay_steps of 0 or less was not refused"
    for profile in ("plain", "rewritten"):
        for step, wanted in zip(case["steps"], case.get(profile, case["plain"]), strict=True):
            if sound:
                got = float(np.float32(function(step, profile)))
            else:
                got = float(
                    learning_rate.polynomial_decay(
                        step,
                        given["initial_learning_rate"],
                        given["decay_steps"],
                        given["end_learning_rate"],
                        given["power"],
                        given["cycle"],
                        profile,  # type: ignore[arg-type]
                    )
                )
            expected = float.fromhex(wanted)
            if got != expected and not (math.isnan(got) and math.isnan(expected)):
                return f"{profile}, step {step}: {got.hex()}, expected {wanted}"
    return ""


@replays("learning_rates*", when=lambda d: bool(d.get("cases")) and all("decay" in str(c) for c in d["cases"]))
def _replay_rates(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    for case in document["cases"]:
        yield from judged(case["name"], "learning rate", lambda case=case: _run_schedule(case))  # type: ignore[misc]
