"""Wall time by phase."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter

__all__ = ["Clock"]


@dataclass
class Clock:
    """Wall time of phases of the step in hand."""

    seconds: dict[str, float] = field(default_factory=dict)
    since: float = 0.0

    def start(self) -> None:
        """A phase begins."""
        self.since = perf_counter()

    def stop(self, phase: str) -> None:
        """The phase ends; the next one begins."""
        now = perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self.since
        self.since = now
