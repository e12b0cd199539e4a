"""Faults on purpose: a comparison that cannot fail is a defect, so each kind must be caught.

A plant wraps a stage of the engine's exchanges or a table's store when a run starts. It is path A that is wrong; the
oracle, the comparer and the explainer never learn that there is a plant. Rule: sync_training 6.3; job 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError

__all__ = ["KINDS", "plant"]

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

_RATE_FACTOR = 1.01


def plant(kind: str, engine: Any) -> None:
    """Put the fault into an engine before its first step. ConfigError for an unknown kind."""
    if kind not in KINDS:
        raise ConfigError(f"--plant: there is no kind {kind!r}; there are: {', '.join(KINDS)}")
    KINDS[kind](engine)


def _is_faulty_rank(engine: Any) -> bool:
    """One rank carries the fault: the last one."""
    communicator = engine.embeddings.communicator
    return bool(communicator.rank == communicator.size - 1)


def _wrong_rate(engine: Any) -> None:
    """One owner's tables use another learning rate."""
    if not _is_faulty_rank(engine):
        return
    for store in engine.embeddings.tables.values():
        optimize = store.optimize

        def faulty(
            rows: Any, grads: Any, rates: F32, *rest: Any, _optimize: Callable[..., None] = optimize, **named: Any
        ) -> None:
            wrong = np.array([float(f"{float(rate) * _RATE_FACTOR:.6g}") for rate in rates], np.float32)
            _optimize(rows, grads, wrong, *rest, **named)

        store.optimize = faulty


def _stale_row(engine: Any) -> None:
    """One lookup answers with the row of before the previous step's update."""
    if not _is_faulty_rank(engine):
        return
    embeddings = engine.embeddings
    former: dict[tuple[int, int], F32] = {}
    done = False

    def remember(update: Any, step: Any) -> None:
        if not done:
            former.clear()
            for part in step.updates:
                ids = embeddings.target.to_host(part.ids)
                store = embeddings.tables[embeddings.plan.tables[part.table].name]
                for fid, row in zip(ids.tolist(), _read(store, ids), strict=True):
                    former.setdefault((part.table, fid), row)
        update(step)

    def answer(lookup: Any, step: Any) -> None:
        nonlocal done
        lookup(step)
        for block in [] if done else step.blocks:
            dim = int(embeddings.plan.dims[block.table])
            for i, fid in enumerate(step.received_ids[block.low : block.high].tolist()):
                row = former.get((block.table, fid))
                place = slice(block.start + i * dim, block.start + (i + 1) * dim)
                if row is not None and not np.array_equal(row, step.reply[place]):
                    step.reply[place] = row
                    done = True
                    return

    embeddings.wrap("update", remember)
    embeddings.wrap("lookup", answer)


def _lost_duplicate(engine: Any) -> None:
    """One occurrence of a repeated id is left out of its gradient."""
    if not _is_faulty_rank(engine):
        return
    embeddings = engine.embeddings

    def lose(gradient_sums: Any, step: Any) -> None:
        gradient_sums(step)
        found = _repeated(embeddings, step)
        if found is None:
            return
        number, gradients = found
        start = int(embeddings.target.to_host(step.offsets)[number])
        if step.wide is not None:
            starts, dims, partial = step.wide
            place = int(dims[: np.searchsorted(starts, start)].sum())
            total = gradients[:-1].sum(axis=0, dtype=np.float64)
            partial.values[place : place + len(total)] = total
            return
        sums = embeddings.target.to_host(step.sums)
        total = np.zeros(gradients.shape[1], np.float32)
        for gradient in gradients[:-1]:
            total = total + gradient
        sums[start : start + len(total)] = total
        step.sums = embeddings.target.asarray(sums)

    embeddings.wrap("gradient_sums", lose)


