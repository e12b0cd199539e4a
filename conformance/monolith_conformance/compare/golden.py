"""The digests that the default workload is known to give, measured by independent implementations."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["STATES", "cases", "known_state"]

STATES = {
    ("sequential", 1): ("a37b36a1e1512497", "c5967cc892171aca"),
    ("sequential", 2): ("57e06c498141bbe7", "d64b9c69b1aa7565"),
    ("sequential", 3): ("c8cfeef442b92973", "8f9c31c0ef8920ae"),
    ("sequential", 4): ("a74e571296b4ea84", "e16d7ea61b619634"),
    ("sum", 2): ("9fbb2768e9d51c34", "c2e39182e804d5df"),
    ("sum", 3): ("c7a39e63e18e60be", "4c9eac85fa0252ca"),
    ("sum", 4): ("188e478281b27443", "beca8e9e1f815742"),
    ("mean", 2): ("81a9b886dadccd1d", "5f235d1f8fc2cab8"),
    ("mean", 3): ("683723baade4ef4f", "d7bb8890aea7d309"),
    ("mean", 4): ("828e6cc3bbc84e3b", "248efea761595b30"),
    ("exact", 1): ("2a22f04b5d46212c", "d2fde9eddc666b64"),
}
"""(reduction, ranks) -> first 16 hex digits of the state digest after 5 and after 50 steps. Rule: sync_training 6.4."""

_STEPS = (5, 50)


def cases() -> list[dict[str, Any]]:
    """Every case of the golden file: reduction, ranks, steps, digests of rows and head, and some of the whole state."""
    text = (files("monolith_conformance") / "golden" / "compare.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)["cases"]
    return found


def known_state(reduction: str, ranks: int, steps: int) -> str | None:
    """How the state digest of seed 42 and 455 rows a step begins after that many steps, where it is known.

    One rank has the same digest under all reductions but ``exact``; ``exact`` has the same on any number of ranks.
    """
    if reduction == "exact":
        ranks = 1
    elif ranks == 1:
        reduction = "sequential"
    if steps not in _STEPS or (reduction, ranks) not in STATES:
        return None
    return STATES[reduction, ranks][_STEPS.index(steps)]
