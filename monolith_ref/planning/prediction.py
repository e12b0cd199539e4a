"""Everything that is predicted for one number of ranks, and the same for many as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from monolith_ref.errors import ConfigError
from monolith_ref.planning.memory import Memory, predict_memory
from monolith_ref.planning.owners import Skew, owner_skew
from monolith_ref.planning.timing import Link, Measurement, StepTime, predict_time
from monolith_ref.planning.traffic import Traffic, predict_traffic
from monolith_ref.planning.workload import Workload

__all__ = ["Prediction", "predict", "remarks"]

MOST_RANKS = 65_536
CONTROL_SHARE = 0.05
"""Part of the bytes that only say how much comes, from which on it is worth a word."""


@dataclass(frozen=True)
class Prediction:
    """One number of ranks; ``time`` is None where no constants were measured."""

    ranks: int
    traffic: Traffic
    memory: Memory
    skew: Skew
    time: StepTime | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = {
            "ranks": self.ranks,
            "requests": self.traffic.requests,
            "sent_bytes": {**self.traffic.sent, "total": self.traffic.total, "minimum": self.traffic.minimum},
            "memory_bytes_of_a_rank": {**asdict(self.memory), "total": self.memory.total},
            "owners": asdict(self.skew),
        }
        if self.time is not None:
            plain["step_seconds"] = {
                **self.time.phases,
                "exchanges": self.time.exchanges,
                "total": self.time.total,
            }
        return plain


def predict(
    workload: Workload,
    ranks: Sequence[int],
    steps: int,
    measurement: Measurement | None = None,
    link: Link | None = None,
) -> list[Prediction]:
    """Predictions for every number of ranks; memory as it is after ``steps`` steps."""
    found = []
    for number in ranks:
        if not 1 <= number <= MOST_RANKS:
            raise ConfigError(f"ranks must be 1 to {MOST_RANKS}, not {number}")
        traffic = predict_traffic(workload, number)
        skew = owner_skew(workload, number)
        time = None
        if measurement is not None:
            time = predict_time(workload, number, traffic, skew.requests, measurement, link or Link())
        memory = predict_memory(workload, number, steps, skew.by_ids)
        found.append(Prediction(number, traffic, memory, skew, time))
    return found


def remarks(workload: Workload, predictions: Sequence[Prediction]) -> list[str]:
    """What deserves attention, with what helps, each thing once, at the smallest number of ranks that has it."""
    said: dict[str, str] = {}
    for one in predictions:
        if one.skew.cause:
            factor = f"the busiest owner is asked {one.skew.requests:.1f} times as much as the mean"
            said.setdefault(
                one.skew.remedy, f"From {one.ranks} ranks on {factor}. {one.skew.cause}: {one.skew.remedy}."
            )
        control = one.traffic.total - one.traffic.minimum
        if one.traffic.total and control / one.traffic.total > CONTROL_SHARE and len(workload.tables) > 1:
            said.setdefault(
                "counts",
                f"From {one.ranks} ranks on {control / one.traffic.total:.0%} of the bytes only say how many ids of "
                f"each of {len(workload.tables)} tables come: table.layout=merged sends one count a rank.",
            )
        if one.ranks > workload.rows:
            said.setdefault("rows", f"From {one.ranks} ranks on some have no row of a batch of {workload.rows}.")
    times = [one for one in predictions if one.time is not None]
    if len(times) > 1:
        best = min(times, key=lambda one: one.time.total if one.time else 0.0)
        assert best.time is not None
        if best is not times[-1]:
            said["best"] = f"Steps are shortest on {best.ranks} ranks ({best.time.total * 1e3:.1f} ms)."
    return list(said.values())
