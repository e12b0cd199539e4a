"""After the last step: every row there is, on the rank that must have it, and the digests.

A fid may be on one rank only, on the right one, and only if some step touched it; sizes must add up; every weight and
accumulator is compared once more. The state digest is made of the engine's rows, which rank 0 collects. Rule:
sync_training 6.3, 6.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.comparer import Comparer
from monolith_conformance.compare.digests import state_digest
from monolith_conformance.compare.head import EngineHead
from monolith_conformance.compare.path_b import PathB, owner_of
from monolith_conformance.compare.universe import Universe
from monolith_conformance.oracle.sync_rules import take_rows
from monolith_ref.sync.communicator import Communicator

__all__ = ["EngineRows", "check_all_rows", "collect_state_digest", "oracle_state_digest"]

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


@dataclass
class EngineRows:
    """All rows of one feature on this rank: positions, fids, weights and accumulators [n, D]."""

    feature: int
    positions: I64
    fids: I64
    weights: F32
    accumulators: F32


def engine_rows(engine: Any, universe: Universe, features: tuple[str, ...]) -> Iterator[EngineRows]:
    """The engine's rows feature by feature (a merged table is taken apart by slot)."""
    number = {name: i for i, name in enumerate(features)}
    for table in engine.tables:
        dump = engine.embeddings.tables[table.name].export()
        norm = dump.state[0]["norm"]
        if len(table.features) == 1:
            feature = number[table.features[0]]
            yield EngineRows(feature, universe.positions(feature, dump.ids), dump.ids, dump.weights, norm)
            continue
        slots = (dump.ids >> 48) & 0x7FFF
        for name, slot in zip(table.features, table.slots, strict=True):
            mine = np.flatnonzero(slots == slot)
            ids = dump.ids[mine]
            feature = number[name]
            yield EngineRows(feature, universe.positions(feature, ids), ids, dump.weights[mine], norm[mine])


def check_all_rows(engine: Any, path_b: PathB, comparer: Comparer, empty_rank0: bool) -> None:
    """Compare every row of the engine, and that there are no others. Collective.

    Raises ComparisonStopped on every rank where something differs.
    """
    communicator, truth = comparer.communicator, path_b.oracle.rows
    comparer.begin_final(engine.global_step)
    present = 0
    for rows in engine_rows(engine, path_b.universe, path_b.features):
        present += len(rows.fids)
        owners = owner_of(rows.fids, communicator.size, empty_rank0)
        strange = np.flatnonzero((owners != communicator.rank) | ~truth.touched[rows.positions])
        name = path_b.features[rows.feature]
        for i in strange:
            comparer.note_presence(name, int(rows.fids[i]), here=True)
        comparer.compare_final_rows(rows.feature, rows.positions, rows.fids, rows.weights, rows.accumulators)
    everywhere = int(communicator.sum_int64(np.array([present], np.int64), "compare: rows in all")[0])
    if everywhere != int(truth.touched.sum()):
        comparer.note_count(everywhere, int(truth.touched.sum()))
    comparer.agree()


def collect_state_digest(engine: Any, communicator: Communicator) -> str:
    """The state digest of 6.4 over the rows of all ranks; the same string on every rank. Collective."""
    dumps = [engine.embeddings.tables[table.name].export() for table in engine.tables]
    ids = np.concatenate([dump.ids for dump in dumps])
    dim = dumps[0].weights.shape[1]
    rows = np.empty((len(ids), 2 * dim), np.float32)
    start = 0
    for dump in dumps:
        stop = start + len(dump.ids)
        rows[start:stop, :dim], rows[start:stop, dim:] = dump.weights, dump.state[0]["norm"]
        start = stop
    del dumps
    counts = communicator.allgather(np.array([len(ids)], np.int64), "compare: sizes")[:, 0]
    everything = np.zeros(communicator.size, np.int64)
    everything[0] = len(ids)
    incoming = counts if communicator.rank == 0 else np.zeros_like(counts)
    all_ids = communicator.alltoallv(
        ids, everything, np.empty(int(incoming.sum()), np.int64), incoming, "compare: ids of all rows"
    )
    width = 2 * dim
    all_rows = communicator.alltoallv(
        rows.reshape(-1),
        everything * width,
        np.empty(int(incoming.sum()) * width, np.float32),
        incoming * width,
        "compare: all rows",
    ).reshape(-1, width)
    text = b""
    if communicator.rank == 0:
        order = np.argsort(all_ids)
        ranked = take_rows(all_rows, order)
        text = state_digest(all_ids[order], ranked[:, :dim], ranked[:, dim:], EngineHead.layers(engine)).encode()
    return communicator.broadcast_bytes(text, 0, "compare: state digest").decode()


def oracle_state_digest(path_b: PathB) -> str:
    """The state digest of path B's own arrays."""
    rows = path_b.oracle.rows
    positions = np.flatnonzero(rows.touched)
    fids = path_b.universe.fids(positions)
    order = np.argsort(fids, kind="stable")
    positions = positions[order]
    return state_digest(
        fids[order], take_rows(rows.w, positions), take_rows(rows.accumulator, positions), path_b.oracle.layers
    )
