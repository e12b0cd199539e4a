"""The part of JSON Schema that the published schemas use, checked without a library."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["problems"]

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
WORDS = {
    "$schema", "$defs", "title", "description", "$ref", "type", "const", "enum", "anyOf", "properties", "required",
    "additionalProperties",
    "minProperties", "maxProperties", "items", "pattern", "minimum",
}  # fmt: skip


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, path: str = "$") -> list[str]:
    """Where ``value`` is not what ``schema`` says; a word that is not known here is a problem of the schema."""
    root = schema if root is None else root
    unknown = set(schema) - WORDS
    if unknown:
        return [f"{path}: the schema uses {sorted(unknown)}"]
    if "$ref" in schema:
        return problems(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, path)
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{path}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: {value!r} is none of {schema['enum']}")
    if "anyOf" in schema and not any(not problems(value, one, root, path) for one in schema["anyOf"]):
        found.append(f"{path}: fits none of {len(schema['anyOf'])} forms")
    if "type" in schema and not _is(value, schema["type"]):
        return [*found, f"{path}: {type(value).__name__} is no {schema['type']}"]
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path}: {value[:40]!r} does not match {schema['pattern']}")
    if "minimum" in schema and value < schema["minimum"]:
        found.append(f"{path}: {value} is below {schema['minimum']}")
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            found += problems(item, schema["items"], root, f"{path}[{number}]")
    if isinstance(value, dict):
        found += _object(value, schema, root, path)
    return found


def _is(value: Any, kinds: str | list[str]) -> bool:
    names = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, TYPES[name]) for name in names)


def _object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}: lacks {name}" for name in schema.get("required", []) if name not in value]
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        found.append(f"{path}: has {len(value)} members")
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in known:
            found += problems(item, known[name], root, f"{path}.{name}")
        elif more is False:
            found.append(f"{path}: {name} is not described")
        elif isinstance(more, dict):
            found += problems(item, more, root, f"{path}.{name}")
    return found
