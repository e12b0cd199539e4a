"""Files on generated content: rows into files and back, dumps with damage, slices of graphs, against the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from monolith_protos import graph_pb2, model_dump_pb2

from monolith_conformance.backends.tables import RULES
from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.dumps import dump, golden_bytes
from monolith_conformance.cases.generated_rows import segments
from monolith_conformance.cases.generated_tables import IDS
from monolith_conformance.cases.golden import table_config
from monolith_conformance.entries import entry_of
from monolith_conformance.generating import exploring, float_lists
from monolith_conformance.mirror import Mirror
from monolith_conformance.oracle import files
from monolith_conformance.oracle.rules import initial
from monolith_conformance.oracle.table import Row, segments_of
from monolith_conformance.record_sets import expect_rows, expect_same_entries, request, tables
from monolith_conformance.session import Session

__all__: list[str] = []

KEPT = tuple(rule for rule in RULES if rule != "adam")
"""Rules whose rows are restored as they were saved under every preset."""


@st.composite
def _rows(draw: st.DrawFn, made: list[dict[str, Any]]) -> list[bytes]:
    """Records of a table of these segments, with any weights and state."""
    parts = segments_of(table_config(made))
    records = []
    for fid in draw(st.lists(st.sampled_from(IDS), unique=True, max_size=8)):
        states = []
        for part in parts:
            state = dict(initial(part.rule, part.config, part.dim))
            for name, value in state.items():
                if isinstance(value, np.ndarray):
                    state[name] = draw(float_lists(len(value)))
                elif isinstance(value, int):
                    state[name] = draw(st.integers(0, 1 << 40))
            states.append(state)
        weights = draw(float_lists(sum(part.dim for part in parts)))
        row = Row(fid, weights, states, draw(st.integers(0, 1 << 31)))  # Too near to one another to be stale.
        records.append(entry_of(row, [part.rule for part in parts]))
    return records


@st.composite
def _sets(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[bytes], int, int]:
    made = draw(segments(KEPT, most=3, widest=6))
    return made, draw(_rows(made)), draw(st.integers(1, 4)), draw(st.integers(0, 4))


def _single(session: Session, example: tuple[list[dict[str, Any]], list[bytes], int, int]) -> None:
    made, records, theirs, ours = example
    folder, table = session.folder(), session.table(table_config(made))
    files.write_single(folder / "in", records, theirs)
    session.ask(request("single.read", folder / "in", table.name))
    session.expect(ints=[len(records)])
    expect_rows(session, table, records)
    session.ask(request("single.write", folder / "out", table.name, ours))
    session.expect(ints=[len(records)])
    try:
        found = files.read_single(folder / "out")
    except files.DamagedFile as error:
        session.fail("files", error, "a set that can be read")
        return
    expect_same_entries(session, "rows in the files", found, records)


@st.composite
def _multi_sets(draw: st.DrawFn) -> tuple[list[tuple[list[dict[str, Any]], list[bytes]]], int]:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        made = draw(segments(KEPT, most=2, widest=4))
        found.append((made, draw(_rows(made))))
    return found, draw(st.integers(1, 3))


def _multi(session: Session, example: tuple[list[tuple[list[dict[str, Any]], list[bytes]]], int]) -> None:
    content, shards = example
    folder = session.folder()
    named = {f"t{k}": session.table(table_config(made)) for k, (made, _) in enumerate(content)}
    records = {f"t{k}": rows for k, (_, rows) in enumerate(content)}
    files.write_multi(folder / "in", records, shards)
    session.ask(request("multi.read", folder / "in", tables(named)))
    session.expect(ints=[len(rows) for rows in records.values()])
    session.ask(request("multi.write", folder / "out", tables(named), shards))
    try:
        found = files.read_multi(folder / "out")
    except files.DamagedFile as error:
        session.fail("files", error, "a set that can be read")
        return
    for name, rows in records.items():
        expect_rows(session, named[name], rows)
        expect_same_entries(session, f"rows of {name}", found.get(name, []), rows)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A small dump with bytes changed, taken out, or put in."""
    data = bytearray(golden_bytes(draw(st.sampled_from(["odd_encoding.pb", "foreign_fields.pb"]))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1))
        kind = draw(st.sampled_from(["change", "change", "take", "put", "cut", "twice"]))
        if kind == "change":
            data[at] = draw(st.integers(0, 255))
        elif kind == "take":
            del data[at : at + draw(st.integers(1, 3))]
        elif kind == "put":
            data[at:at] = draw(st.binary(min_size=1, max_size=3))
        elif kind == "cut":
            del data[at:]
        else:
            data += data[at : at + 40]
        if not data:
            break
    return bytes(data)


