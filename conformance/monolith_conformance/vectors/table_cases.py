"""Replay of table_traces: operations of one table in order, each result compared bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig
from numpy.typing import NDArray

from monolith_conformance.oracle.table import Row
from monolith_conformance.vectors.registry import Outcome, Setting, judged, replays
from monolith_conformance.vectors.table_legs import TableLeg, table_leg
from monolith_conformance.vectors.words import first_difference
from monolith_ref.quirks import Quirks

__all__ = ["NOW", "replay_case"]

NOW = 4_000_000_000
"""Stands for the wall clock of a trace: later than any of its evictions."""

F4 = NDArray[np.float32]


def _words(words: Sequence[str]) -> F4:
    return np.array([int(word, 16) for word in words], np.uint32).view(np.float32)


def _matrix(rows: Sequence[Sequence[str]], dim: int) -> F4:
    return np.array([_words(row) for row in rows], np.float32).reshape(len(rows), dim)


def _time(value: Any) -> int:
    return NOW if value == "now" else int(value)


def _field(value: Any) -> Any:
    if isinstance(value, list):
        return _words(value)
    return _words([value])[0] if isinstance(value, str) else np.int64(value)


def _row(saved: Mapping[str, Any], fid: int) -> tuple[Row, list[str]]:
    """A row, and the rule of each dump element."""
    rules = [next(iter(element)) for element in saved.get("opt", [])]
    opt = [
        {name: _field(value) for name, value in element[rule].items()}
        for rule, element in zip(rules, saved.get("opt", []), strict=True)
    ]
    return Row(fid, _words(saved["num"]), opt, _time(saved.get("ts", 0))), rules


def _compare_row(got: Row, saved: Mapping[str, Any], rules: list[str]) -> str:
    wanted, names = _row(saved, got.id)
    if got.ts != wanted.ts:
        return f"row {got.id}: time {got.ts}, expected {wanted.ts}"
    note = first_difference(f"row {got.id} num", got.num, wanted.num)
    dumped = [(rule, state) for rule, state in zip(rules, got.opt, strict=True) if rule != "moving_average"]
    if not note and [rule for rule, _ in dumped] != names:
        return f"row {got.id}: dump elements {[rule for rule, _ in dumped]}, expected {names}"
    for (rule, state), expected in zip(dumped, wanted.opt, strict=True):
        if set(state) != set(expected):
            return f"row {got.id}: {rule} has {sorted(state)}, expected {sorted(expected)}"
        for name, value in expected.items():
            note = note or first_difference(f"row {got.id} {rule}.{name}", np.asarray(state[name]), np.asarray(value))
    return note


class _Trace:
    """One case on one leg."""

    def __init__(self, case: Mapping[str, Any], leg: TableLeg, config: EmbeddingHashTableConfig) -> None:
        self.leg = leg
        self.dim = case["dim"]
        self.rules = [s.opt_config.WhichOneof("type") or "" for s in config.entry_config.segments]

    def run(self, op: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
        ids = [int(fid) for fid in op.get("ids", [])]
        handler: Callable[[Any, list[int], Any], str] | None = getattr(self, "_" + op["op"], None)
        if handler is None:
            raise ValueError(f"unknown operation {op['op']!r}")
        return handler(op, ids, expected)

    def _size(self, op: Any, ids: list[int], expected: Any) -> str:
        got = self.leg.size()
        return "" if got == expected["size"] else f"{got} rows, expected {expected['size']}"

    def _contains(self, op: Any, ids: list[int], expected: Any) -> str:
        got = self.leg.contains(ids)
        return "" if got == expected["contains"] else f"contains {got}, expected {expected['contains']}"

    def _lookup(self, op: Any, ids: list[int], expected: Any) -> str:
        found, rows = self.leg.lookup(ids)
        if found != expected["found"]:
            return f"found {found}, expected {expected['found']}"
        return first_difference("rows", rows, _matrix(expected["rows"], self.dim))

    def _assign(self, op: Any, ids: list[int], expected: Any) -> str:
        self.leg.assign(ids, _matrix(op["rows"], self.dim), op["time"])
        return ""

    def _assign_add(self, op: Any, ids: list[int], expected: Any) -> str:
        self.leg.assign_add(ids, _matrix(op["rows"], self.dim), op["time"])
        return ""

    def _optimize(self, op: Any, ids: list[int], expected: Any) -> str:
        grads = _matrix(op["grads"], self.dim)
        self.leg.optimize(ids, grads, _words(op["lrs"]), op["time"], op.get("global_step", 0))
        return ""

    def _reinitialize(self, op: Any, ids: list[int], expected: Any) -> str:
        got = self.leg.reinitialize(ids, NOW)
        return "" if got == expected["status"] else f"status {got}, expected {expected['status']}"

    def _evict(self, op: Any, ids: list[int], expected: Any) -> str:
        self.leg.evict(op["now"])
        return ""

    def _clear(self, op: Any, ids: list[int], expected: Any) -> str:
        self.leg.clear()
        return ""

    def _lookup_entry(self, op: Any, ids: list[int], expected: Any) -> str:
        entries = expected["entries"]
        known = self.leg.contains(ids)
        if known != [entry is not None for entry in entries]:
            return f"entries present {known}, expected {[entry is not None for entry in entries]}"
        for fid, entry in zip(ids, entries, strict=True):
            note = "" if entry is None else _compare_row(self.leg.entry(fid), entry, self.rules)
            if note:
                return note
        return ""

    def _save(self, op: Any, ids: list[int], expected: Any) -> str:
        rows = self.leg.dump()
        wanted = [int(row["id"]) for row in expected["rows"]]
        if [row.id for row in rows] != wanted:
            return f"saved ids {[row.id for row in rows][:20]}, expected {wanted[:20]}"
        for row, saved in zip(rows, expected["rows"], strict=True):
            note = _compare_row(row, saved, self.rules)
            if note:
                return note
        return ""

    def _restore(self, op: Any, ids: list[int], expected: Any) -> str:
        latest = self.leg.restore([self._given(saved) for saved in op["rows"]])
        wanted = expected["max_update_time"]
        return "" if latest == wanted else f"maximum time {latest}, expected {wanted}"

    def _given(self, saved: Mapping[str, Any]) -> Row:
        """A row to restore, with one (possibly empty) state per segment."""
        row, _ = _row(saved, int(saved["id"]))
        states = iter(row.opt)
        row.opt = [{} if rule in ("moving_average", "") else next(states, {}) for rule in self.rules]
        return row


def replay_case(case: Mapping[str, Any], setting: Setting, quirks: Quirks) -> str:
    """The first difference of a trace, or nothing."""
    config = EmbeddingHashTableConfig.FromString(bytes.fromhex(case["config_hex"]))
    trace = _Trace(case, table_leg(config, setting.target, setting.profile, quirks), config)
    for number, op in enumerate(case["ops"]):
        expected = op.get("result", {})
        if setting.profile == "avx":
            expected = op.get("result_avx", expected)
        note = trace.run(op, expected)
        if note:
            return f"op {number} ({op['op']}): {note}"
    return ""


def _is_trace_file(document: dict[str, Any]) -> bool:
    cases = document.get("cases")
    return isinstance(cases, list) and bool(cases) and all("config_hex" in case and "ops" in case for case in cases)


@replays("table_traces*", when=_is_trace_file)
def _replay(document: dict[str, Any], setting: Setting) -> Iterator[Outcome]:
    for case in document["cases"]:

        def run(case: Mapping[str, Any] = case) -> str:
            for label, text in setting.switch_sets(case.get("quirks")):
                note = replay_case(case, setting, Quirks.parse(text))
                if note:
                    return f"[quirks {label}] {note}"
            return ""

        yield from judged(case["name"], "table", run)
