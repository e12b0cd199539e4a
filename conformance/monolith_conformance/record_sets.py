"""Sets of record files that cases write and read, and the requests that name them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import numpy as np
from monolith_protos import hash_table_pb2, testee_pb2

from monolith_conformance.cases.golden import floats
from monolith_conformance.entries import entry_of
from monolith_conformance.oracle import files
from monolith_conformance.oracle.table import Row
from monolith_conformance.session import Session, Table

__all__ = [
    "SPECIAL",
    "adagrad_row",
    "change_entry",
    "expect_rows",
    "expect_same_entries",
    "golden_records",
    "request",
    "tables",
    "whole_set",
]


def request(op: str, path: Path, table: str, shards: int = 0) -> testee_pb2.Request:
    """A request about files."""
    made = testee_pb2.Request()
    made.files.op, made.files.path, made.files.table, made.files.shards = op, str(path), table, shards
    return made


def tables(named: dict[str, Table]) -> str:
    """The text that names several tables."""
    return " ".join(f"{name}={table.name}" for name, table in named.items())


def adagrad_row(fid: int, weights: Sequence[float], norms: Sequence[float], time: int = 1) -> bytes:
    """The record of a row of one adagrad segment."""
    state = {"norm": np.array(norms, np.float32)}
    return entry_of(Row(fid, np.array(weights, np.float32), [state], time), ["adagrad"])


def change_entry(record: bytes, **changes: Any) -> bytes:
    """A record with fields set to other values (None: taken away)."""
    entry = hash_table_pb2.EntryDump.FromString(record)
    for name, value in changes.items():
        entry.ClearField(name)  # type: ignore[arg-type]
        if isinstance(value, list):
            getattr(entry, name).extend(value)
        elif value is not None:
            setattr(entry, name, value)
    return entry.SerializeToString()


def golden_records(name: str) -> bytes:
    """A file that the original's record writer made."""
    return (resources("monolith_conformance") / "golden" / "records" / name).read_bytes()


def expect_rows(session: Session, table: Table, records: Sequence[bytes]) -> None:
    """The table holds these rows and no others, state and times included."""
    table.op("save")
    session.expect(entries=sorted(records, key=lambda r: hash_table_pb2.EntryDump.FromString(r).id))


def expect_same_entries(session: Session, what: str, found: Sequence[bytes], expected: Sequence[bytes]) -> None:
    """Records in files hold the same rows, in any order; fails the case at its last request."""
    from monolith_conformance.entries import canonical_entry

    pair = [sorted(canonical_entry(record).hex() for record in side) for side in (found, expected)]
    if pair[0] != pair[1]:
        extra = sorted(set(pair[0]) - set(pair[1]))[:1] or [f"{len(found)} rows"]
        missing = sorted(set(pair[1]) - set(pair[0]))[:1] or [f"{len(expected)} rows"]
        session.fail(what, extra[0], missing[0])


def whole_set(prefix: Path, payloads: Sequence[bytes], shards: int = 1) -> Path:
    """A single table's set of these records."""
    files.write_single(prefix, payloads, shards)
    return prefix


SPECIAL = floats("7f800000 7fc00000 80000000 00000001 ff800000")
"""Infinities, NaN, -0.0 and a subnormal number."""
