"""Wrong variants of the oracle, one module an area: each with the cases that must fail it.

The same catalogue serves twice: ``conform mutants`` shows that the suite finds every one of them, and a failing
case is compared with them, so that a report can say "equals the rule with …".
"""

from __future__ import annotations

import dataclasses
import functools
import importlib

from monolith_conformance.deviations import DEVIATIONS
from monolith_conformance.mutants.mutant import Mutant
from monolith_ref.errors import ConfigError

__all__ = ["AREAS", "Mutant", "catalogue"]

AREAS = (
    "optimizers", "initializers", "compressors", "tables", "ids", "filters", "expiry", "combiners", "sync", "files",
    "dump",
)  # fmt: skip


@functools.cache
def catalogue() -> dict[str, Mutant]:
    """Every mutant by name, in order of areas."""
    found: dict[str, Mutant] = {}
    for area in AREAS:
        for mutant in importlib.import_module(f"{__name__}.{area}").MUTANTS:
            if mutant.name in found:
                raise ConfigError(f"mutant name {mutant.name!r} is used twice")
            # A deviation of a real port has cases of its own, each the point where ports go astray.
            named = DEVIATIONS[mutant.deviation].cases if mutant.deviation else mutant.killed_by
            found[mutant.name] = dataclasses.replace(mutant, killed_by=named)
    return found
