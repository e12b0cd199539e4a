"""A model's parameters: attributes, the tree ``p``, layouts, as JSON or as a pickle. Rule: model_dump 7.3, 7.5."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from google.protobuf.message import DecodeError, Message
from monolith_protos.layout_pb2 import OutConfig

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.parsing import parse
from monolith_ref.model_dump.pickles import Inert, is_optimizer, read_pickle

__all__ = [
    "attribute_names",
    "inert_params",
    "layouts_of",
    "optimizer_json",
    "parameter_leaves",
    "params_json",
    "read_optimizer",
    "read_params",
    "read_params_json",
    "restored",
]

SKIPPED = frozenset(
    [
        "_abc_impl",
        "_ctx",
        "_export_outputs",
        "_global_step",
        "_losses",
        "_occurrence_threshold",
        "_private_children",
        "children",
        "ctx",
        "fc_dict",
        "fs_dict",
        "losses",
        "slice_dict",
        "_layout_dict",
        "_training_hooks",
    ]
)
_PARAMS = "monolith.core.hyperparams."


def attribute_names(
    names: Iterable[str], value_of: Callable[[str], Any], skipped: frozenset[str] = SKIPPED
) -> list[str]:
    """Which attributes of a model are recorded, sorted: not dunder, not callable, not skipped."""
    kept = (name for name in names if not name.startswith("__") and name not in skipped)
    return sorted(name for name in kept if not callable(value_of(name)))


def parameter_leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``(dotted name, value)`` of a parameter tree: mappings, stand-ins, and objects with attributes of their own."""
    branches = _branches(tree)
    if branches is None:
        yield prefix.removesuffix("."), tree
        return
    for name, value in branches.items():
        yield from parameter_leaves(value, f"{prefix}{name}.")


def _branches(value: Any) -> dict[str, Any] | None:
    """Children of an inner node of a parameter tree, None for a leaf."""
    if isinstance(value, Inert):
        if value.class_name not in (f"{_PARAMS}Params", f"{_PARAMS}InstantiableParams"):
            return None
        found = (value.state or {}).get("_params", {}) if isinstance(value.state, dict) else {}
        return {
            str(name): param.state.get("_value")
            if isinstance(param, Inert) and isinstance(param.state, dict)
            else param
            for name, param in found.items()
        }
    if isinstance(value, Mapping):
        return {str(name): part for name, part in value.items()}
    if isinstance(value, str | bytes | int | float | list | tuple | type(None) | Enum | Message) or callable(value):
        return None
    items = getattr(value, "iter_params", None)
    if callable(items):
        return dict(items())
    attributes = getattr(value, "__dict__", None)
    if attributes is None:
        return None
    own = attributes.get("_params", attributes)
    return {name: getattr(part, "_value", part) for name, part in own.items() if not name.startswith("__")}


def layouts_of(layouts: Any) -> dict[str, bytes]:
    """``{name: serialised OutConfig}`` of messages or bytes.

    Raises
    ------
    DumpError
        ``bad_layout``.
    """
    out = {}
    for name, layout in dict(layouts or {}).items():
        if isinstance(layout, bytes):
            out[str(name)] = layout
        elif isinstance(layout, Message):
            out[str(name)] = layout.SerializeToString(deterministic=True)
        elif hasattr(layout, "as_proto"):
            out[str(name)] = layout.as_proto().SerializeToString(deterministic=True)
        else:
            raise DumpError(f"layout '{name}' is a {type(layout).__name__}, no OutConfig", kind="bad_layout")
    return out


def params_json(attributes: Mapping[str, Any], layouts: Any) -> bytes:
    """The typed form (field 1006): ``attrs``, dotted leaves of ``p``, ``layout_dict`` in base64; keys sorted.

    Raises
    ------
    DumpError
        ``unsupported_value``, naming the attribute.
    """
    leaves: dict[str, Any] | None = None
    if "p" in attributes:
        leaves = {}
        for name, value in parameter_leaves(attributes["p"]):
            leaves[name] = None if name == "cls" else _plain(value, f"p.{name}")
    value = {
        "attrs": {name: _plain(item, name) for name, item in attributes.items() if name != "p"},
        "p": leaves,
        "layout_dict": {name: base64.b64encode(data).decode() for name, data in layouts_of(layouts).items()},
    }
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode("utf-8")


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """What JSON holds and gives back as it was."""
    if isinstance(value, Enum):
        return _plain(value.value, where, depth)
    if isinstance(value, Inert) and len(value.args) == 1 and value.state is None:
        return _plain(value.args[0], where, depth)
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if depth < 20:
        if isinstance(value, list | tuple):
            return [_plain(item, where, depth + 1) for item in value]
        if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
            return {name: _plain(item, where, depth + 1) for name, item in value.items()}
    raise DumpError(f"attribute '{where}': JSON cannot hold {value!r:.80}", kind="unsupported_value")


