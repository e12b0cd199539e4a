"""Optimizers, initializers, compressors and learning rates as tables: ``{ kind = "adagrad", learning_rate = 0.05 }``.

``kind`` is the name of the message's member (``adagrad``, ``random_uniform``, ``fp16``); the other keys are the
arguments of the class.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from monolith_ref import entry
from monolith_ref.errors import ConfigError
from monolith_ref.learning_rate import PolynomialDecay
from monolith_ref.training.recipe.document import Section, nearest

__all__ = ["compressor", "initializer", "learning_rate", "optimizer"]

_OPTIMIZERS = {
    cls.member: cls
    for cls in (
        entry.SgdOptimizer,
        entry.AdagradOptimizer,
        entry.AdadeltaOptimizer,
        entry.AdamOptimizer,
        entry.AmsgradOptimizer,
        entry.BatchSoftmaxOptimizer,
        entry.MomentumOptimizer,
        entry.MovingAverageOptimizer,
        entry.RmspropOptimizer,
        entry.RmspropV2Optimizer,
        entry.FtrlOptimizer,
        entry.FTRLWithGroupSparsityOptimizer,
        entry.AdaGradWithGroupLassoOptimizer,
        entry.DynamicWdAdagradOptimizer,
    )
}
_INITIALIZERS = {
    cls.member: cls for cls in (entry.ZerosInitializer, entry.ConstantsInitializer, entry.RandomUniformInitializer)
}
_COMPRESSORS = {
    cls.member: cls
    for cls in (entry.Fp32Compressor, entry.Fp16Compressor, entry.FixedR8Compressor, entry.OneBitCompressor)
}


def _part(owner: Section, key: str, kinds: dict[str, Any], wrapper: str | None = None) -> Any:
    value = owner.any(key)
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, dict):
        raise owner.error(f"{owner.name_of(key)} must be a name or a table with 'kind', not {value!r}", key)
    section = Section(owner.document, value, (*owner.path, key))
    kind = section.text("kind")
    if kind not in kinds:
        raise section.error(f"{section.name_of('kind')}: there is no {kind!r}{nearest(kind, list(kinds))}", "kind")
    cls = kinds[kind]
    given = {field.name: section.any(field.name) for field in fields(cls) if section.has(field.name)}
    rounded = section.flag(wrapper, False) if wrapper is not None else False
    section.done()
    for field in fields(cls):
        if field.default is MISSING and field.name not in given:
            raise section.error(f"{section.name_of(field.name)} is missing")
    try:
        made = cls(**given)
        return entry.StochasticRoundingFloat16OptimizerWrapper(made) if rounded else made
    except ConfigError as error:
        raise section.error(f"{section.name_of(kind)}: {error}") from None


def optimizer(owner: Section, key: str, default: entry.Optimizer | None = None) -> entry.Optimizer | None:
    """The optimizer at a key; ``stochastic_rounding_float16 = true`` wraps it."""
    return _part(owner, key, _OPTIMIZERS, "stochastic_rounding_float16") if owner.has(key) else default


def initializer(owner: Section, key: str) -> entry.Initializer | None:
    """The initializer of new rows at a key, or None."""
    return _part(owner, key, _INITIALIZERS) if owner.has(key) else None


def compressor(owner: Section, key: str) -> entry.Compressor | None:
    """The compressor of saved and served rows at a key, or None."""
    return _part(owner, key, _COMPRESSORS) if owner.has(key) else None


def learning_rate(owner: Section, key: str) -> float | PolynomialDecay | None:
    """A number, or ``{ kind = "polynomial_decay", initial_learning_rate = …, decay_steps = … }``; or None."""
    if not owner.has(key):
        return None
    if not isinstance(owner.any(key), dict | str):
        rate: float = owner.number(key)
        return rate
    made: PolynomialDecay = _part(owner, key, {"polynomial_decay": PolynomialDecay})
    return made
