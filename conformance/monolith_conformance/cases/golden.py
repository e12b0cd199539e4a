"""The golden vectors as the cases read them, and the table messages that their descriptions stand for."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from monolith_protos import hash_table_pb2

from monolith_conformance.vectors.words import floats, number, result_of

__all__ = ["floats", "golden", "number", "result_of", "state_values", "table_config"]


@functools.cache
def golden(name: str) -> dict[str, Any]:
    """The document of one vector file."""
    document: dict[str, Any] = json.loads(
        (files("monolith_conformance") / "golden" / "vectors" / f"{name}.json").read_text()
    )
    return document


def state_values(state: Mapping[str, Any]) -> dict[str, Any]:
    """One dump element of a vector as arrays and numbers."""
    single = ("beta1_power", "beta2_power", "grad_square_sum")
    return {
        name: (number(value) if name in single else floats(value)) if isinstance(value, str) else value
        for name, value in state.items()
    }


def table_config(
    segments: Sequence[Mapping[str, Any]], *, serving: bool = False
) -> hash_table_pb2.EmbeddingHashTableConfig:
    """The table of segments as vectors describe them: dim, rule, config, initializer, compressor."""
    config = hash_table_pb2.EmbeddingHashTableConfig()
    for description in segments:
        segment = config.entry_config.segments.add()
        segment.dim_size = description["dim"]
        initializer = description.get("initializer") or {"kind": "zeros", "config": {}}
        compressor = description.get("compressor") or {"kind": "fp32", "config": {}}
        _fill(segment.comp_config, compressor["kind"], compressor["config"])
        if not serving:
            _fill(segment.init_config, initializer["kind"], initializer["config"])
            _fill(segment.opt_config, description.get("rule", "sgd"), description.get("config", {}))
            if description.get("stochastic_rounding_float16"):
                segment.opt_config.stochastic_rounding_float16 = True
    if serving:
        config.entry_config.entry_type = hash_table_pb2.EntryConfig.SERVING
    config.cuckoo.SetInParent()
    return config


def _fill(message: Any, member: str, fields: Mapping[str, Any]) -> None:
    chosen = getattr(message, member)
    chosen.SetInParent()
    for name, value in fields.items():
        setattr(chosen, name, float(number(value)) if isinstance(value, str) else value)
