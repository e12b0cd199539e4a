"""Wrong variants of filters."""

from __future__ import annotations

from monolith_conformance.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

MUTANTS: tuple[Mutant, ...] = ()