def inert_params(attributes: Mapping[str, Any], layouts: Any) -> dict[str, Any]:
    """What the original pickles: attributes, ``p`` as a tree of its classes with ``cls`` None, ``_layout_dict``."""
    out = {
        name: _inert_tree(value, root=True) if name == "p" else _inert_plain(value, name)
        for name, value in attributes.items()
    }
    out["_layout_dict"] = None if layouts is None else layouts_of(layouts)
    return out


def _inert_tree(tree: Any, *, root: bool = False) -> Any:
    branches = _branches(tree)
    if branches is None:
        return _inert_plain(tree, "p")
    params = {
        name: Inert(
            f"{_PARAMS}_Param",
            state={
                "_name": name,
                "_value": None if root and name == "cls" else _inert_tree(value),
                "_description": "",
            },
        )
        for name, value in branches.items()
    }
    kind = "InstantiableParams" if root else "Params"
    return Inert(f"{_PARAMS}{kind}", state={"_immutable": False, "_params": params})


def _inert_plain(value: Any, where: str) -> Any:
    if isinstance(value, Inert) or value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, Enum):
        return _inert_plain(value.value, where)
    if isinstance(value, list | tuple):
        return type(value)(_inert_plain(item, where) for item in value)
    if isinstance(value, Mapping):
        return {_inert_plain(key, where): _inert_plain(item, where) for key, item in value.items()}
    raise DumpError(f"attribute '{where}': a {type(value).__name__} is not written", kind="unsupported_value")


def read_params(data: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The dict in a params pickle, inert, and the names that the pickle refers to.

    Raises
    ------
    DumpError
        ``forbidden_global``, ``malformed_pickle``.
    """
    found = read_pickle(data)
    if not isinstance(found.value, dict) or not all(isinstance(key, str) for key in found.value):
        raise DumpError(f"params hold a {type(found.value).__name__}, not a dict of names", kind="malformed_pickle")
    return found.value, found.globals


def read_params_json(data: bytes) -> dict[str, Any]:
    """The dict in field 1006, in the shape of :func:`restored`.

    Raises
    ------
    DumpError
        ``bad_typed_params``, ``bad_layout``.
    """
    try:
        value = json.loads(data.decode("utf-8"))
        attributes, leaves, texts = dict(value["attrs"]), value["p"], dict(value["layout_dict"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DumpError(f"typed params are not readable ({error})", kind="bad_typed_params") from None
    try:
        layouts = {name: base64.b64decode(text, validate=True) for name, text in texts.items()}
    except (ValueError, TypeError) as error:
        raise DumpError(f"typed params: a layout is not base64 ({error})", kind="bad_layout") from None
    out: dict[str, Any] = {**attributes, "layout_dict": layouts}
    if isinstance(leaves, dict):
        tree: dict[str, Any] = {}
        for name, leaf in leaves.items():
            *path, last = name.split(".")
            place = tree
            for part in path:
                place = place.setdefault(part, {})
                if not isinstance(place, dict):
                    raise DumpError(f"typed params: '{name}' below a value", kind="bad_typed_params")
            place[last] = leaf
        out["p"] = tree
    return restored(out)


def restored(value: Mapping[str, Any]) -> dict[str, Any]:
    """A fresh dict for users: ``layout_dict`` always and with OutConfig values, hooks and the other key never.

    Raises
    ------
    DumpError
        ``bad_layout``.
    """
    out = {name: item for name, item in value.items() if name not in ("_layout_dict", "layout_dict", "_training_hooks")}
    layouts = value.get("_layout_dict") or value.get("layout_dict") or {}
    if not isinstance(layouts, Mapping):
        raise DumpError(f"layout_dict is a {type(layouts).__name__}", kind="bad_layout")
    out["layout_dict"] = {name: _layout(name, data) for name, data in layouts.items()}
    return out


def _layout(name: Any, data: Any) -> OutConfig:
    if not isinstance(name, str) or not isinstance(data, bytes):
        raise DumpError(f"layout {name!r} is a {type(data).__name__}", kind="bad_layout")
    try:
        return parse(OutConfig, data)
    except DecodeError as error:
        raise DumpError(f"layout '{name}' is no OutConfig ({error})", kind="bad_layout") from None


def optimizer_json(optimizer: Any) -> bytes:
    """The typed form of an optimizer (field 1007): its class and its own attributes.

    Raises
    ------
    DumpError
        ``unsupported_value``, naming the attribute.
    """
    if isinstance(optimizer, Inert):
        name, own = optimizer.class_name, dict(optimizer.state or {})
    else:
        name, own = type(optimizer).__qualname__, dict(getattr(optimizer, "__dict__", {}))
        slots = getattr(type(optimizer), "__dataclass_fields__", {})
        own.update({field: getattr(optimizer, field) for field in slots})
    fields = {key: _plain(value, key) for key, value in own.items() if not callable(value)}
    text = json.dumps({"class": name, "fields": fields}, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def read_optimizer(data: bytes) -> tuple[Any, tuple[str, ...]]:
    """The object in an optimizer pickle, inert, and the names that the pickle refers to."""
    found = read_pickle(data, is_optimizer)
    return found.value, found.globals
