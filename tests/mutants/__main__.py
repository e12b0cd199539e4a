"""Every mutant of every rule against the golden vectors; a table, exit 1 where one survives."""

from __future__ import annotations

import importlib
import sys
from collections import Counter

from monolith_kernels import rules

from tests.mutants.deviations import DEVIATIONS
from tests.mutants.operators import mutants
from tests.mutants.play import first_failure

FEWEST = 5
EQUIVALENT = {
    (
        "batch_softmax",
        "GtE becomes Lt",
    ): "the low word is cut to 32 bits anyway; the branch keeps compilers from warning",
    ("batch_softmax", "Sub becomes Add"): "2^32 more or less is cut off with the high bits",
    ("rmsprop", "is kept in double"): "the rule computes in double by specification",
    ("rmspropv2", "is kept in double"): "the rule computes in double by specification",
}
"""(rule, change) → why it changes nothing that a row can show."""


def main() -> int:
    """Count killed mutants; the exit code."""
    killed: Counter[str] = Counter()
    alive: list[str] = []
    for name in sorted(rules.ALL):
        module = importlib.import_module(f"monolith_kernels.rules.{name}")
        assert not first_failure(module.RULE), f"{name} itself misses a vector"
        for text, mutant in mutants(module):
            if first_failure(mutant.RULE):
                killed[name] += 1
            elif not any(rule == name and text.endswith(change) for rule, change in EQUIVALENT):
                alive.append(f"{name}: {text}")
    for name in sorted(rules.ALL):
        print(f"{name:22} {killed[name]:4} killed" + ("" if killed[name] >= FEWEST else f"  fewer than {FEWEST}"))
    for row, text, check in DEVIATIONS:
        found = check()
        print(f"deviation {row:2}  {'killed by ' + found if found else 'SURVIVES'}  ({text})")
        if not found:
            alive.append(f"deviation {row}: {text}")
    for line in alive:
        print(f"alive: {line}")
    print(f"{sum(killed.values())} mutants killed, {len(DEVIATIONS)} deviations, {len(alive)} alive")
    few = [name for name in rules.ALL if killed[name] < FEWEST]
    return 1 if alive or few else 0


if __name__ == "__main__":
    sys.exit(main())
