"""The smallest requests that still show a failure: fewer steps, fewer rows, fewer floats a row, plainer numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

from monolith_conformance.explain import cuts
from monolith_conformance.explain.trial import Budget, Shown, Trials
from monolith_conformance.transcript import Step

__all__ = ["shrink"]

T = TypeVar("T")
Steps = Sequence[Step]


def shrink(trials: Trials, shown: Shown, budget: Budget) -> Shown:
    """A smaller disagreement than ``shown``, as small as the budget allows; it shows on a fresh start."""
    best, trials.like = shown, shown.mismatch
    while not budget.spent:
        size = _size(best.steps)
        for reduce in (_fewer_steps, _smaller_steps, _fewer_columns, _plainer_numbers):
            best = reduce(trials, best, budget)
        if _size(best.steps) >= size:
            break
    return trials.show(best.steps, fresh=True) or shown


def _size(steps: Steps) -> int:
    return sum(step.request.ByteSize() for step in steps)


def _fewer_steps(trials: Trials, best: Shown, budget: Budget) -> Shown:
    return _without(best.steps, trials.show, best, budget)


def _smaller_steps(trials: Trials, best: Shown, budget: Budget) -> Shown:
    """Fewer rows, parts or filter operations in each step, the last ones first."""
    for number in reversed(range(len(best.steps))):
        if number < len(best.steps):  # A smaller failure may end earlier.
            for parts, rebuilt in cuts.divisions(best.steps[number]):
                best = _without(range(parts), _among(trials, best.steps, number, rebuilt), best, budget)
    return best


def _among(
    trials: Trials, steps: Steps, number: int, rebuilt: Callable[[Sequence[int]], Step]
) -> Callable[[Sequence[int]], Shown | None]:
    """A trial of the steps with one of them rebuilt from some of its parts."""
    return lambda kept: trials.show([*steps[:number], rebuilt(kept), *steps[number + 1 :]])


def _fewer_columns(trials: Trials, best: Shown, budget: Budget) -> Shown:
    """One float a row where one is enough."""
    for candidate in cuts.single_columns(best.steps, best.mismatch):
        if budget.spent:
            break
        found = trials.show(candidate)
        if found is not None:
            return found
    return best


def _plainer_numbers(trials: Trials, best: Shown, budget: Budget) -> Shown:
    """Zeros and ones where they show the same."""
    place = 0
    while not budget.spent:
        candidate = next(itertools.islice(cuts.plainer(best.steps), place, None), None)
        if candidate is None:
            break
        place += 1
        if all(new.request == old.request for new, old in zip(candidate, best.steps, strict=True)):
            continue
        found = trials.show(candidate)
        if found is not None and _size(found.steps) <= _size(best.steps):
            best = found
    return best


def _without(items: Sequence[T], attempt: Callable[[Sequence[T]], Shown | None], best: Shown, budget: Budget) -> Shown:
    """Leave out ever smaller stretches of ``items`` while the failure still shows."""
    kept = list(items)
    stretch = max(len(kept) // 2, 1)
    while kept and not budget.spent:
        start, removed = len(kept) - stretch, False
        while start > -stretch and not budget.spent:
            begin = max(start, 0)
            candidate = kept[:begin] + kept[start + stretch :]
            found = attempt(candidate) if len(candidate) < len(kept) else None
            if found is not None:
                kept, best, removed = candidate, found, True
            start -= stretch
        if stretch == 1 and not removed:
            break
        stretch = max(stretch // 2, 1)
    return best