def _swapped_shards(engine: Any) -> None:
    """The replies of two owners are exchanged, up to the shorter one; of one owner, two rows."""
    if not _is_faulty_rank(engine):
        return
    embeddings = engine.embeddings

    def swap(exchange_rows: Any, step: Any) -> None:
        exchange_rows(step)
        vectors = np.array(step.vectors)
        sizes = step.split.owner_table_counts @ embeddings.plan.dims
        owners = np.flatnonzero(sizes)
        if len(owners) >= 2:
            first, second = owners[:2]
            ends = np.cumsum(sizes)
            a, b = int(ends[first] - sizes[first]), int(ends[second] - sizes[second])
            length = int(min(sizes[first], sizes[second]))
        else:
            length = int(embeddings.plan.dims[0])
            rows = vectors[: len(vectors) // length * length].reshape(-1, length)
            other = np.flatnonzero((rows != rows[:1]).any(axis=1)) if len(rows) else np.zeros(0, np.int64)
            if len(other) == 0:
                return
            a, b = 0, int(other[0]) * length
        one, two = slice(a, a + length), slice(b, b + length)
        vectors[one], vectors[two] = vectors[two].copy(), vectors[one].copy()
        step.vectors = vectors

    embeddings.wrap("exchange_rows", swap)


def _skipped_step(engine: Any) -> None:
    """One owner skips one update of its rows."""
    if not _is_faulty_rank(engine):
        return
    done = False

    def skip(update: Any, step: Any) -> None:
        nonlocal done
        if done:
            update(step)
            return
        done = True
        kept, step.updates = step.updates, []
        update(step)
        step.updates = kept

    engine.embeddings.wrap("update", skip)


def _half_rows(engine: Any) -> None:
    """Rows travel in half precision."""

    def halve(exchange_rows: Any, step: Any) -> None:
        exchange_rows(step)
        step.vectors = step.vectors.astype(np.float16).astype(np.float32)

    engine.embeddings.wrap("exchange_rows", halve)


def _raw_accumulator(engine: Any) -> None:
    """The accumulator of a repeated id takes the sum of squares, not the square of the sum."""
    embeddings = engine.embeddings
    if not _is_faulty_rank(engine):
        return

    def spoil(update: Any, step: Any) -> None:
        target = embeddings.target
        found = _repeated(embeddings, step, own=True)
        if found is None:
            update(step)
            return
        number, gradients = found
        fid = target.to_host(step.unique.unique)[number : number + 1]
        table = embeddings.plan.tables[int(np.searchsorted(step.unique.unique_splits, number, side="right")) - 1]
        store = embeddings.tables[table.name]
        part = next(
            u
            for u in step.updates
            if embeddings.plan.tables[u.table].name == table.name and fid in target.to_host(u.ids)
        )
        place = int(np.flatnonzero(target.to_host(part.ids) == fid[0])[0])
        start = part.start + place * table.dim
        gradient = np.array(target.to_host(part.gradients)[start : start + table.dim], np.float32)
        rows = store.find_or_insert(target.asarray(fid))
        dump = store.export(rows, fid)
        rate = np.float32(engine_rate(engine, table.name))
        update(step)
        accumulator = dump.state[0]["norm"][0]
        for occurrence in gradients:
            accumulator = accumulator + occurrence * occurrence
        weights: F32 = np.divide(rate, np.sqrt(accumulator))
        weights = dump.weights[0] - weights * gradient
        store.import_(replace(dump, weights=weights[None], state=[{"norm": accumulator[None]}]))

    embeddings.wrap("update", spoil)


def _one_ulp(engine: Any) -> None:
    """One element of one row moves to the next float after an update."""
    if not _is_faulty_rank(engine):
        return
    embeddings = engine.embeddings
    done = False

    def nudge(update: Any, step: Any) -> None:
        nonlocal done
        update(step)
        if done or not step.updates:
            return
        done = True
        part = step.updates[0]
        fid = np.array(embeddings.target.to_host(part.ids)[:1])
        store = embeddings.tables[embeddings.plan.tables[part.table].name]
        dump = store.export(store.find(embeddings.target.asarray(fid)), fid)
        weights = dump.weights.copy()
        weights[0, -1] = np.nextafter(weights[0, -1], np.float32(np.inf))
        store.import_(replace(dump, weights=weights))

    embeddings.wrap("update", nudge)


def engine_rate(engine: Any, table: str) -> float:
    """The learning rate of a table's first segment."""
    spec = next(spec for spec in engine.tables if spec.name == table)
    return float(spec.config.call_learning_rate_fns(engine.global_step)[0])


def _read(store: Any, ids: I64) -> F32:
    """Weights of ids as a lookup reads them, zeros where absent; copied."""
    out = store.target.asarray(np.zeros(len(ids) * store.dim, np.float32))
    store.lookup(store.target.asarray(ids), out)
    return np.array(store.target.to_host(out)).reshape(len(ids), store.dim)


def _repeated(embeddings: Any, step: Any, own: bool = False) -> tuple[int, F32] | None:
    """An id that occurs more than once in this rank's rows: (its number, the occurrences' gradients [n, D]).

    ``own``: an id that this rank owns and no other rank sent in this step.
    """
    target = embeddings.target
    inverse = target.to_host(step.unique.inverse)
    counts = np.bincount(inverse)
    ids = target.to_host(step.unique.unique)
    dx = target.to_host(step.dx)
    for number in np.flatnonzero(counts > 1).tolist():
        if own and not _alone(embeddings, step, ids[number]):
            continue
        gradients = [dx[row, column] for row, column in _places(embeddings, step, inverse, number)]
        if any(np.any(gradient != 0) for gradient in gradients[-1:]):
            return number, np.stack(gradients)
    return None


def _alone(embeddings: Any, step: Any, fid: int) -> bool:
    communicator = embeddings.communicator
    mine = int(embeddings.owner(np.array([fid], np.int64))[0]) == communicator.rank
    return mine and int((step.received_ids == fid).sum()) == 1


def _places(embeddings: Any, step: Any, inverse: Any, number: int) -> list[tuple[int, slice]]:
    """(row, columns of x) of every occurrence of a distinct id, in order."""
    features = [feature for table in embeddings.plan.tables for feature in table.features]
    places = []
    for occurrence in np.flatnonzero(inverse == number).tolist():
        for feature, splits in zip(features, step.splits, strict=True):
            row_splits = embeddings.target.to_host(splits)
            if row_splits[0] <= occurrence < row_splits[-1]:
                row = int(np.searchsorted(row_splits, occurrence, side="right")) - 1
                places.append((row, slice(feature.column, feature.column + feature.width)))
                break
    return places


KINDS: dict[str, Callable[[Any], None]] = {
    "wrong-lr": _wrong_rate,
    "stale-row": _stale_row,
    "lost-duplicate": _lost_duplicate,
    "swapped-shards": _swapped_shards,
    "skipped-step": _skipped_step,
    "fp16-rows": _half_rows,
    "raw-grad-accumulator": _raw_accumulator,
    "one-ulp": _one_ulp,
}
"""Kind -> what puts it into an engine."""
