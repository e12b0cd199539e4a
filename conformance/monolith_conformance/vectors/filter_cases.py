"""Replay of filters: hashes, traces of hash and sliding filters, draws, sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from monolith_kernels import hashing

from monolith_conformance.oracle import filters as oracle
from monolith_conformance.vectors.registry import Outcome, Setting, judged, replays
from monolith_ref.quirks import Quirks
from monolith_ref.table import admission

__all__ = ["filter_of"]

_PRIME, _MASK = 1099511628211, (1 << 64) - 1


def _bits(case: Mapping[str, Any]) -> int | None:
    """Cell bits of a stand-alone filter; None for a sliding one."""
    return {"HashFilter<uint8>": 8, "HashFilter<uint16>": 16, "SlidingHashFilter": None}[case["filter"]]


def filter_of(case: Mapping[str, Any], target: str, quirks: Quirks) -> Any:
    """The filter of a case on a leg."""
    bits = _bits(case)
    if target == "oracle":
        if bits is None:
            return oracle.OracleSlidingFilter(case["capacity"], case["split_num"], case["hash"], quirks.names)
        return oracle.OracleHashFilter(case["capacity"], case["fill_rate"], bits, case["hash"], quirks.names)
    if bits is None:
        return admission.SlidingHashFilter(case["capacity"], case["split_num"], hash=case["hash"], quirks=quirks)
    return admission.HashFilter(case["capacity"], case["fill_rate"], bits=bits, hash=case["hash"], quirks=quirks)


def _splits(filtered: Any) -> list[tuple[int, int, list[int], int]]:
    """(total_size, elements, cells, failures) of every split of either leg's filter."""
    if isinstance(filtered, oracle.OracleHashFilter):
        parts = [filtered.split]
    elif isinstance(filtered, oracle.OracleSlidingFilter):
        parts = filtered.splits
    else:
        state = filtered.export_state()
        return [
            (state.total_size, state.num_elements[k], cells.tolist(), state.failures[k])
            for k, cells in enumerate(state.cells)
        ]
    return [(part.total_size, part.num_elements, part.cells, part.failure_count) for part in parts]


def _checksum(cells: list[int]) -> str:
    total = 0
    for cell in cells:
        total = (total * _PRIME + cell) & _MASK
    return f"{total:016x}"


def _summary(filtered: Any) -> list[list[Any]]:
    return [[elements, sum(c != 0 for c in cells), _checksum(cells)] for _, elements, cells, _ in _splits(filtered)]


def _dumps(filtered: Any, capacity: int) -> list[dict[str, Any]]:
    return [
        {
            "total_size": total,
            "num_elements": elements,
            "failure_count": failures,
            "full": elements >= capacity - 1,
            "cells": [[at, cell] for at, cell in enumerate(cells) if cell],
        }
        for total, elements, cells, failures in _splits(filtered)
    ]


def _stat(filtered: Any, case: Mapping[str, Any]) -> dict[str, Any]:
    splits = _splits(filtered)
    sliding = _bits(case) is None
    width = 1 if _bits(case) == 8 else 2
    size_mb = len(splits[0][2]) * width // (1 << 20) * len(splits)
    capacity = max(case["capacity"], 300) if sliding else case["capacity"]
    stat = {
        "elements": sum(part[1] for part in splits),
        "failures": filtered.failure_count if sliding else splits[0][3],
        "size_mb": size_mb,
        "split_num": filtered.split_num if sliding else 0,
        "exceed_limit": not sliding and splits[0][1] >= capacity,
        "capacity": capacity,
    }
    if sliding:
        stat |= {"head": filtered.head, "head_increment": filtered.head_increment}
    return stat


def _run_trace(case: Mapping[str, Any], setting: Setting, quirks: Quirks) -> str:
    filtered = filter_of(case, setting.target, quirks)
    capacity = filtered.split_capacity if hasattr(filtered, "split_capacity") else case["capacity"]
    if isinstance(filtered, oracle.OracleSlidingFilter):
        capacity = filtered.splits[0].capacity

    def differs(what: str, got: Any, expected: Any) -> str:
        return "" if got == expected else f"{what}: {got!r}, expected {expected!r}"

    for number, (name, *arguments) in enumerate(case["trace"]):
        expected = arguments[-1]
        got: Any
        if name == "add":
            got = filtered.add(arguments[0], arguments[1])
        elif name == "get":
            got = filtered.get(arguments[0])
        elif name == "sbf":
            got = bool(filtered.should_be_filtered(arguments[0], arguments[1], arguments[2]))
        elif name == "stat":
            got = _stat(filtered, case)
        elif name == "splits":
            got = _summary(filtered)
        elif name == "dump":
            dumps = _dumps(filtered, capacity)
            got = dumps if isinstance(expected, list) else dumps[0]
        elif name == "clone":
            if not hasattr(filtered, "clone"):
                continue
            twin = filtered.clone()
            got = {"equal": twin == filtered, "failures": twin.failure_count}
        else:
            raise ValueError(f"unknown operation {name!r}")
        note = differs(f"op {number} {name}", got, expected)
        if note:
            return note
    final = case.get("final", {})
    note = differs("final stat", _stat(filtered, case), final["stat"]) if "stat" in final else ""
    if not note and "splits" in final:
        note = differs("final splits", _summary(filtered), final["splits"])
    if not note and "state" in final:
        dumps = _dumps(filtered, capacity)
        note = differs("final state", dumps if isinstance(final["state"], list) else dumps[0], final["state"])
    return note


