"""What an index and row access must do, on any target."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_kernels.target import Target

from tests.kernels.support import assert_same_bits, floats, ids


class DictIndex:
    """The naive index: a dict, rows numbered by first occurrence, the lowest free number first."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.next_row = 0
        self.free: list[int] = []

    def insert(self, batch: Any) -> tuple[list[int], list[int]]:
        rows, new = [], []
        for position, key in enumerate(batch.tolist()):
            if key not in self.rows:
                new.append(position)
                self.rows[key] = self.free.pop(0) if self.free else self.next_row
                self.next_row = max(self.next_row, self.rows[key] + 1)
            rows.append(self.rows[key])
        return rows, new

    def erase(self, batch: Any) -> list[int]:
        rows = [self.rows.pop(key, -1) for key in batch.tolist()]
        self.free = sorted(self.free + [row for row in rows if row >= 0])
        return rows


def check_index_against_dict(t: Target, seed: int, rounds: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    index, naive = t.lookup.make_index(int(rng.integers(0, 50))), DictIndex()
    for _ in range(rounds):
        count = int(rng.integers(0, batch + 1))
        keys = ids(rng, count, int(rng.integers(1, batch + 2)))
        out, new = t.empty(count, np.int32), t.empty(count, np.int32)
        free = t.asarray(np.array(naive.free, np.int32))
        before = naive.next_row
        rows, first = naive.insert(keys)
        added = t.lookup.insert(index, t.asarray(keys), out, new, before, free, t.threads)
        assert added == len(first)
        assert t.to_host(out).tolist() == rows
        assert t.to_host(new)[:added].tolist() == first

        probes = np.concatenate([keys, ids(rng, 10, 10)])
        found = t.empty(len(probes), np.int32)
        hits = t.lookup.find(index, t.asarray(probes), found, t.threads)
        want = [naive.rows.get(key, -1) for key in probes.tolist()]
        assert t.to_host(found).tolist() == want
        assert hits == sum(row >= 0 for row in want)

        gone = keys[rng.random(count) < 0.3]
        erased = t.empty(len(gone), np.int32)
        want = naive.erase(gone)
        assert t.lookup.erase(index, t.asarray(gone), erased) == sum(row >= 0 for row in want)
        assert t.to_host(erased).tolist() == want

        assert index.size == len(naive.rows)
        listed, numbers = t.lookup.items(index)
        pairs = sorted((row, key) for key, row in naive.rows.items())
        assert list(zip(t.to_host(numbers).tolist(), t.to_host(listed).tolist(), strict=True)) == pairs
    t.lookup.clear(index)
    assert index.size == 0
    assert len(t.to_host(t.lookup.items(index)[0])) == 0


def check_gather(t: Target, seed: int, count: int, dim: int, special: float) -> None:
    rng = np.random.default_rng(seed)
    width, column, offset, stride = dim + 5, 2, 3, dim + 1
    rows = floats(rng, (40, width), special)
    numbers = rng.integers(-1, 40, count).astype(np.int32)
    out = np.full(offset + count * stride, 7, np.float32)
    want = out.copy()
    for i, row in enumerate(numbers):
        want[offset + i * stride :][:dim] = rows[row, column : column + dim] if row >= 0 else 0.0
    got = t.asarray(out.copy())
    t.lookup.gather(t.asarray(rows), t.asarray(numbers), column, dim, got, offset, stride, t.threads)
    assert t.to_host(got).tobytes() == want.tobytes()


def check_find_gather(t: Target, seed: int, count: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    keys = ids(rng, count, count + 1)
    index = t.lookup.make_index()
    known = keys[: count // 2]
    out_rows, new = t.empty(len(known), np.int32), t.empty(len(known), np.int32)
    t.lookup.insert(index, t.asarray(known), out_rows, new, 0, t.asarray(np.empty(0, np.int32)))
    rows = floats(rng, (len(known) + 1, dim), 0.1)
    found, out = t.empty(count, np.int32), t.empty(count * dim, np.float32)
    hits = t.lookup.find_gather(index, t.asarray(keys), found, t.asarray(rows), 0, dim, out, 0, dim, t.threads)
    numbers = t.to_host(found)
    assert hits == (numbers >= 0).sum()
    place = dict(zip(known.tolist(), t.to_host(out_rows).tolist(), strict=True))
    assert numbers.tolist() == [place.get(key, -1) for key in keys.tolist()]
    want = np.where((numbers >= 0)[:, None], rows[np.maximum(numbers, 0)], np.float32(0))
    assert t.to_host(out).tobytes() == want.astype(np.float32).tobytes()


def check_assign(t: Target, seed: int, count: int, dim: int, special: float) -> None:
    rng = np.random.default_rng(seed)
    rows = floats(rng, (10, dim + 3), special)
    numbers = rng.integers(-1, 10, count).astype(np.int32)
    values = floats(rng, 2 + count * (dim + 2), special)
    assigned, added = rows.copy(), rows.copy()
    for i, row in enumerate(numbers):
        if row >= 0:
            value = values[2 + i * (dim + 2) :][:dim]
            assigned[row, 1 : 1 + dim] = value
            with np.errstate(all="ignore"):
                added[row, 1 : 1 + dim] = added[row, 1 : 1 + dim] + value
    got = t.asarray(rows.copy())
    t.lookup.assign(got, t.asarray(numbers), 1, dim, t.asarray(values), 2, dim + 2)
    assert t.to_host(got).tobytes() == assigned.tobytes()
    got = t.asarray(rows.copy())
    t.lookup.assign_add(got, t.asarray(numbers), 1, dim, t.asarray(values), 2, dim + 2)
    assert_same_bits(t.to_host(got), added)
