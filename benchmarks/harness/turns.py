"""Contenders taking turns: every round runs every form of every contender once, in an order that rotates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.harness.contenders import Ended, Worker
from benchmarks.harness.floors import Outcome

__all__ = ["LIMITS", "Limits", "order_of_round", "take_turns"]


class Limits(NamedTuple):
    """Seconds that a worker may take to prepare a job (tables are filled there), and for one run."""

    prepare: float = 180.0
    run: float = 60.0


LIMITS = Limits()


def order_of_round(entries: Sequence[tuple[str, str]], number: int) -> list[tuple[str, str]]:
    """The (contender, form) pairs of a round: nobody is always first, or always behind the same one."""
    count = len(entries)
    if not count:
        return []
    rotated = [entries[(number + k) % count] for k in range(count)]
    return rotated if number % 2 == 0 else rotated[::-1]


def take_turns(
    workers: Mapping[str, Worker],
    job: Mapping[str, Any],
    rounds: int,
    tell: Callable[[str], None] = lambda text: None,
    limits: Limits = LIMITS,
) -> dict[str, Outcome]:
    """Open a job at every worker, run ``rounds`` rounds, close it.

    A worker that ends has a reason and no seconds, a form that fails leaves the others theirs.
    """
    outcomes: dict[str, Outcome] = {}
    entries: list[tuple[str, str]] = []
    for name, worker in workers.items():
        tell(f"{job['job']}: preparing {name}")
        outcome = outcomes[name] = Outcome()
        began = time.perf_counter()
        answer = _ask(worker, {"open": dict(job)}, limits.prepare)
        outcome.prepared = time.perf_counter() - began
        outcome.reason = answer.get("skip") or answer.get("error") or ""
        outcome.facts = answer.get("facts", {})
        for form in answer.get("forms", ()):
            outcome.seconds[form] = []
            entries.append((name, form))
    for number in range(rounds):
        tell(f"{job['job']}: round {number + 1} of {rounds}")
        for name, form in order_of_round(entries, number):
            outcome = outcomes[name]
            if form not in outcome.seconds:
                continue
            answer = _ask(workers[name], {"run": form}, limits.run)
            if "seconds" in answer:
                outcome.seconds[form].append(float(answer["seconds"]))
                continue
            error = answer.get("error", "no answer")
            del outcome.seconds[form]
            outcome.facts[f"failed, {form}"] = error
            if answer.get("ended"):
                outcome.seconds = {}
            if not outcome.seconds:
                outcome.reason = error
    for worker in workers.values():
        _ask(worker, {"close": True}, limits.run)
    return outcomes


def _ask(worker: Worker, command: dict[str, Any], limit: float) -> dict[str, Any]:
    try:
        return worker.ask(command, limit)
    except Ended as why:
        return {"error": str(why), "ended": True}
