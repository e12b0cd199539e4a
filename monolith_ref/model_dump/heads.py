"""Labels, predictions, heads and classification, checked and put in one order. Rule: model_dump 7.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.stand_ins import Ragged, Tensor

__all__ = ["Heads", "arrange_heads", "tensor_name"]


class Heads(NamedTuple):
    """Parallel lists; a missing label or prediction is the empty text."""

    label: list[str]
    predict: list[str]
    head_name: list[str]
    classification: list[bool]


def tensor_name(value: Any, what: str) -> str:
    """The name of a dense tensor.

    Raises
    ------
    DumpError
        ``missing_tensor`` for None, ``bad_value`` for anything else.
    """
    if value is None:
        raise DumpError(f"{what} is None", kind="missing_tensor")
    if isinstance(value, Tensor):
        return value.name
    kind = "a ragged tensor" if isinstance(value, Ragged) else f"a {type(value).__name__}"
    raise DumpError(f"{what} is {kind}, where a tensor belongs", kind="bad_value")


def arrange_heads(label: Any, pred: Any, head_name: Any, is_classification: Any) -> Heads:
    """Labels, predictions and flags by head.

    Raises
    ------
    DumpError
        ``missing_tensor`` (no prediction), ``head_mismatch`` (names, keys and counts that do not agree), ``bad_value``.
    """
    if pred is None:
        raise DumpError("there is no prediction", kind="missing_tensor")
    heads = _head_names(label, pred, head_name)
    predictions = [_name(item, "a prediction") for item in _in_order(pred, heads)]
    if heads and len(heads) != len(predictions):
        raise DumpError(f"{len(heads)} head names for {len(predictions)} predictions", kind="head_mismatch")
    labels = [] if label is None else [_name(item, "a label") for item in _in_order(label, heads)]
    return Heads(labels, predictions, heads, _classification(is_classification, heads, len(predictions)))


def _name(item: Any, what: str) -> str:
    return "" if item is None else tensor_name(item, what)


def _head_names(label: Any, pred: Any, head_name: Any) -> list[str]:
    if head_name is not None and not isinstance(head_name, str | list | tuple):
        raise DumpError(f"head_name is a {type(head_name).__name__}", kind="bad_value")
    if head_name:
        names = [head_name] if isinstance(head_name, str) else list(head_name)
    else:
        dicts = [value for value in (pred, label) if isinstance(value, Mapping)]
        names = list(dicts[0]) if dicts else []
        if len(dicts) == 2 and set(dicts[0]) != set(dicts[1]):
            text = f"predictions of {sorted(map(str, dicts[0]))}, labels of {sorted(map(str, dicts[1]))}"
            raise DumpError(text, kind="head_mismatch")
    for name in names:
        if not isinstance(name, str):
            raise DumpError(f"a head is called {name!r}", kind="bad_value")
    return names


def _in_order(value: Any, heads: list[str]) -> list[Any]:
    """The members of a value, those of a dict in head order where its keys are the heads."""
    if isinstance(value, Mapping):
        if len(value) == len(heads) and set(value) == set(heads):
            return [value[name] for name in heads]
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _classification(value: Any, heads: list[str], count: int) -> list[bool]:
    if value is None:
        return []
    if isinstance(value, Mapping) and set(value) != set(heads):
        raise DumpError(f"classification of {sorted(map(str, value))}, heads {heads}", kind="head_mismatch")
    flags = _in_order(value, heads)
    for flag in flags:
        if not isinstance(flag, bool):
            raise DumpError(f"classification holds {flag!r}", kind="bad_value")
    if len(flags) not in (1, count):
        raise DumpError(f"{len(flags)} classification flags for {count} predictions", kind="head_mismatch")
    return flags
