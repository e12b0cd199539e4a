"""Measured traces of whole tables: every operation's result, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2

from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.golden import golden
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle.table import Row
from monolith_conformance.session import Session, Table

__all__: list[str] = []

NOW = 4_000_000_000
"""The clock of ``reinitialize``: later than every ``evict`` of the traces."""


def _words(values: Any) -> Any:
    """Nested lists of words as float32 arrays."""
    flat = [word for row in values for word in (row if isinstance(row, list) else [row])]
    return np.array([int(word, 16) for word in flat], np.uint32).view(np.float32)


def _row(data: Mapping[str, Any], rules: Sequence[str]) -> Row:
    dumps = iter(data.get("opt", []))
    states = [{} if rule == "moving_average" else _state(next(dumps)[rule]) for rule in rules] if "opt" in data else []
    time = NOW if data.get("ts") == "now" else int(data.get("ts", 0))
    return Row(int(data.get("id", 0)), _words(data["num"]), states, time)


def _state(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _words(value) if isinstance(value, list) else _words([value])[0] if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _play(session: Session, table: Table, rules: Sequence[str], op: Mapping[str, Any]) -> None:
    name = op["op"]
    ids = [int(fid) for fid in op.get("ids", [])]
    result: Any = op.get("result")
    if session.profile == "avx" and "result_avx" in op:
        result = op["result_avx"]
    if name in ("assign", "assign_add"):
        table.op(name, ids, _words(op["rows"]), time=op["time"])
    elif name == "optimize":
        table.op(name, ids, _words(op["grads"]), _words(op["lrs"]), time=op["time"])
    elif name == "restore":
        table.op(name, entries=[_restored(row, rules) for row in op["rows"]])
        session.expect(ints=[result["max_update_time"]])
    elif name in ("evict", "reinitialize"):
        table.op(name, ids, time=op["now"] if name == "evict" else NOW)
        if name == "reinitialize":
            session.expect(ints=result["status"])
    else:
        table.op(name, ids)
        _expect(session, rules, name, result)


def _restored(row: Mapping[str, Any], rules: Sequence[str]) -> bytes:
    if "opt" not in row:  # A serving row: numbers and time alone.
        entry = hash_table_pb2.EntryDump(id=int(row["id"]), num=_words(row["num"]).tolist())
        entry.last_update_ts_sec = int(row.get("ts", 0))
        return entry.SerializeToString()
    return entry_of(_row(row, rules), rules)


def _expect(session: Session, rules: Sequence[str], name: str, result: Any) -> None:
    if name == "lookup":
        session.expect(floats=_words(result["rows"]), ints=[result["found"]])
    elif name == "contains":
        session.expect(flags=result["contains"])
    elif name == "size":
        session.expect(ints=[result["size"]])
    elif name == "lookup_entry":
        entries = [
            b"" if row is None else entry_of(_row(row, rules), rules, with_id=False) for row in result["entries"]
        ]
        session.expect(entries=entries)
    elif name == "save":
        session.expect(entries=[entry_of(_row(row, rules), rules) for row in result["rows"]])


def _register(case: Mapping[str, Any]) -> None:
    config = hash_table_pb2.EmbeddingHashTableConfig.FromString(bytes.fromhex(case["config_hex"]))
    segments = config.entry_config.segments
    serving = config.entry_config.entry_type == hash_table_pb2.EntryConfig.SERVING
    rules = [] if serving else [str(segment.opt_config.WhichOneof("type")) for segment in segments]
    needs = {f"table.{op['op']}" for op in case["ops"]}
    needs |= {f"optimizer.{rule}" for rule in rules}
    for segment in segments:
        if segment.HasField("init_config"):
            needs.add(f"initializer.{segment.init_config.WhichOneof('type')}")
        if segment.HasField("comp_config"):
            needs.add(f"compressor.{segment.comp_config.WhichOneof('type')}")
    if serving:
        needs.add("table.serving")
    if "table.evict" in needs:
        needs.add("expiry")

    def judge(session: Session) -> None:
        table = session.table(config)
        for op in case["ops"]:
            _play(session, table, rules, op)

    register(
        Case(
            id=f"table/trace/{case['name']}",
            rule="a whole trace of operations gives the measured results",
            section="tables 1, 4, 5",
            judge=judge,
            needs=frozenset(needs),
            quirks=frozenset(case["quirks"]),
            fresh=True,
        )
    )


for _case in golden("table_traces")["cases"]:
    _register(_case)
