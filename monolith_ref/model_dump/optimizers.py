"""Dense optimizers as the classes that the original pickles, with the state that those have. Rule: model_dump 1.4."""

from __future__ import annotations

from typing import Any

from monolith_ref.errors import DumpError
from monolith_ref.model_dump.pickles import Inert, is_optimizer

__all__ = ["optimizer_object"]

_TRAINING = "tensorflow.python.training."
_COMMON: dict[str, Any] = {"_use_locking": False, "_slots": {}, "_non_slot_dict": {}, "_deferred_slot_restorations": {}}


def optimizer_object(optimizer: Any) -> Inert:
    """The stand-in of TensorFlow's class for one of our dense optimizers, told apart by its class's name.

    Raises
    ------
    DumpError
        ``unsupported_value`` where TensorFlow has no such class.
    """
    if isinstance(optimizer, Inert):
        if not is_optimizer(*optimizer.class_name.rpartition(".")[::2]):
            raise DumpError(f"{optimizer.class_name} is no optimizer", kind="forbidden_global")
        return optimizer
    kind = type(optimizer).__name__.lower().removesuffix("optimizer")
    rate = float(_first(optimizer, ("learning_rate", "lr"), 0.01))
    if kind == "adagrad":
        accumulator = float(_first(optimizer, ("initial_accumulator_value",), 0.1))
        return _made(
            "adagrad.AdagradOptimizer",
            _name="Adagrad",
            _learning_rate=rate,
            _initial_accumulator_value=accumulator,
            _learning_rate_tensor=None,
        )
    if kind in ("sgd", "gradientdescent"):
        return _made(
            "gradient_descent.GradientDescentOptimizer",
            _name="GradientDescent",
            _learning_rate=rate,
            _learning_rate_tensor=None,
        )
    if kind == "adam":
        return _made(
            "adam.AdamOptimizer",
            _name="Adam",
            _lr=rate,
            _beta1=float(_first(optimizer, ("beta1", "beta_1"), 0.9)),
            _beta2=float(_first(optimizer, ("beta2", "beta_2"), 0.999)),
            _epsilon=float(_first(optimizer, ("epsilon",), 1e-8)),
            _lr_t=None,
            _beta1_t=None,
            _beta2_t=None,
            _epsilon_t=None,
        )
    raise DumpError(f"{type(optimizer).__name__} has no class in TensorFlow that we know", kind="unsupported_value")


def _made(name: str, **state: Any) -> Inert:
    return Inert(_TRAINING + name, state={**_COMMON, **state})


def _first(optimizer: Any, names: tuple[str, ...], default: float) -> Any:
    for name in names:
        value = getattr(optimizer, name, None)
        if isinstance(value, int | float):
            return value
    return default
