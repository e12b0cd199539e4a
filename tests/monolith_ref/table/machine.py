"""A state machine over several tables that share a filter and random streams, against dictionaries.

Every rule acts on the engine and on the oracle, and every step ends with a comparison of everything that both hold:
ids, weights, state, times, maximum times, draws and filter counts. ``EVENTS`` counts what has really happened.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from monolith_conformance.oracle.filters import OracleSlidingFilter
from monolith_conformance.oracle.table import OracleTable, Row
from monolith_conformance.vectors.table_legs import dump_of, rows_of_dump
from monolith_kernels import target as make_target

from monolith_ref.entry import (
    AdagradOptimizer,
    AdamOptimizer,
    ConstantsInitializer,
    FixedR8Compressor,
    Fp16Compressor,
    FtrlOptimizer,
    OneBitCompressor,
    RandomUniformInitializer,
    SgdOptimizer,
    StochasticRoundingFloat16OptimizerWrapper,
)
from monolith_ref.quirks import Quirks
from monolith_ref.table.admission import SlidingHashFilter
from monolith_ref.table.core import Table
from monolith_ref.table.streams import RandomStreams
from monolith_ref.table.thresholds import slot_thresholds

from .support import DAY, message, part

EVENTS: Counter[str] = Counter()

CONFIGS = {
    "two": message(
        part(1, FtrlOptimizer(beta=1.0, l1_regularization=0.01)),
        part(3, AdagradOptimizer(), RandomUniformInitializer()),
        days={1: 1, 2: 0},
        default_days=3,
    ),
    "rounded": message(
        part(2, StochasticRoundingFloat16OptimizerWrapper(SgdOptimizer()), ConstantsInitializer(0.3)),
        part(9, AdamOptimizer(), RandomUniformInitializer(-1.0, 1.0), FixedR8Compressor()),
        default_days=2,
    ),
    "one_bit": message(part(2, SgdOptimizer(), compressor=OneBitCompressor(3)), default_days=1),
    "serving": message(
        part(2, compressor=Fp16Compressor()),
        part(1, compressor=FixedR8Compressor()),
        serving=True,
        skip_zero=True,
        default_days=2,
    ),
}
THRESHOLDS = {1: 1, 2: 3}
POOL = [0, -1, 2**63 - 1, -(2**63)] + [(slot << 48) | (k << 17) | k for slot in (0, 1, 2) for k in range(1, 7)]

ids_of = st.lists(st.sampled_from(POOL), max_size=7) | st.lists(st.sampled_from(POOL[4:7]), max_size=7)
numbers = st.sampled_from([0.0, -0.0, 0.5, -1.25, 3.0, 1e-20, 65000.0, -0.1])
times = st.integers(0, 6).map(lambda days: days * DAY + 17)
tables = st.sampled_from(sorted(CONFIGS))


def bits(values: Any) -> Any:
    """Bit patterns with one NaN."""
    array = np.ascontiguousarray(values, np.float32)
    return np.where(np.isnan(array), np.uint32(0x7FC00000), array.view(np.uint32)).tolist()


class TableMachine(RuleBasedStateMachine):
    """Tables of ``CONFIGS`` on ``target``."""

    target = "cpu"
    profile = "ieee"
    names = tuple(sorted(CONFIGS))

    @initialize(quirks=st.sampled_from(["default", "clean", "original -flush_denormals"]))
    def build(self, quirks: str) -> None:
        self.quirks = Quirks.parse(quirks)
        self.place = make_target(self.target, self.profile)
        self.streams = RandomStreams(self.quirks)
        self.admission = self._filter()
        self.oracle_filter = OracleSlidingFilter(300, 100, quirks=self.quirks.names)
        self.engine = {name: self._table(name) for name in self.names}
        self.oracle: dict[str, OracleTable] = {}
        for name in self.names:
            self.oracle[name] = self._oracle(name)

    def _filter(self) -> SlidingHashFilter:
        return SlidingHashFilter(300, 100, slot_thresholds(THRESHOLDS), quirks=self.quirks)

    def _table(self, name: str) -> Table:
        return Table(
            name,
            CONFIGS[name],
            target=self.place,
            streams=self.streams,
            filter=self.admission,
            quirks=self.quirks,
        )

    def _oracle(self, name: str) -> OracleTable:
        shared = next(iter(self.oracle.values()), None)
        return OracleTable(
            CONFIGS[name],
            profile=self.profile,
            quirks=self.quirks.names,
            filter=self.oracle_filter,
            thresholds=THRESHOLDS,
            shared=shared,
        )

    def _pair(self, name: str) -> tuple[Table, OracleTable]:
        name = name if name in self.engine else self.names[0]
        return self.engine[name], self.oracle[name]

    def _values(self, data: Any, count: int, dim: int) -> np.ndarray:
        drawn = data.draw(st.lists(numbers, min_size=count * dim, max_size=count * dim))
        return np.array(drawn, np.float32).reshape(count, dim)

    # ---- rules

    @rule(name=tables, ids=ids_of, data=st.data(), time=times, zeros=st.booleans())
    def assign(self, name: str, ids: list[int], data: Any, time: int, zeros: bool) -> None:
        engine, oracle = self._pair(name)
        values = self._values(data, len(ids), engine.dim)
        if zeros:
            values[::2] = 0
        engine.assign(np.array(ids, np.int64), values.reshape(-1), time)
        oracle.assign(ids, values, time)
        EVENTS["repeated ids"] += len(set(ids)) < len(ids)

    @precondition(lambda self: "serving" in self.names and self.oracle["serving"].size())
    @rule(data=st.data(), time=times)
    def assign_zeros(self, data: Any, time: int) -> None:
        engine, oracle = self._pair("serving")
        ids = data.draw(st.lists(st.sampled_from(sorted(oracle.rows)), min_size=1, max_size=3))
        values = np.zeros((len(ids), engine.dim), np.float32)
        engine.assign(np.array(ids, np.int64), values.reshape(-1), time)
        oracle.assign(ids, values, time)
        assert not any(oracle.contains(ids))
        EVENTS["erased by a zero row"] += 1

    @rule(name=tables, ids=ids_of, data=st.data(), time=times, whole=st.booleans())
    def assign_add(self, name: str, ids: list[int], data: Any, time: int, whole: bool) -> None:
        engine, oracle = self._pair(name)
        values = self._values(data, len(ids), engine.dim)
        engine.assign_add(np.array(ids, np.int64), values.reshape(-1), time, one_by_one=not whole)
        oracle.assign_add(ids, values, time, multi=whole)
        EVENTS["repeated ids"] += len(set(ids)) < len(ids)

    @rule(name=tables, ids=ids_of, data=st.data(), time=times, dedup=st.booleans(), step=st.integers(0, 7))
    def optimize(self, name: str, ids: list[int], data: Any, time: int, dedup: bool, step: int) -> None:
        engine, oracle = self._pair(name if name != "serving" else "two")
        grads = self._values(data, len(ids), engine.dim)
        rates = np.array([0.05, 0.25][: engine.segments], np.float32)
        known = oracle.contains(ids)
        engine.optimize(np.array(ids, np.int64), grads.reshape(-1), rates, step, time, dedup=dedup)
        oracle.optimize(ids, grads, rates, time, step, dedup=dedup)
        EVENTS["held back by the filter"] += not all(oracle.contains(ids))
        EVENTS["let in by the filter"] += any(
            not was and (fid >> 48) & 0x7FFF in THRESHOLDS and oracle.has(fid)
            for was, fid in zip(known, ids, strict=True)
        )
        EVENTS["repeated ids"] += len(set(ids)) < len(ids)
        EVENTS["summed gradients"] += dedup and len(set(ids)) < len(ids)

    @rule(name=tables, ids=ids_of, time=times)
    def reinitialize(self, name: str, ids: list[int], time: int) -> None:
        engine, oracle = self._pair(name if name != "serving" else "two")
        assert engine.reinitialize(np.array(ids, np.int64), time).tolist() == oracle.reinitialize(ids, time)
        EVENTS["reinitialized"] += bool(ids)

    @rule(name=tables, ids=ids_of)
    def lookup(self, name: str, ids: list[int]) -> None:
        engine, oracle = self._pair(name)
        rows, found = engine.lookup(np.array(ids, np.int64))
        expected_found, expected = oracle.lookup(ids)
        assert found == expected_found
        assert bits(rows) == bits(expected)
        assert engine.contains(np.array(ids, np.int64)).tolist() == oracle.contains(ids)
        EVENTS["absent ids read"] += found < len(ids)

    @rule(name=tables, own=st.booleans(), reference=times)
    def evict(self, name: str, own: bool, reference: int) -> None:
        engine, oracle = self._pair(name)
        gone = engine.evict(None if own else reference)
        assert gone == oracle.evict(oracle.max_ts if own else reference)
        EVENTS["evicted"] += gone > 0
        EVENTS["kept by eviction"] += oracle.size() > 0

    @rule(name=tables)
    def clear(self, name: str) -> None:
        engine, oracle = self._pair(name)
        engine.clear()
        oracle.clear()

    @rule(name=tables, keep=st.booleans())
    def save_and_restore(self, name: str, keep: bool) -> None:
        """What a save leaves, into the same table (``keep``) or into a fresh one in its place."""
        engine, oracle = self._pair(name if name != "serving" else "two")
        saved = engine.export()
        rows = rows_of_dump(saved)
        fresh = {row.id for row in oracle.dump() if not oracle.stale(row.id, row.ts, oracle.max_ts)}
        assert {row.id for row in rows} == fresh
        EVENTS["left out of a save"] += len(fresh) < oracle.size()
        EVENTS["restored"] += bool(rows)
        name = engine.name
        if not keep:
            scales = engine.training_store.scales
            self.engine[name] = self._table(name)
            self.engine[name].training_store.scales[:] = scales
            replaced = self._oracle(name)
            replaced.arithmetic.scales = oracle.arithmetic.scales
            self.oracle[name] = replaced
        assert self.engine[name].restore(saved) == self.oracle[name].restore(rows)

    @rule(name=tables, ids=st.lists(st.sampled_from(POOL), min_size=1, max_size=4), data=st.data(), time=times)
    def restore_given_rows(self, name: str, ids: list[int], data: Any, time: int) -> None:
        """Rows of any width, ids repeated, times of any size."""
        engine, oracle = self._pair(name)
        template = [] if engine.serving else _states(oracle)
        rows = []
        for number, fid in enumerate(ids):
            width = data.draw(st.integers(0, engine.dim))
            num = self._values(data, 1, engine.dim)[0, :width]
            rows.append(Row(fid, num, [dict(one) for one in template], time + number))
        assert engine.restore(*dump_of(rows, engine.dim)) == oracle.restore(rows)
        EVENTS["short rows restored"] += any(len(row.num) < engine.dim for row in rows)

    @rule()
    def swap_filter(self) -> None:
        """The filter's state into a fresh filter, as a checkpoint does."""
        state = self.admission.export_state()
        self.admission = self._filter()
        self.admission.import_state(state)
        for table in self.engine.values():
            table.filter = self.admission
        EVENTS["filter moved its head"] += state.head_increment > 0

    # ---- everything agrees

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "engine"):
            return
        for name, engine in self.engine.items():
            oracle = self.oracle[name]
            assert engine.size == oracle.size()
            assert engine.max_ts == oracle.max_ts
            ids, numbers_of_rows = engine.store.items()
            assert sorted(ids.tolist()) == sorted(oracle.rows)
            times_of_rows = dict(zip(ids.tolist(), engine.store.times(numbers_of_rows).tolist(), strict=True))
            assert times_of_rows == {fid: row.time for fid, row in oracle.rows.items()}
            ordered = sorted(oracle.rows)
            assert bits(engine.lookup(np.array(ordered, np.int64))[0]) == bits(oracle.lookup(ordered)[1])
            if engine.serving:
                continue
            for row in rows_of_dump(engine.training_store.export(numbers_of_rows, ids)):
                expected = oracle.entry(row.id)
                assert bits(row.num) == bits(expected.num)
                for got, wanted in zip(row.opt, expected.opt, strict=True):
                    assert {k: bits(v) for k, v in got.items()} == {k: bits(v) for k, v in wanted.items()}
        cells = [split.cells for split in self.oracle_filter.splits]
        assert [part.tolist() for part in self.admission.export_state().cells] == cells


def _states(oracle: OracleTable) -> list[dict[str, Any]]:
    """A plausible saved state of every segment, made without a draw."""
    states = []
    for segment in oracle.segments:
        dim = segment.dim
        states.append(
            {
                "ftrl": {"zero": np.full(dim, 0.5, np.float32), "norm": np.full(dim, 0.25, np.float32)},
                "adagrad": {"norm": np.full(dim, 2.0, np.float32)},
                "adam": {
                    "m": np.full(dim, 0.125, np.float32),
                    "v": np.full(dim, 0.5, np.float32),
                    "beta1_power": np.float32(0.5),
                    "beta2_power": np.float32(0.75),
                },
                "sgd": {},
            }[segment.rule]
        )
    return states
