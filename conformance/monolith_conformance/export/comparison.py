"""The comparison run as data: inputs, embeddings, losses and digests of every step, for 1, 2 and 3 ranks.

Recorded from the oracle alone: all ranks in one process, no engine. Arrays are raw little-endian bytes whose places
the trace names; their SHA-256 is that of the bytes.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_conformance.compare.digests import DataDigest, LossDigest, head_digest, state_digest
from monolith_conformance.compare.generator import FEATURES, ID_SPACE, GeneratedSource, kernel
from monolith_conformance.compare.task import DIM, HIDDEN, HIDDEN_BIAS, LEARNING_RATE, START
from monolith_conformance.compare.universe import GeneratedUniverse
from monolith_conformance.export.bundle import Bundle
from monolith_conformance.oracle.sync import DenseRows, Layer, Oracle, RankBatch, Settings
from monolith_conformance.oracle.sync_rules import take_rows
from monolith_ref.features.ragged import Batch
from monolith_ref.progress import Bar

__all__ = ["RANKS", "add_comparison"]

RANKS = (1, 2, 3)
SEED, ROWS = 42, 455
ARRAYS = ("x", "p", "dx")


def add_comparison(bundle: Bundle, steps: int, whole_steps: int, bar: Bar) -> None:
    """Record ``steps`` steps; of the first ``whole_steps`` the arrays x, p and dx are included whole."""
    source = GeneratedSource(SEED, ROWS)
    places, inputs, data = [], bytearray(), DataDigest()
    for step in range(steps):
        places.append(_put_inputs(source.rows(step, 0, ROWS), inputs))
        data.add([source.rows(step, 0, ROWS)])
    bundle.add("comparison/inputs.bin", bytes(inputs), "comparison", "ids, row lengths and labels of every step")
    for ranks in RANKS:
        arrays = bytearray()
        bar.begin(f"comparison run on {ranks} rank{'s' if ranks > 1 else ''}", steps)
        lines = [json.dumps(_head(ranks, steps, whole_steps, data.hexdigest()))]
        for number, plain in enumerate(_steps(ranks, steps, whole_steps, arrays)):
            plain["inputs"] = places[number]
            lines.append(json.dumps(plain))
            bar.advance()
        name = f"comparison/ranks-{ranks}"
        about = f"the comparison run on {ranks} rank{'s' if ranks > 1 else ''}"
        bundle.add_lines(f"{name}.jsonl", lines, "comparison", about, schema="comparison", steps=steps)
        bundle.add(f"{name}.bin", bytes(arrays), "comparison", "arrays that the trace of that name points into")


def _head(ranks: int, steps: int, whole_steps: int, data: str) -> dict[str, Any]:
    return {
        "ranks": ranks,
        "steps": steps,
        "whole_steps": whole_steps,
        "seed": SEED,
        "rows": ROWS,
        "features": FEATURES,
        "dim": DIM,
        "hidden": list(HIDDEN),
        "rate": f"{_bits(LEARNING_RATE):08x}",
        "accumulator": f"{_bits(START):08x}",
        "reduction": "sequential",
        "data_digest": data,
    }


def _bits(value: float | np.float32) -> int:
    return int(np.float32(value).view(np.uint32))


def _put_inputs(batch: Batch, into: bytearray) -> dict[str, Any]:
    """Append a batch: of each feature lengths int32 [rows] and fids int64 [n], then labels float32 [rows]."""
    place: dict[str, Any] = {"offset": len(into), "ids": []}
    for ragged in batch.ragged.values():
        into += ragged.lengths().astype("<i4").tobytes()
        into += ragged.values.astype("<i8").tobytes()
        place["ids"].append(len(ragged.values))
    into += batch.label.astype("<f4").tobytes()
    place["bytes"] = len(into) - place["offset"]
    return place


def _steps(ranks: int, steps: int, whole_steps: int, arrays: bytearray) -> Any:
    universe = GeneratedUniverse(FEATURES, ID_SPACE)
    widths = (FEATURES * DIM, *HIDDEN, 1)
    layers = [
        Layer.fresh(kernel(SEED, number, *shape), HIDDEN_BIAS if number < len(HIDDEN) else 0.0, START)
        for number, shape in enumerate(pairwise(widths))
    ]
    oracle = Oracle(
        DenseRows(universe.count, DIM, START), layers, FEATURES, Settings("sequential", LEARNING_RATE, START)
    )
    losses = LossDigest()
    for step in range(steps):
        parts, shares = [], []
        for rank in range(ranks):
            low, high = rank * ROWS // ranks, (rank + 1) * ROWS // ranks
            values, share = oracle.local(_rank_batch(universe, step, low, high), ROWS)
            shares.append(share)
            parts.append(
                {"rank": rank, "first_row": low, "rows": high - low} | _put_arrays(values, step < whole_steps, arrays)
            )
        reduced = oracle.reduce(shares)
        touched = oracle.apply_rows(shares)
        oracle.apply_dense(reduced)
        losses.add(reduced.loss)
        yield {
            "step": step,
            "loss": f"{_bits(reduced.loss):08x}",
            "loss_digest": losses.hexdigest(),
            "touched_rows": len(touched),
            **_state(oracle, universe),
            "ranks": parts,
        }


def _rank_batch(universe: GeneratedUniverse, step: int, low: int, high: int) -> RankBatch:
    part = GeneratedSource(SEED, ROWS).rows(step, low, high)
    positions = [universe.positions(f, ragged.values) for f, ragged in enumerate(part.ragged.values())]
    return RankBatch.build(positions, [ragged.row_splits for ragged in part.ragged.values()], part.label)


def _put_arrays(values: Any, whole: bool, into: bytearray) -> dict[str, Any]:
    """Digest of each array of a rank, and its place where it is kept."""
    found: dict[str, Any] = {}
    for name in ARRAYS:
        array: NDArray[np.float32] = np.ascontiguousarray(getattr(values, name), "<f4")
        raw = array.tobytes()
        found[name] = {"shape": list(array.shape), "sha256": hashlib.sha256(raw).hexdigest()}
        if whole:
            found[name]["offset"] = len(into)
            into += raw
    return found


def _state(oracle: Oracle, universe: GeneratedUniverse) -> dict[str, Any]:
    positions = np.flatnonzero(oracle.rows.touched)
    fids = universe.fids(positions)
    w, accumulators = take_rows(oracle.rows.w, positions), take_rows(oracle.rows.accumulator, positions)
    return {
        "rows": len(positions),
        "rows_digest": state_digest(fids, w, accumulators, []),
        "head_digest": head_digest(oracle.layers),
        "state_digest": state_digest(fids, w, accumulators, oracle.layers),
    }
