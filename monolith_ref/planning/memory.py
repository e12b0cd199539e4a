"""Memory of the rank that has most to hold, once so many steps have been made."""

from __future__ import annotations

from dataclasses import dataclass

from monolith_kernels.target import target

from monolith_ref.planning.distinct import distinct_of_table
from monolith_ref.planning.workload import Workload
from monolith_ref.sync.buffers import GROWTH

__all__ = ["Memory", "predict_memory"]

_TIME, _ID, _FLOAT, _NUMBER = 4, 8, 4, 4


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank by purpose; Python and its libraries (some 0.2 GB) come on top."""

    table_rows: float
    rows: float
    index: float
    buffers: float
    dense: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.rows + self.index + self.buffers + self.dense


def predict_memory(workload: Workload, ranks: int, steps: int, skew: float = 1.0) -> Memory:
    """Expected memory of an owner with ``skew`` times the mean of rows, after ``steps`` steps."""
    owners = ranks - 1 if workload.empty_rank0 and ranks > 4 else ranks
    lookup = target("cpu").lookup
    rows = index = count = 0.0
    for table in workload.tables:
        mine = distinct_of_table(table, steps * workload.rows) * skew / owners
        count += mine
        rows += mine * (table.row_bytes + _TIME)
        index += lookup.make_index(0).nbytes if mine < 1 else _index_bytes(int(mine))
    own_rows = max(have for have, _ in workload.rows_of(ranks))
    asked = [distinct_of_table(table, own_rows) for table in workload.tables]
    vectors = sum(number * table.dim for number, table in zip(asked, workload.tables, strict=True))
    occurrences = workload.occurrences * own_rows / workload.rows
    # As client: ids, inverse, rows, gradients; as owner: ids, numbers, replies, gradients.
    client = occurrences * (_ID + _NUMBER) + sum(asked) * (3 * _ID + 2 * _NUMBER) + vectors * 2 * _FLOAT
    owner = skew * (sum(asked) * (_ID + _NUMBER) + vectors * 2 * _FLOAT) * ranks / owners
    if workload.reduction == "exact":
        client += vectors * 3 * _FLOAT
        owner += skew * vectors * 4 * _FLOAT
    width = sum(table.dim * len(table.features) for table in workload.tables)
    buffers = GROWTH * (client + owner) + 2 * own_rows * width * _FLOAT
    # Weights, accumulators, gradients, and what travels.
    dense = sum(workload.dense) * 5 * _FLOAT
    return Memory(count, rows, index, buffers, dense)


def _index_bytes(rows: int) -> float:
    """An index doubles when it is full: bytes of one that has grown to so many ids."""
    buckets = target("cpu").lookup.make_index(0)
    line = buckets.nbytes / buckets.buckets
    slots = buckets.capacity / buckets.buckets
    wanted = max(buckets.buckets, -(-rows * 10 // (7 * int(slots))))
    return float(line * (1 << (wanted - 1).bit_length()))
