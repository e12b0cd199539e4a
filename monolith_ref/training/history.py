"""What steps took, over all ranks, a window of steps at a time: the points of reports and event files."""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

from monolith_ref.training.engine import Engine
from monolith_ref.training.observer import StepResult

__all__ = ["MOST_WINDOWS", "History", "Window"]

MOST_WINDOWS = 512
"""Above it neighbours are joined: what a long run keeps, and writes into checkpoints, stays small."""


@dataclass(frozen=True)
class Window:
    """Some steps one after the other.

    Attributes
    ----------
    step : int
        Steps made at its end.
    steps : int
    loss : float
        Mean of the steps' losses.
    rows, ids : int
        Rows and id occurrences of all ranks.
    seconds : float
        Wall time of rank 0.
    phases : dict of phase to float
        Seconds a step, mean over ranks.
    sent : dict of exchange to float
        Bytes a step that all ranks sent to others.
    owned : list of int
        Rows that each rank owns at the end.
    received : list of int
        Ids that each rank, as owner, was asked for.
    memory : list of int
        Peak bytes of each rank's process.
    """

    step: int
    steps: int
    loss: float
    rows: int
    ids: int
    seconds: float
    phases: dict[str, float]
    sent: dict[str, float]
    owned: list[int]
    received: list[int]
    memory: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def joined(one: Window, other: Window) -> Window:
    """Two windows, the second right after the first, as one."""
    steps = one.steps + other.steps

    def mean(key: str) -> dict[str, float]:
        sums: dict[str, float] = {}
        for window in (one, other):
            _add(sums, {name: value * window.steps / steps for name, value in getattr(window, key).items()})
        return sums

    # After a resumption there may be another number of ranks.
    same = len(one.received) == len(other.received)
    received = [a + b for a, b in zip(one.received, other.received, strict=True)] if same else other.received
    return Window(
        other.step,
        steps,
        (one.loss * one.steps + other.loss * other.steps) / steps,
        one.rows + other.rows,
        one.ids + other.ids,
        one.seconds + other.seconds,
        mean("phases"),
        mean("sent"),
        other.owned,
        received,
        other.memory,
    )


@dataclass
class _Sum:
    steps: int = 0
    loss: float = 0.0
    rows: int = 0
    ids: int = 0
    received: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    sent: dict[str, float] = field(default_factory=dict)


def _add(sums: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        sums[name] = sums.get(name, 0.0) + value


class History:
    """Collects steps; every ``every`` of them become a :class:`Window`, at most :data:`MOST_WINDOWS` in all.

    Attributes
    ----------
    windows : list of Window
        On every rank.
    """

    def __init__(self, engine: Engine, every: int, earlier: list[dict[str, Any]] | None = None) -> None:
        self._engine = engine
        self._every = every
        self.windows = [Window(**one) for one in earlier or []]
        self._sum = _Sum()
        self._since = perf_counter()

    def add(self, result: StepResult) -> Window | None:
        """Take in a step; the window that it completes. Collective."""
        total = self._sum
        total.steps += 1
        total.loss += float(result.loss)
        batch = result.forward.batch
        total.rows += batch.rows
        total.ids += sum(len(ragged.values) for ragged in batch.ragged.values())
        total.received += int(self._engine.embeddings.step.received_counts.sum())
        _add(total.phases, result.seconds)
        _add(total.sent, result.sent_bytes)
        return self.close() if (result.step + 1) % self._every == 0 else None

    def close(self) -> Window | None:
        """Make a window of the steps since the last one, if there are any. Collective."""
        if not self._sum.steps:
            return None
        engine, mine = self._engine, self._sum
        text = json.dumps(
            {
                "rows": mine.rows,
                "ids": mine.ids,
                "received": mine.received,
                "owned": sum(store.size for store in engine.embeddings.tables.values()),
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "phases": mine.phases,
                "sent": mine.sent,
            }
        )
        every = [json.loads(part) for part in engine.communicator.allgather_bytes(text.encode(), "history")]
        phases: dict[str, float] = {}
        sent: dict[str, float] = {}
        for one in every:
            _add(phases, {name: value / mine.steps / len(every) for name, value in one["phases"].items()})
            _add(sent, {name: value / mine.steps for name, value in one["sent"].items()})
        now = perf_counter()
        window = Window(
            engine.global_step,
            mine.steps,
            mine.loss / mine.steps,
            sum(one["rows"] for one in every),
            sum(one["ids"] for one in every),
            now - self._since,
            phases,
            {name: value for name, value in sent.items() if value},
            [one["owned"] for one in every],
            [one["received"] for one in every],
            [one["memory"] for one in every],
        )
        if len(self.windows) == MOST_WINDOWS:
            pairs = zip(self.windows[::2], self.windows[1::2], strict=True)
            self.windows[:] = [joined(*pair) for pair in pairs]
        self.windows.append(window)
        self._sum = _Sum()
        self._since = perf_counter()
        return window

    def resume_clock(self) -> None:
        """Time since the last window that was no training (an evaluation, a checkpoint) counts for none."""
        if not self._sum.steps:
            self._since = perf_counter()