def _hashes(rows: list[list[str]], setting: Setting) -> str:
    for fid, expected in rows:
        signed = np.array([int(fid)], np.uint64).view(np.int64)
        if setting.target == "oracle":
            got = oracle.splitmix64(int(fid))
        else:
            got = int(hashing.splitmix64(np.uint64(signed.view(np.uint64)[0])))
        if f"{got:016x}" != expected:
            return f"hash of {fid}: {got:016x}, expected {expected}"
    return ""


def _draws(rows: list[Mapping[str, Any]], setting: Setting) -> str:
    for row in rows:
        generator = oracle.OracleProbabilisticFilter(seed=int(row["seed"]))
        if setting.target != "oracle":
            state = admission.ProbabilisticFilter(seed=int(row["seed"])).export_state().generator
            if state != tuple(generator.state):
                return f"seed {row['seed']}: state {state}, expected {generator.state}"
        if [f"{word:016x}" for word in generator.state] != [row["s0"], row["s1"]]:
            return f"seed {row['seed']}: state {generator.state}"
        got = [generator.draw() for _ in row["rand32"]]
        if got != row["rand32"]:
            return f"seed {row['seed']}: draws {got}, expected {row['rand32']}"
    return ""


class _Nobody:
    """A table without rows."""

    def has(self, fid: int) -> bool:
        return False

    def contains(self, ids: Any) -> Any:
        return np.zeros(len(ids), np.bool_)


def _state_before(draw: int) -> tuple[int, int]:
    """A generator state whose next draw is ``draw``: s0 = 0 makes it s1 ^ (s1 >> 26) + s1, so search is not needed."""
    # With a = s0 = 0 the new word is b ^ (b >> 26), and the draw its sum with b: solve bit by bit from below.
    b = 0
    for bit in range(32):
        for value in (0, 1):
            trial = b | value << bit
            if ((trial + (trial ^ (trial >> 26))) ^ draw) & ((1 << (bit + 1)) - 1) == 0:
                b = trial
                break
    return 0, b


def _probabilities(rows: list[list[Any]], setting: Setting) -> str:
    for equal, threshold, count, below in rows:
        if setting.target == "oracle":
            got = oracle.accept_below(equal, threshold, count)
            if got != below:
                return f"equal {equal}, T {threshold}, count {count}: {got} draws admit, expected {below}"
            continue
        filtered = admission.ProbabilisticFilter(equal)
        for draw, admitted in ((below - 1, True), (below, False)):
            if not 0 <= draw < 1 << 32:
                continue
            made = _draw_state(draw)
            if made is None:
                continue
            filtered.import_state(admission.FilterState("probabilistic", generator=made))
            if filtered.should_be_filtered(1, count, threshold, _Nobody()) == admitted:
                return f"equal {equal}, T {threshold}, count {count}: draw {draw} is judged wrongly"
    return ""


def _draw_state(draw: int) -> tuple[int, int] | None:
    state = _state_before(draw)
    probe = oracle.OracleProbabilisticFilter()
    probe.state = list(state)
    return state if probe.draw() == draw else None


def _sizes(rows: list[Mapping[str, int]]) -> str:
    for row in rows:
        capacity, split_num = row["capacity"], row["split_num"]
        got = {
            "hash8": admission.size_byte(capacity, cell_bytes=1),
            "hash16": admission.size_byte(capacity, cell_bytes=2),
            "sliding": admission.sliding_size_byte(capacity, split_num),
            "split_capacity": max(capacity, 300) // (max(split_num, 5) - 1),
        }
        for name, value in got.items():
            if value != row[name]:
                return f"capacity {capacity}, {split_num} splits: {name} {value}, expected {row[name]}"
    return ""


def _is_filter_file(document: dict[str, Any]) -> bool:
    cases = document.get("cases")
    return isinstance(cases, list) and bool(cases) and all("filter" in case and "trace" in case for case in cases)


@replays("filters*", when=_is_filter_file)
def _replay(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    for case in document["cases"]:

        def run(case: Mapping[str, Any] = case) -> str:
            for label, text in setting.switch_sets(case.get("quirks")):
                note = _run_trace(case, setting, Quirks.parse(text))
                if note:
                    return f"[quirks {label}] {note}"
            return ""

        yield from judged(case["name"], "filter", run)
    if "splitmix64" in document:
        yield from judged("splitmix64", "filter hash", lambda: _hashes(document["splitmix64"], setting))
    if "xorshift" in document:
        yield from judged("xorshift", "filter draws", lambda: _draws(document["xorshift"], setting))
    if "probabilistic" in document:
        rows = document["probabilistic"]["rows"]
        yield from judged("probabilistic", "filter draws", lambda: _probabilities(rows, setting))
    if "size" in document:
        yield from judged("size", "filter sizes", lambda: _sizes(document["size"]))
