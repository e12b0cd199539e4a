"""Tables as machines: generated operations in any order, on a backend and on the oracle, compared at every step."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from monolith_protos import hash_table_pb2

from monolith_conformance.backends.tables import COMPRESSORS, RULES, TABLE_OPS
from monolith_conformance.cases.case import Case, register
from monolith_conformance.cases.generated_rows import segments
from monolith_conformance.cases.golden import table_config
from monolith_conformance.generating import exploring, float_lists, numbers, rates, words
from monolith_conformance.mirror import Mirror, MirroredTable
from monolith_conformance.session import Session

__all__ = ["DAY", "IDS", "Op", "table_ops"]

DAY = 86_400
IDS = [1, 2, (1 << 48) | 1, (2 << 48) | 9, (32767 << 48) | 3, -1, -(1 << 63), (1 << 63) - 1]
TIMES = [0, 1, DAY - 1, DAY, DAY + 1, 2 * DAY, 5 * DAY, (1 << 32) - 1]
Op = tuple[str, list[int], Any, Any, int, int, bool]
"""Operation, ids, floats, rates, time, global step, dedup."""

TRAINING = (
    "assign",
    "assign_add",
    "optimize",
    "optimize",
    "lookup",
    "reinitialize",
    "evict",
    "restore",
    "clear",
    "contains",
)
SERVING = ("assign", "assign", "assign_add", "lookup", "evict", "contains", "clear", "size")


@st.composite
def table_ops(draw: st.DrawFn, dim: int, count: int, names: tuple[str, ...], most: int = 12) -> list[Op]:
    """Operations on a table of ``dim`` floats and ``count`` segments."""
    ops: list[Op] = []
    for _ in range(draw(st.integers(1, most))):
        name = draw(st.sampled_from(names))
        ids = draw(st.lists(st.sampled_from(IDS), min_size=0 if name == "optimize" else 1, max_size=6))
        if name in ("assign", "assign_add", "optimize"):
            floats: Any = draw(float_lists(len(ids) * dim, words() if draw(st.booleans()) else numbers()))
        else:
            floats = ()
        rate = draw(float_lists(count, rates())) if name == "optimize" else ()
        time, step = draw(st.sampled_from(TIMES)), draw(st.integers(0, 500))
        ops.append((name, ids, floats, rate, time, step, draw(st.booleans())))
    return ops


def play_ops(table: MirroredTable, ops: list[Op]) -> None:
    """Send operations to both sides; a restore takes rows that an earlier operation left, with its time."""
    for name, ids, floats, rate, time, step, dedup in ops:
        if name == "restore":
            rows = [_older(row, time) for row in table.op("save").entries]
            table.op("restore", entries=[*rows[::2], *rows[:3]])
        elif name == "optimize":
            table.op(name, ids, floats, rate, time=time, global_step=step, dedup=dedup)
        else:
            table.op(name, ids, floats, time=time)


def _older(row: bytes, time: int) -> bytes:
    entry = hash_table_pb2.EntryDump.FromString(row)
    entry.last_update_ts_sec = time
    return entry.SerializeToString()


@st.composite
def _expiring(draw: st.DrawFn, config: hash_table_pb2.EmbeddingHashTableConfig) -> Any:
    expiry = config.slot_expire_time_config
    expiry.default_expire_time = draw(st.sampled_from([0, 1, 2, 36_500]))
    for slot, days in draw(st.lists(st.tuples(st.sampled_from([0, 1, 2, 32767]), st.integers(0, 3)), max_size=3)):
        expiry.slot_expire_times.add(slot=slot, expire_time=days)
    config.initial_capacity = draw(st.sampled_from([0, 1, 16]))
    return config


@st.composite
def _training(draw: st.DrawFn, random: bool) -> tuple[Any, list[Op]]:
    made = draw(segments(("sgd",) if random else RULES, most=2, widest=5))
    for segment in made:
        kind = "random_uniform" if random else draw(st.sampled_from(["zeros", "ones", "constants"]))
        segment["initializer"] = {"kind": kind, "config": {"constant": 0.75} if kind == "constants" else {}}
    config = draw(_expiring(table_config(made)))
    return config, draw(table_ops(sum(segment["dim"] for segment in made), len(made), TRAINING))


@st.composite
def _serving(draw: st.DrawFn) -> tuple[Any, list[Op]]:
    kinds = draw(st.lists(st.sampled_from(COMPRESSORS), min_size=1, max_size=2))
    made: list[dict[str, Any]] = [
        {"dim": draw(st.integers(1, 4)), "compressor": {"kind": kind, "config": {}}} for kind in kinds
    ]
    config = draw(_expiring(table_config(made, serving=True)))
    config.skip_zero_embedding = draw(st.booleans())
    return config, draw(table_ops(sum(segment["dim"] for segment in made), len(made), SERVING))


def _play(session: Session, example: tuple[Any, list[Op]]) -> None:
    config, ops = example
    table = Mirror(session).table(config)
    play_ops(table, ops)
    table.op("lookup", IDS)
    table.op("size")
    if config.entry_config.entry_type != hash_table_pb2.EntryConfig.SERVING:
        table.op("save")
        table.op("lookup_entry", IDS)


@st.composite
def _two_tables(draw: st.DrawFn) -> list[tuple[int, Op]]:
    widths = (2, 3)
    found: list[tuple[int, Op]] = []
    for _ in range(draw(st.integers(1, 8))):
        which = draw(st.integers(0, 1))
        found += [(which, op) for op in draw(table_ops(widths[which], 1, ("assign", "optimize", "lookup"), 2))]
    return found


def _play_two(session: Session, example: list[tuple[int, Op]]) -> None:
    mirror = Mirror(session)
    made: list[dict[str, Any]] = [{"dim": dim, "rule": "sgd", "config": {}} for dim in (2, 3)]
    for segment in made:
        segment["initializer"] = {"kind": "random_uniform", "config": {}}
    tables = [mirror.table(table_config([segment])) for segment in made]
    for which, op in example:
        play_ops(tables[which], [op])
    for table in tables:
        table.op("lookup", IDS)


def _register() -> None:
    every = {f"table.{op}" for op in TABLE_OPS} | {"expiry"}
    rules = {f"optimizer.{rule}" for rule in RULES}
    kept = {"initializer.zeros", "initializer.ones", "initializer.constants"}
    register(
        Case(
            id="table/operations/generated",
            rule="operations in any order leave the rows, states and times that the oracle has",
            section="tables 1, 2, 5",
            judge=exploring(_training(False), _play, quick=60, full=1200),
            needs=frozenset(every | rules | kept),
            generated=True,
        )
    )
    register(
        Case(
            id="table/operations/generated-with-draws",
            rule="operations in any order draw random numbers as often as the oracle does, and in the same order",
            section="tables 1, optimizers 5",
            judge=exploring(_training(True), _play, quick=25, full=400, fresh=True),
            needs=frozenset(every | {"optimizer.sgd", "initializer.random_uniform"}),
            generated=True,
        )
    )
    register(
        Case(
            id="table/operations/generated-serving",
            rule="serving rows are assigned, added to, erased and evicted as the oracle's",
            section="tables 4, 5",
            judge=exploring(_serving(), _play, quick=40, full=800),
            needs=frozenset(
                {"table.serving", "table.assign", "table.assign_add", "table.lookup", "table.evict", "table.contains",
                 "table.clear", "table.size", "expiry", *(f"compressor.{kind}" for kind in COMPRESSORS)}
            ),
            generated=True,
        )
    )  # fmt: skip
    register(
        Case(
            id="table/multi/generated",
            rule="two tables share a stream of random numbers and nothing else",
            section="tables 6, 8",
            judge=exploring(_two_tables(), _play_two, quick=15, full=300, fresh=True),
            needs=frozenset(
                {"table.multi", "table.assign", "table.optimize", "table.lookup", "optimizer.sgd"}
                | {"initializer.random_uniform"}
            ),
            generated=True,
        )
    )


_register()
