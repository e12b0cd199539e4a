"""Short ways to write a wrong variant of one optimizer's rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monolith_conformance.mutants.mutant import Mutant, Replacement, edit, swap, wrap
from monolith_conformance.oracle.rules.floats import fma

__all__ = ["configured", "fused", "of_rule", "with_rule"]


def with_rule(name: str, rule: str, sentence: str, *replacements: Replacement, **settings: Any) -> Mutant:
    """Replacements of whatever kind in one rule; its vectors must fail."""
    settings.setdefault("killed_by", (f"core/optimizer.{rule}/",))
    return Mutant(name, sentence, replacements, about=frozenset({f"optimizer.{rule}"}), **settings)


def of_rule(
    name: str, rule: str, sentence: str, *changes: tuple[str, str], function: str = "update", **settings: Any
) -> Mutant:
    """Pieces of one function of a rule replaced."""
    return with_rule(name, rule, sentence, edit(f"oracle.rules.{rule}:{function}", *changes), **settings)


def configured(name: str, rule: str, sentence: str, *, deviation: int | None = None, **fixed: Any) -> Mutant:
    """Fields of the configuration that are always the same."""

    def build(update: Callable[..., Any]) -> Callable[..., Any]:
        return lambda profile, config, *rest: update(profile, {**config, **fixed}, *rest)

    return with_rule(name, rule, sentence, wrap(f"oracle.rules.{rule}:update", build), deviation=deviation)


def fused(rule: str) -> Mutant:
    """Every multiply-add of a rule rounded once."""
    name = f"{rule.replace('_', '-')}-fused"
    madd = swap(f"oracle.rules.{rule}:madd", lambda profile, a, b, c: fma(a, b, c))
    return with_rule(name, rule, "fused multiply-adds", madd)
