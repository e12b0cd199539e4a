"""What dedup and the dealing of ids to owners must do, on any target."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from monolith_kernels.target import Target

from tests.kernels.support import floats, ids


def naive_unique(values: Any, splits: Any) -> tuple[list[int], list[int], list[int], list[int]]:
    unique: list[int] = []
    inverse: list[int] = []
    counts: list[int] = []
    unique_splits = [0]
    for lo, hi in itertools.pairwise(splits):
        numbers: dict[int, int] = {}
        for value in values[lo:hi].tolist():
            if value not in numbers:
                numbers[value] = len(unique)
                unique.append(value)
                counts.append(0)
            inverse.append(numbers[value])
            counts[numbers[value]] += 1
        unique_splits.append(len(unique))
    return unique, inverse, unique_splits, counts


def some_tables(rng: np.random.Generator, count: int, tables: int, distinct: int) -> tuple[Any, Any]:
    splits = np.sort(np.concatenate([[0, count], rng.integers(0, count + 1, tables - 1)])).astype(np.int64)
    return ids(rng, count, distinct), splits


def check_unique(t: Target, seed: int, count: int, tables: int, distinct: int, scratch: Any = None) -> None:
    rng = np.random.default_rng(seed)
    values, splits = some_tables(rng, count, tables, distinct)
    got = t.dedup.unique_tables(t.asarray(values), splits, scratch, t.threads)
    unique, inverse, unique_splits, counts = naive_unique(values, splits)
    assert t.to_host(got.unique).tolist() == unique
    assert t.to_host(got.inverse).tolist() == inverse
    assert np.asarray(got.unique_splits).tolist() == unique_splits
    assert t.to_host(got.counts).tolist() == counts
    groups = t.dedup.group(got.inverse, got.counts)
    want = [[j for j, number in enumerate(inverse) if number == u] for u in range(len(unique))]
    assert t.to_host(groups.occurrences).tolist() == [j for slot in want for j in slot]
    assert t.to_host(groups.splits).tolist() == np.concatenate([[0], np.cumsum(counts)]).tolist()


def naive_owner(fid: int, ranks: int, empty_rank0: bool) -> int:
    return fid % (ranks - 1) + 1 if empty_rank0 and ranks > 4 else fid % ranks


def check_split(t: Target, seed: int, count: int, tables: int, ranks: int, empty_rank0: bool) -> None:
    rng = np.random.default_rng(seed)
    values, splits = some_tables(rng, count, tables, count + 1)
    unique, _inverse, unique_splits, _ = naive_unique(values, splits)
    device_unique = t.asarray(np.array(unique, np.int64))
    host_splits = np.array(unique_splits, np.int64)
    got = t.shard.split(device_unique, host_splits, ranks, empty_rank0)
    cells: dict[tuple[int, int], list[int]] = {(r, k): [] for r in range(ranks) for k in range(tables)}
    for k in range(tables):
        for u in range(unique_splits[k], unique_splits[k + 1]):
            cells[naive_owner(unique[u], ranks, empty_rank0), k].append(u)
    sent = [u for r in range(ranks) for k in range(tables) for u in cells[r, k]]
    assert t.to_host(got.ids).tolist() == [unique[u] for u in sent]
    order = [0] * len(sent)
    for position, u in enumerate(sent):
        order[u] = position
    assert t.to_host(got.order).tolist() == order
    counts = [[len(cells[r, k]) for k in range(tables)] for r in range(ranks)]
    assert np.asarray(got.owner_table_counts).tolist() == counts
    assert np.asarray(got.owner_counts).tolist() == [sum(row) for row in counts]

    widths = rng.integers(1, 9, tables)
    offsets, place = {}, 0
    for r in range(ranks):
        for k in range(tables):
            for u in cells[r, k]:
                offsets[u] = place
                place += int(widths[k])
    got_offsets = t.shard.offsets(got.order, host_splits, got.owner_table_counts, widths)
    assert t.to_host(got_offsets).tolist() == [offsets[u] for u in range(len(unique))]


def check_merge(t: Target, seed: int, sources: int, tables: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, largest + 1, (sources, tables))
    received = rng.integers(-(2**62), 2**62, int(counts.sum()))
    got = t.shard.merge(t.asarray(received), counts.astype(np.int64))
    stretches = {}
    position = 0
    for r in range(sources):
        for k in range(tables):
            stretches[r, k] = list(range(position, position + int(counts[r, k])))
            position += int(counts[r, k])
    merged = [p for k in range(tables) for r in range(sources) for p in stretches[r, k]]
    assert t.to_host(got.ids).tolist() == received[merged].tolist()
    order = [0] * len(merged)
    for place, p in enumerate(merged):
        order[p] = place
    assert t.to_host(got.order).tolist() == order
    sizes = counts.sum(axis=0)
    assert np.asarray(got.table_splits).tolist() == np.concatenate([[0], np.cumsum(sizes)]).tolist()
    for k in range(tables):
        for r in range(sources):
            lo, hi = got.source_splits[k, r], got.source_splits[k, r + 1]
            assert t.to_host(got.ids)[lo:hi].tolist() == received[stretches[r, k]].tolist()


def check_move(t: Target, seed: int, count: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    values = floats(rng, 20 * width, 0.3)
    sources = rng.integers(-1, 19 * width, count)
    targets = rng.permutation(count) * (width + 1)
    targets[rng.random(count) < 0.2] = -1
    want = np.full(count * (width + 1), 7, np.float32)
    for source, place in zip(sources, targets, strict=True):
        if place >= 0:
            want[place : place + width] = values[source : source + width] if source >= 0 else 0.0
    out = t.asarray(np.full(count * (width + 1), 7, np.float32))
    t.shard.move(t.asarray(values), t.asarray(sources), t.asarray(targets), width, out)
    assert t.to_host(out).tobytes() == want.tobytes()