def _canonical(session: Session, data: bytes) -> None:
    mirror = Mirror(session)
    mirror.ask(dump("canonical", data))
    mirror.ask(dump("read", data))


@st.composite
def _slices(draw: st.DrawFn) -> tuple[bytes, str]:
    """A graph of a few nodes, mostly without cycles, and what to cut out of it."""
    count = draw(st.integers(1, 7))
    graph = graph_pb2.GraphDef()
    for number in range(count):
        node = graph.node.add(name=f"n{number}", op=draw(st.sampled_from(["Add", "VarHandleOp", "NextIteration", "f"])))
        for _ in range(draw(st.integers(0, 3))):
            source = draw(st.integers(0, count - 1 if draw(st.integers(0, 9)) == 0 else max(number - 1, 0)))
            node.input.append(draw(st.sampled_from([f"n{source}", f"n{source}:1", f"^n{source}"])))
    function = graph.library.function.add()
    function.signature.name = "f"
    message = model_dump_pb2.ModelDump()
    message.model_dump["train"].graph_def = graph.SerializeToString(deterministic=True)
    reference = st.builds(
        lambda form, k: form.format(k), st.sampled_from(["n{}", "n{}:0", "n{}:1", "^n{}"]), st.integers(0, count - 1)
    )
    lines = ["graph model_dump train", *(f"dest {ref}" for ref in draw(st.lists(reference, min_size=1, max_size=3)))]
    lines += [f"source {ref}" for ref in draw(st.lists(reference, max_size=3))]
    return message.SerializeToString(), "\n".join(lines)


def _slice(session: Session, example: tuple[bytes, str]) -> None:
    Mirror(session).ask(dump("slice", *example))


def _add(id: str, rule: str, section: str, judge: Any, needs: set[str]) -> None:
    register(
        Case(id=id, rule=rule, section=section, judge=judge, needs=frozenset(needs), generated=True, accuracy="exact")
    )


def _register() -> None:
    rows = {f"optimizer.{rule}" for rule in KEPT} | {"initializer.zeros", "table.save"}
    _add(
        "checkpoint/single/generated",
        "generated rows, of any optimizers, go into files and back without a changed bit",
        "checkpoints 4.2, 4.3",
        exploring(_sets(), _single, quick=15, full=300),
        rows | {"checkpoint.single.read", "checkpoint.single.write"},
    )
    _add(
        "checkpoint/multi/generated",
        "generated tables go into compressed files and back without a changed bit",
        "checkpoints 4.2, 4.4",
        exploring(_multi_sets(), _multi, quick=12, full=150),
        rows | {"checkpoint.multi.read", "checkpoint.multi.write", "table.multi"},
    )
    _add(
        "dump/canonical/generated",
        "a dump with changed bytes is refused, or has the oracle's canonical form",
        "model_dump 2.4, 7.5",
        exploring(_damaged(), _canonical, quick=80, full=3000),
        {"dump.canonical", "dump.read"},
    )
    _add(
        "dump/slice/generated",
        "slices of generated graphs are the oracle's, or refused where it refuses",
        "model_dump 3.3",
        exploring(_slices(), _slice, quick=60, full=1500),
        {"dump.slice"},
    )


_register()
