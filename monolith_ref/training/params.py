"""A tree of named parameters with fixed names: ``p.train.max_steps = 50``. Rule: job 8."""

from __future__ import annotations

import copy
import difflib
from typing import Any

from monolith_ref.errors import ArgumentError

__all__ = ["Params", "model_params"]


class Params:
    """Attributes that were defined can be read and set; others raise AttributeError with the nearest known name."""

    def __init__(self) -> None:
        object.__setattr__(self, "_values", {})
        object.__setattr__(self, "_help", {})

    def define(self, name: str, default: Any, help: str = "") -> None:
        """Add a parameter; ArgumentError if there is one of that name."""
        if name in self._values:
            raise ArgumentError(f"parameter {name!r} is defined already")
        self._values[name] = default
        self._help[name] = help

    def _missing(self, name: str) -> AttributeError:
        near = difflib.get_close_matches(name, list(self._values), n=1, cutoff=0.0)
        hint = f"; the nearest known one is {near[0]!r}" if near else ""
        return AttributeError(f"there is no parameter {name!r}{hint}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._values:
            raise self._missing(name)
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._values:
            raise self._missing(name)
        self._values[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def copy(self) -> Params:
        """A deep copy."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Params:
        made = Params()
        object.__setattr__(made, "_values", copy.deepcopy(self._values, memo))
        object.__setattr__(made, "_help", dict(self._help))
        return made

    def as_dict(self) -> dict[str, Any]:
        """Nested dictionaries of all values."""
        return {name: value.as_dict() if isinstance(value, Params) else value for name, value in self._values.items()}

    def __repr__(self) -> str:
        return f"Params({self.as_dict()!r})"


def model_params() -> Params:
    """The parameters that every model has."""
    train = Params()
    train.define("max_steps", None, "synchronous steps to train; None: until the data ends")
    train.define("per_replica_batch_size", None, "rows of a rank's batch")
    train.define("batch_size", None, "rows of a global batch; None: per_replica_batch_size times the ranks")
    params = Params()
    params.define("name", "", "name of the model")
    params.define("train", train)
    params.define("seed", 42, "seed of initial kernels and of the order of rows")
    params.define("clip_norm", 1000.0, "limit of a rank's gradient norm; None: no clipping")
    params.define("dense_weight_decay", 0.0, "added to reduced dense gradients times the variable")
    params.define("default_occurrence_threshold", 0, "threshold of columns that name none")
    return params
