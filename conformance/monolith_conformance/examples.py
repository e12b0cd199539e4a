"""Generated examples: how many, in which order, and how a failing one becomes the smallest that fails.

Cases that try many examples draw them with hypothesis. By default the search is derandomised, so that two runs of one
suite version judge alike; ``--full`` tries more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning

from monolith_conformance.session import Session

__all__ = ["BUDGETS", "budget", "for_examples", "set_budget"]

BUDGETS = {"quick": 20, "full": 400}
_budget = {"examples": BUDGETS["quick"], "seed": None}


def set_budget(name: str, *, seed: int | None = None) -> None:
    """Choose how many examples generated cases try; with ``seed`` the search is another one each time."""
    _budget["examples"] = BUDGETS[name]
    _budget["seed"] = seed


def budget() -> int:
    """Examples that a generated case tries."""
    return int(_budget["examples"] or 0)


def for_examples(
    session: Session, strategy: st.SearchStrategy[Any], judge: Callable[[Any], None], share: float = 1.0
) -> None:
    """Judge examples of ``strategy`` until one fails, and then the smallest that hypothesis finds.

    ``judge`` gets one example and sends its requests through ``session``, which is begun anew for each; its exception
    is that of the smallest failing example, and so is the session's transcript. ``share`` scales the budget.
    """

    def one(example: Any) -> None:
        session.begin()
        judge(example)

    from hypothesis import seed as seeded

    search = given(strategy)(one)
    if _budget["seed"] is not None:
        search = seeded(_budget["seed"])(search)
    search = settings(
        max_examples=max(1, round(budget() * share)),
        derandomize=_budget["seed"] is None,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(search)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)
        search()
