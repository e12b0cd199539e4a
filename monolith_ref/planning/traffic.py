"""Bytes that all ranks together send to others in one step, exchange by exchange. Rule: sync_training 2.2, 2.3, 5.

The names are those of ``Communicator.traffic``; messages' own headers are not counted, as they are not there.
"""

from __future__ import annotations

from dataclasses import dataclass

from monolith_ref.planning.distinct import distinct_of_table, repeated
from monolith_ref.planning.workload import Workload

__all__ = ["Traffic", "minimum_bytes", "predict_traffic"]

PAYLOAD = ("ids", "rows", "gradients", "dense", "dense sums")
"""Exchanges that carry what training needs; others say how much comes, or what ``exact`` needs beyond float32."""

_ID, _FLOAT, _DOUBLE, _COUNT = 8, 4, 8, 8


@dataclass(frozen=True)
class Traffic:
    """What a step exchanges.

    Attributes
    ----------
    requests : float
        Distinct ids that all ranks ask for, from themselves too.
    sent : dict of exchange to bytes
        Over all ranks; to others only.
    """

    ranks: int
    requests: float
    sent: dict[str, float]

    @property
    def total(self) -> float:
        """Bytes of a step."""
        return sum(self.sent.values())

    @property
    def minimum(self) -> float:
        """Bytes of what training needs, all else aside."""
        return sum(self.sent.get(name, 0.0) for name in PAYLOAD)


def minimum_bytes(sent: dict[str, int]) -> int:
    """The same of bytes that were counted."""
    return sum(sent.get(name, 0) for name in PAYLOAD)


def predict_traffic(workload: Workload, ranks: int) -> Traffic:
    """Expected bytes of one step on so many ranks."""
    pairs = ranks * (ranks - 1)
    away = (ranks - 1) / ranks
    ids = floats = wide = 0.0
    for table in workload.tables:
        for rows, count in workload.rows_of(ranks):
            asked = count * distinct_of_table(table, rows)
            ids += asked
            floats += asked * table.dim
            again = count * sum(repeated(feature, rows) for feature in table.features)
            wide += again * (2 * _COUNT + _DOUBLE * table.dim)
    exact = workload.reduction == "exact"
    sent = {
        "id counts": float(pairs * len(workload.tables) * _COUNT),
        "ids": ids * away * _ID,
        "rows": floats * away * _FLOAT,
        "gradients": floats * away * _wire(workload.grad_wire),
    }
    elements = sum(workload.dense)
    variables = 1 if workload.fusion == "one" else len(workload.dense)
    sent["dense"] = float((ranks - 1) * elements * (_DOUBLE if exact else _wire(workload.dense_wire)))
    sent["dense sums"] = float((ranks - 1) * elements * _FLOAT)
    sent["loss"] = float(pairs * workload.outputs * (2 * _COUNT if exact else _FLOAT))
    if exact:
        sent["wide counts"] = float(pairs * 3 * _COUNT)
        sent["wide sums"] = wide * away
        sent["dense slow counts"] = float(pairs * variables * _COUNT)
    sent["finite"] = float(pairs)
    return Traffic(ranks, ids, sent)


def _wire(name: str) -> int:
    return 2 if name == "f16" else _FLOAT
