"""Two dumps field by field; graphs, tables and pickles in them are compared decoded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from monolith_ref.model_dump.file import parse_dump
from monolith_ref.model_dump.jsonform import to_json
from monolith_ref.model_dump.payloads import located_models, model_payloads

__all__ = ["Difference", "compare_content", "diff_dumps"]

_NAMES = ("name", "feature_name", "signature_name", "slice_name", "function_name")


@dataclass(frozen=True)
class Difference:
    """One field: ``kind`` is ``added``, ``removed``, ``changed`` or ``moved``; values are what JSON would show."""

    kind: str
    path: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        if self.kind == "added":
            return f"+ {self.path}: {_short(self.after)}"
        if self.kind == "removed":
            return f"- {self.path}: {_short(self.before)}"
        if self.kind == "moved":
            return f"^ {self.path}: the same entries in another order"
        return f"~ {self.path}: {_short(self.before)} -> {_short(self.after)}"


def _short(value: Any, length: int = 100) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length else f"{text[: length - 1]}… ({len(text)} characters)"


def diff_dumps(left: bytes, right: bytes) -> list[Difference]:
    """What differs in the content of two files; the encoding of equal content is not looked at.

    Raises
    ------
    DumpError
        Where one of them cannot be read.
    """
    return list(compare_content(_content(left), _content(right)))


def _content(raw: bytes) -> dict[str, Any]:
    """The message, in which pickles stand as the values that they hold."""
    content: dict[str, Any] = to_json(raw)["message"]
    for model in located_models(parse_dump(raw)):
        field, _, key = model.where.removesuffix("}").partition("{")
        found = content[field][key]
        decoded = model_payloads(model.proto)
        for name in ("params", "optimizer"):
            if name in decoded and "error" not in decoded[name]:
                found[name] = decoded[name]
    return content


def compare_content(left: Any, right: Any, path: str = "") -> Iterator[Difference]:
    """Differences of two values; lists of named things are matched by name."""
    # Equal values may still hold 1 and true in each other's place.
    if type(left) is type(right) and left == right and json.dumps(left) == json.dumps(right):
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for key in [*left, *(key for key in right if key not in left)]:
            where = f"{path}.{key}" if path else key
            yield from _member(left, right, key, where)
    elif isinstance(left, list) and isinstance(right, list):
        yield from _lists(left, right, path)
    else:
        yield Difference("changed", path, left, right)


def _member(left: dict[str, Any], right: dict[str, Any], key: str, where: str) -> Iterator[Difference]:
    if key not in right:
        yield Difference("removed", where, left[key])
    elif key not in left:
        yield Difference("added", where, after=right[key])
    else:
        yield from compare_content(left[key], right[key], where)


def _lists(left: list[Any], right: list[Any], path: str) -> Iterator[Difference]:
    ours, theirs = _keyed(left), _keyed(right)
    if ours is not None and theirs is not None:
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            yield from _member(ours, theirs, key, f"{path}[{key}]")
        common = [key for key in ours if key in theirs]
        if common != [key for key in theirs if key in ours]:
            yield Difference("moved", path)
        return
    for place in range(max(len(left), len(right))):
        where = f"{path}[{place}]"
        if place >= len(right):
            yield Difference("removed", where, left[place])
        elif place >= len(left):
            yield Difference("added", where, after=right[place])
        else:
            yield from compare_content(left[place], right[place], where)


def _keyed(items: list[Any]) -> dict[str, Any] | None:
    """Items by their own name, or None where they have none or share one."""
    for name in _NAMES:
        if items and all(isinstance(item, dict) and isinstance(item.get(name), str) for item in items):
            out = {item[name]: item for item in items}
            return out if len(out) == len(items) else None
    return {} if not items else None
