"""Time of a step from constants that were measured on one rank, and from a link that is described by two numbers.

A phase of n units takes ``fixed + n * each`` seconds. What loops over (source rank, table) blocks has its fixed part
once a block; exchanges cost a latency a message and their bytes over the bandwidth. Ranks have a core each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from monolith_ref.errors import ConfigError
from monolith_ref.planning.distinct import distinct_of_table
from monolith_ref.planning.traffic import Traffic
from monolith_ref.planning.workload import Workload

__all__ = ["PHASES", "Cost", "Link", "Measurement", "StepTime", "predict_time"]

Unit = Literal["occurrences", "requests", "rows", "none"]

PHASES: dict[str, tuple[Unit, bool]] = {
    "dedup": ("occurrences", False),
    "lookup": ("requests", True),
    "pool": ("occurrences", False),
    "gradient_sums": ("occurrences", False),
    "reduce": ("requests", False),
    "update": ("requests", True),
    "forward": ("rows", False),
    "backward": ("rows", False),
    "check_finite": ("requests", False),
    "dense_update": ("none", False),
}
"""What each phase of ``StepResult.seconds`` grows with, and whether its fixed part is one of every block (``update``:
of ``sequential`` only, the other reductions update once a table)."""

EXCHANGES = ("id counts", "ids", "rows", "gradients", "dense", "dense sums", "loss", "finite")


@dataclass(frozen=True)
class Cost:
    """Seconds: ``fixed`` a step (of one rank), ``each`` a unit."""

    fixed: float
    each: float


@dataclass(frozen=True)
class Link:
    """``latency`` seconds a message, ``bandwidth`` bytes a second and rank."""

    latency: float = 5e-6
    bandwidth: float = 10e9


@dataclass(frozen=True)
class Measurement:
    """Constants of one machine and one workload.

    Attributes
    ----------
    machine : str
    about : dict
        The workload that was measured: tables, dim, reduction.
    costs : dict of phase to Cost
    """

    machine: str
    about: dict[str, Any]
    costs: dict[str, Cost] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Measurement:
        """Back; ConfigError for a file that is not one."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise KeyError("format")
            costs = {name: Cost(float(one["fixed"]), float(one["each"])) for name, one in found["costs"].items()}
            if set(costs) != set(PHASES):
                raise KeyError("costs")
            return cls(str(found["machine"]), dict(found["about"]), costs)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{path}: not a measurement (plan --measure --save-measurement FILE makes one)") from None


FORMAT = "monolith-ref measurement 1"


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step: by phase of the slowest rank, and of the exchanges."""

    phases: Mapping[str, float]
    exchanges: float

    @property
    def total(self) -> float:
        """The whole step."""
        return sum(self.phases.values()) + self.exchanges


def predict_time(
    workload: Workload, ranks: int, traffic: Traffic, skew: float, measurement: Measurement, link: Link
) -> StepTime:
    """Time of a step whose busiest owner is asked ``skew`` times as much as the mean one."""
    rows = workload.rows_of(ranks)[0][0]
    asked = sum(distinct_of_table(table, rows) for table in workload.tables)
    requests = traffic.requests / ranks * skew
    units: dict[Unit, float] = {
        "occurrences": workload.occurrences * rows / workload.rows,
        "requests": requests,
        "rows": rows,
        "none": 0.0,
    }
    tables = len(workload.tables)
    # Blocks of (source, table) that hold an id at all.
    blocks = min(float(ranks * tables), requests) / min(tables, max(asked, 1.0))
    phases = {}
    for phase, (unit, blockwise) in PHASES.items():
        cost = measurement.costs[phase]
        many = blockwise and (phase != "update" or workload.reduction == "sequential")
        phases[phase] = cost.fixed * (max(blocks, 1.0) if many else 1.0) + cost.each * units[unit]
    exchanged = traffic.total / ranks * (1 + (skew - 1) * _owners_share(traffic))
    messages = 0 if ranks == 1 else len(EXCHANGES) * (ranks - 1)
    return StepTime(phases, messages * link.latency + exchanged / link.bandwidth)


def _owners_share(traffic: Traffic) -> float:
    """The part of the bytes that owners of rows send or receive."""
    embedding = sum(traffic.sent.get(name, 0.0) for name in ("ids", "rows", "gradients"))
    return embedding / traffic.total if traffic.total else 0.0
