"""Checks of what row calls are given: each names the argument, what was got and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from monolith_kernels.layout import State
from monolith_kernels.rules import Rule
from numpy.typing import NDArray

from monolith_ref.entry_checks import checked_number
from monolith_ref.errors import ArgumentError, ConfigError, DtypeError, ShapeError

__all__ = [
    "check_fields",
    "check_matrix",
    "check_rates",
    "check_state",
    "check_step",
    "checked_count",
    "checked_dim",
    "nearest_name",
]

_INT64 = np.iinfo(np.int64)


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The known name that a wrong one is most like."""
    return difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.0)[0]


def checked_dim(dim: object) -> int:
    """A dim of at least 1."""
    if isinstance(dim, (bool, np.bool_)) or not isinstance(dim, (int, np.integer)) or dim < 1:
        raise ConfigError(f"dim must be an integer of at least 1, got {dim!r}")
    return int(dim)


def checked_count(count: object) -> int:
    """A number of rows, 0 or more."""
    if isinstance(count, (bool, np.bool_)) or not isinstance(count, (int, np.integer)):
        raise DtypeError(f"count must be an integer, got {type(count).__name__}")
    if count < 0:
        raise ArgumentError(f"count must be 0 or more, got {count}")
    return int(count)


def check_fields(owner: str, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a message as numbers of their kinds; ConfigError for an unknown field or a value out of range."""
    checked: dict[str, Any] = {}
    for name, value in config.items():
        if name not in defaults:
            hint = f"; the nearest known one is {nearest_name(name, defaults)!r}" if defaults else ""
            raise ConfigError(f"{owner} has no field {name!r}{hint}")
        default = defaults[name]
        kind: Any = "bool" if isinstance(default, bool) else "int64" if isinstance(default, int) else "float"
        checked[name] = checked_number(owner, name, value, kind)
    for name in ("epsilon", "warmup_steps"):
        if checked.get(name, 0) < 0:
            raise ConfigError(f"{owner}: {name} must be at least 0, got {checked[name]!r}")
    return checked


def check_matrix(name: str, value: Any, rows: int | None, dim: int) -> NDArray[np.float32]:
    """A C-contiguous float32 ``[rows, dim]`` array, the same object; rows None: any number."""
    if not isinstance(value, np.ndarray):
        raise DtypeError(f"{name} must be a float32 array, got {type(value).__name__}")
    if value.dtype != np.float32:
        raise DtypeError(f"{name} must be float32, got {value.dtype}")
    expected = f"[{'n' if rows is None else rows}, {dim}]"
    if value.ndim != 2 or value.shape[1] != dim or (rows is not None and value.shape[0] != rows):
        raise ShapeError(f"{name} must have shape {expected}, got {list(value.shape)}")
    if not value.flags.c_contiguous:
        raise ShapeError(f"{name} must be C-contiguous (np.ascontiguousarray)")
    return value


def check_rates(rates: Any, segments: int) -> NDArray[np.float32]:
    """float32 ``[segments]``, from any sequence of real numbers."""
    if isinstance(rates, (str, bytes)):
        raise DtypeError("rates must be numbers, got text")
    array = np.asarray(rates)
    if array.dtype.kind not in "fiu":
        raise DtypeError(f"rates must be real numbers, got dtype {array.dtype}")
    if array.ndim != 1 or len(array) != segments:
        raise ConfigError(f"rates must have one number per segment ({segments}), got shape {list(array.shape)}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def check_step(step: object, never_negative: bool) -> int:
    """A global step as int; negative ones only where no rule counts steps."""
    if isinstance(step, (bool, np.bool_)) or not isinstance(step, (int, np.integer)):
        raise DtypeError(f"global_step must be an integer, got {type(step).__name__}")
    if not _INT64.min <= int(step) <= _INT64.max:
        raise ArgumentError(f"global_step must fit into int64, got {step}")
    if never_negative and step < 0:
        raise ArgumentError(f"global_step must be 0 or more for batch_softmax, got {step}")
    return int(step)


def check_state(number: int, rule: Rule, state: Mapping[str, Any], count: int, dim: int) -> State:
    """A segment's state by dump field, complete or in part, each array of its dtype and shape."""
    shapes: dict[str, tuple[type, tuple[int, ...]]] = dict.fromkeys(rule.state, (np.float32, (count, dim)))
    if rule.needs_step:
        shapes["global_step"] = (np.int64, (count,))
    else:
        shapes.update(dict.fromkeys(rule.words, (np.float32, (count,))))
    checked: State = {}
    for name, value in state.items():
        if name not in shapes:
            known = ", ".join(shapes) or "none"
            raise ConfigError(f"segment {number}: {rule.name} has no state field {name!r} (it has {known})")
        dtype, shape = shapes[name]
        if not isinstance(value, np.ndarray) or value.dtype != dtype:
            got = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise DtypeError(f"segment {number}: state {name} must be {np.dtype(dtype)}, got {got}")
        if value.shape != shape:
            raise ShapeError(f"segment {number}: state {name} must have shape {list(shape)}, got {list(value.shape)}")
        checked[name] = value
    return checked
