"""Counting kernels of admission filters, replayed against the original's traces."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from monolith_kernels.cpu import filter as filters

from tests.support.shared import shared_path

Filter = Any


class _Hash:
    def __init__(self, case: dict[str, Any], options: int) -> None:
        kind = np.uint8 if "uint8" in case["filter"] else np.uint16
        self.capacity = case["capacity"]
        self.cells = np.zeros(int(self.capacity * case["fill_rate"]) + 64, kind)
        self.state = np.zeros(3, np.int64)
        self.options = options

    def add(self, fid: int, count: int) -> int:
        out = np.empty(1, np.int32)
        filters.hash_add(self.cells, self.state, self.capacity, 64, self.options, _ids(fid), _ids(count), out)
        return int(out[0])

    def get(self, fid: int) -> int:
        out = np.empty(1, np.int32)
        filters.hash_get(self.cells, 64, self.options, _ids(fid), out)
        return int(out[0])

    def sbf(self, fid: int, count: int, threshold: int) -> bool:
        filtered = np.empty(1, np.uint8)
        dropped = filters.hash_admit(
            self.cells,
            self.state,
            self.capacity,
            64,
            self.options,
            _ids(fid),
            _ids(count),
            np.array([threshold], np.int32),
            np.empty(0, np.uint8),
            filtered,
        )
        assert dropped == filtered[0]
        return bool(filtered[0])

    def check_stat(self, stat: dict[str, Any]) -> None:
        assert self.state[1] == stat["failures"]
        assert self.state[0] == stat["elements"]

    def check_dump(self, dump: dict[str, Any]) -> None:
        used = np.flatnonzero(self.cells)
        assert [[int(c), int(self.cells[c])] for c in used] == dump["cells"]


class _Sliding:
    def __init__(self, case: dict[str, Any], options: int) -> None:
        capacity, splits = max(case["capacity"], 300), max(case["split_num"], 5)
        self.split_capacity = capacity // (splits - 1)
        self.cells = np.zeros((splits, int(self.split_capacity * 1.2) + 64), np.uint16)
        self.elements = np.zeros(splits, np.int64)
        self.state = np.zeros(3, np.int64)
        self.options = options

    def add(self, fid: int, count: int) -> int:
        out = np.empty(1, np.int32)
        filters.sliding_add(
            self.cells,
            self.elements,
            self.state,
            self.split_capacity,
            self.options,
            _ids(fid),
            _ids(count),
            out,
        )
        return int(out[0])

    def get(self, fid: int) -> int:
        out = np.empty(1, np.int32)
        filters.sliding_get(self.cells, self.state, self.options, _ids(fid), out)
        return int(out[0])

    def sbf(self, fid: int, count: int, threshold: int) -> bool:
        filtered = np.empty(1, np.uint8)
        filters.sliding_admit(
            self.cells,
            self.elements,
            self.state,
            self.split_capacity,
            self.options,
            _ids(fid),
            _ids(count),
            np.array([threshold], np.int32),
            np.empty(0, np.uint8),
            filtered,
        )
        return bool(filtered[0])

    def check_stat(self, stat: dict[str, Any]) -> None:
        assert self.state.tolist() == [stat["head"], stat["head_increment"], stat["failures"]]
        assert self.elements.sum() == stat["elements"]

    def check_splits(self, splits: list[list[Any]]) -> None:
        assert [[int(e), int(np.count_nonzero(c))] for e, c in zip(self.elements, self.cells, strict=True)] == [
            split[:2] for split in splits
        ]


def _ids(value: int) -> Any:
    return np.array([value % (1 << 64)], np.uint64).view(np.int64)


def test_traces_of_the_original() -> None:
    data = json.loads(shared_path("golden/vectors/filters.json").read_text())
    operations = 0
    for case in data["cases"]:
        options = filters.IDENTITY_HASH if case["hash"] == "identity" else 0
        if "filter_zero_count" in case.get("quirks", []):
            options |= filters.COUNT_ZERO
        subject: Any = _Sliding(case, options) if case["filter"].startswith("Sliding") else _Hash(case, options)
        for step in case["trace"]:
            where = (case["name"], step[:4])
            match step:
                case ["add", fid, count, result]:
                    assert subject.add(fid, count) == result, where
                case ["get", fid, result]:
                    assert subject.get(fid) == result, where
                case ["sbf", fid, count, threshold, filtered]:
                    assert subject.sbf(fid, count, threshold) == filtered, where
                case ["stat", stat]:
                    subject.check_stat(stat)
                case ["splits", splits]:
                    subject.check_splits(splits)
                case ["dump", dump]:
                    subject.check_dump(dump)
            operations += 1
    assert operations > 5000


def test_draws_and_acceptance_of_the_original() -> None:
    data = json.loads(shared_path("golden/vectors/filters.json").read_text())
    from monolith_kernels.admission import accepts, draw

    for vector in data["xorshift"]:
        state = np.array([int(vector["s0"], 16), int(vector["s1"], 16)], np.uint64)
        assert [draw(state) for _ in vector["rand32"]] == vector["rand32"]
    for equal, threshold, count, below in data["probabilistic"]["rows"]:
        if below < 1 << 32:
            assert not accepts(below, equal, threshold, count), (equal, threshold, count)
        if below > 0:
            assert accepts(below - 1, equal, threshold, count), (equal, threshold, count)


@pytest.mark.parametrize("equal", [False, True])
def test_probabilistic_batch_draws_only_for_absent_ids(equal: bool) -> None:
    from monolith_kernels.admission import accepts, draw

    rng = np.random.default_rng(3)
    ids = rng.integers(-(2**62), 2**62, 500)
    counts = rng.integers(0, 5, 500)
    present = rng.integers(0, 2, 500).astype(np.uint8)
    thresholds = rng.integers(0, 4, 1 << 15).astype(np.int32)
    state, mirror = np.array([11, 12], np.uint64), np.array([11, 12], np.uint64)
    filtered = np.empty(500, np.uint8)
    dropped = filters.probabilistic_admit(state, equal, ids, counts, thresholds, present, filtered)
    for i in range(500):
        want = False
        if not present[i]:
            want = not accepts(draw(mirror), equal, thresholds[(int(ids[i]) >> 48) & 0x7FFF], int(counts[i]))
        assert filtered[i] == want
    assert dropped == filtered.sum() > 0
    assert state.tolist() == mirror.tolist()


def test_present_ids_and_thresholds_of_zero_are_not_counted() -> None:
    cells, elements, state = np.zeros((5, 100), np.uint16), np.zeros(5, np.int64), np.zeros(3, np.int64)
    ids = np.array([5 << 48, 6 << 48, 7 << 48, -1], np.int64)
    thresholds = np.zeros(1 << 15, np.int32)
    thresholds[[5, 7]] = 2
    filtered = np.empty(4, np.uint8)
    dropped = filters.sliding_admit(
        cells,
        elements,
        state,
        30,
        0,
        ids,
        np.ones(4, np.int64),
        thresholds,
        np.array([1, 0, 0, 0], np.uint8),
        filtered,
    )
    assert (dropped, filtered.tolist(), elements.sum()) == (1, [0, 0, 1, 0], 1)


def test_signature_from_the_hash_separates_small_ids() -> None:
    counted = []
    for options in (0, filters.SIGNATURE_HASH):
        cells, state = np.zeros(90 + 64, np.uint16), np.zeros(3, np.int64)
        ids = np.arange(1, 61)
        filters.hash_add(cells, state, 60, 64, options, ids, np.ones(60, np.int64), np.empty(60, np.int32))
        counted.append(int(state[0]))
    assert counted[0] < 60
    assert counted[1] >= 59
