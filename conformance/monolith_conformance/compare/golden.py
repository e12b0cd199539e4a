"""The digests that the default workload is known to give, measured by independent implementations."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["cases", "known_state_digest"]


def cases() -> list[dict[str, Any]]:
    """Every known case: reduction, ranks, steps, digests of rows and head, and some of the whole state."""
    text = (files("monolith_conformance") / "golden" / "compare.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)["cases"]
    return found


def known_state_digest(reduction: str, ranks: int, steps: int) -> str | None:
    """The state digest of seed 42 and 455 rows a step after that many steps, where it is known."""
    for case in cases():
        same_rule = case["reduction"] == reduction or (ranks == 1 and "exact" not in (case["reduction"], reduction))
        same_ranks = case["ranks"] == ranks or reduction == "exact"
        if same_rule and same_ranks and case["steps"] == steps and "state_digest" in case:
            return str(case["state_digest"])
    return None
