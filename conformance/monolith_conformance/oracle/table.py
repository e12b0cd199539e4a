"""A hash table as a plain dictionary: one id at a time, no index and no batches. Rule: tables, filters 6.

Rows of training tables are changed by the oracle's own rules, serving rows are bytes. Everything else (admission,
times, expiry, duplicates, restore) is written out here as the pages say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig, EntryConfig

from monolith_conformance.oracle.rows import OracleRows, pack, unpack
from monolith_conformance.oracle.rules.floats import Array, F, madd

__all__ = ["OracleTable", "Row", "segments_of"]

DAY = 86400
NO_FILTER: Any = None


@dataclass
class Row:
    """One row outside of a table: ``num`` may be shorter than the table's dim."""

    id: int
    num: Array
    opt: list[dict[str, Any]] = field(default_factory=list)
    ts: int = 0


@dataclass
class _Kept:
    """One row in the table."""

    weights: Array
    state: list[dict[str, Any]]
    packed: bytes
    time: int


def _fields(message: Any) -> tuple[str, dict[str, Any]]:
    member = message.WhichOneof("type")
    values = {f.name: v for f, v in getattr(message, member).ListFields() if f.name != "dim_size"}
    return member, {name: F(value) if isinstance(value, float) else value for name, value in values.items()}


def segments_of(config: EmbeddingHashTableConfig) -> list[Any]:
    """The segments of a table message as the oracle's rows take them."""
    segments = []
    for segment in config.entry_config.segments:
        rule, rule_config = _fields(segment.opt_config) if segment.HasField("opt_config") else ("sgd", {})
        start, start_config = _fields(segment.init_config) if segment.HasField("init_config") else ("zeros", {})
        kind, kind_config = _fields(segment.comp_config) if segment.HasField("comp_config") else ("fp32", {})
        segments.append(
            SimpleNamespace(
                dim=segment.dim_size,
                rule=rule,
                config=rule_config,
                initializer=start,
                initializer_config=start_config,
                compressor=kind,
                compressor_config=kind_config,
                stochastic_rounding=segment.opt_config.stochastic_rounding_float16,
                dc_lambda=None,
            )
        )
    return segments


class OracleTable:
    """One table. ``filter`` is any oracle filter, ``thresholds`` maps slots to T (key -1: the others)."""

    def __init__(
        self,
        config: EmbeddingHashTableConfig,
        *,
        profile: str = "ieee",
        quirks: Sequence[str] = (),
        filter: Any = NO_FILTER,
        thresholds: dict[int, int] | None = None,
        shared: OracleTable | None = None,
    ) -> None:
        self.quirks = set(quirks)
        self.profile = profile
        self.segments = segments_of(config)
        self.codecs = [
            SimpleNamespace(dim=s.dim, compressor=s.compressor, config=s.compressor_config) for s in self.segments
        ]
        self.dim = sum(s.dim for s in self.segments)
        self.serving = config.entry_config.entry_type == EntryConfig.SERVING
        self.skip_zero = config.skip_zero_embedding
        self.arithmetic = OracleRows(self.segments, profile, self.quirks)
        if shared is not None:
            self.arithmetic.stream = shared.arithmetic.stream
            self.arithmetic.generator = shared.arithmetic.generator
        expiry = config.slot_expire_time_config
        self.expires = bool(expiry.ByteSize())
        self.default_days = expiry.default_expire_time
        self.days = {entry.slot: entry.expire_time for entry in expiry.slot_expire_times}
        self.rows: dict[int, _Kept] = {}
        self.max_ts = 0
        self.filter = filter
        self.thresholds = thresholds or {}
        self.touched: set[int] = set()

    # ---- rows

    def has(self, fid: int) -> bool:
        """Whether an id has a row."""
        return fid in self.rows

    def size(self) -> int:
        """Rows."""
        return len(self.rows)

    def _time(self, time: int) -> int:
        if 0 <= time < 1 << 32:
            return time
        if "wrap_timestamps" not in self.quirks:
            raise ValueError(f"time {time}")
        return time % (1 << 32)

    def _fresh(self) -> _Kept:
        if self.serving:
            return _Kept(np.zeros(0, F), [], bytes(self._bytes()), 0)
        weights, states = self.arithmetic.create(1)
        return _Kept(weights[0], states[0], b"", 0)

    def _bytes(self) -> int:
        return sum(s.dim * {"fp32": 4, "fp16": 2}.get(s.compressor, 1) for s in self.codecs)

    def _row(self, fid: int) -> _Kept:
        """The row of an id, made if it has none."""
        if fid not in self.rows:
            self.rows[fid] = self._fresh()
        return self.rows[fid]

    def _admits(self, fid: int, count: int, *, test_presence: bool = True, table: Any = "self") -> bool:
        if self.filter is None or (test_presence and self.has(fid)):
            return True
        slot = (fid >> 48) & 0x7FFF
        threshold = self.thresholds.get(slot, self.thresholds.get(-1, 0))
        return not self.filter.should_be_filtered(fid, count, threshold, self)

    # ---- operations

    def read(self, fid: int) -> Array:
        """What a lookup of one id gives."""
        if fid not in self.rows:
            return np.zeros(self.dim, F)
        row = self.rows[fid]
        if self.serving:
            return unpack(self.codecs, row.packed)
        seen: Array = self.arithmetic.read(row.weights[None])[0]
        return seen

    def lookup(self, ids: Sequence[int]) -> tuple[int, Array]:
        """(how many positions were found, rows)."""
        rows = [self.read(fid) for fid in ids]
        return sum(self.has(fid) for fid in ids), np.array(rows, F).reshape(len(ids), self.dim)

    def contains(self, ids: Sequence[int]) -> list[bool]:
        """Which ids have a row."""
        return [self.has(fid) for fid in ids]

    def is_zero(self, values: Array) -> bool:
        """Whether a row counts as zero."""
        total = F(0)
        with np.errstate(all="ignore"):
            for value in values:
                total = madd(self.profile, value, value, total)
        return bool(total < F(2.0**-126) or np.isinf(total))

    def assign(self, ids: Sequence[int], values: Array, time: int) -> None:
        """Set rows."""
        when = self._time(time)
        self.max_ts = max(self.max_ts, time)
        kept = [self._admits(fid, 1) for fid in ids]
        for fid, value, admitted in zip(ids, values, kept, strict=True):
            if not admitted:
                continue
            if self.skip_zero and self.is_zero(value):
                self.rows.pop(fid, None)
                continue
            row = self._row(fid)
            self._put(row, value)
            row.time = when

    def _put(self, row: _Kept, value: Array) -> None:
        if self.serving:
            row.packed = pack(self.codecs, self.quirks, value)
        else:
            row.weights = value.astype(F)

    def assign_add(self, ids: Sequence[int], values: Array, time: int, *, multi: bool = False) -> None:
        """Add to rows. ``multi``: the filter is asked for the whole batch first."""
        when = self._time(time)
        if ids:
            self.max_ts = max(self.max_ts, time)
        tested = not (multi and "multi_assign_add_filters_existing" in self.quirks)
        asked = [self._admits(fid, 1, test_presence=tested) for fid in ids] if multi else None
        for number, (fid, value) in enumerate(zip(ids, values, strict=True)):
            if not (asked[number] if asked is not None else self._admits(fid, 1)):
                continue
            row = self._row(fid)
            with np.errstate(all="ignore"):
                if self.serving:
                    row.packed = pack(self.codecs, self.quirks, unpack(self.codecs, row.packed) + value)
                else:
                    row.weights = row.weights + value
            row.time = when

    def optimize(
        self, ids: Sequence[int], grads: Array, rates: Array, time: int, step: int = 0, *, dedup: bool = False
    ) -> None:
        """Optimizer steps."""
        when = self._time(time)
        self.max_ts = max(self.max_ts, time)
        if "table_max_ts_int32" in self.quirks:
            self.max_ts = (self.max_ts + (1 << 31)) % (1 << 32) - (1 << 31)
        counts = [1] * len(ids)
        if dedup:
            sums: dict[int, Array] = {}
            times: dict[int, int] = {}
            for fid, grad in zip(ids, grads, strict=True):
                with np.errstate(all="ignore"):
                    sums[fid] = sums[fid] + grad if fid in sums else grad.copy()
                times[fid] = times.get(fid, 0) + 1
            ids, grads, counts = (
                list(sums),
                np.array(list(sums.values()), F).reshape(len(sums), self.dim),
                list(times.values()),
            )
        kept = [self._admits(fid, count) for fid, count in zip(ids, counts, strict=True)]
        # Rows are initialised in order of first occurrence; updates draw from another generator.
        for fid, grad, admitted in zip(ids, grads, kept, strict=True):
            if not admitted:
                continue
            row = self._row(fid)
            weights, states = self.arithmetic.optimize(row.weights[None], [row.state], grad[None], rates, step)
            row.weights, row.state, row.time = weights[0], states[0], when
            self.touched.add(fid)

    def reinitialize(self, ids: Sequence[int], time: int) -> list[int]:
        """Rows made as new again."""
        statuses = []
        for fid in ids:
            known = fid in self.rows
            self._row(fid)
            self.rows[fid] = self._fresh()
            self.rows[fid].time = time
            statuses.append(1 if known else 0)
            self.touched.add(fid)
        return statuses

    def evict(self, reference: int) -> int:
        """Remove stale rows."""
        gone = [fid for fid, row in self.rows.items() if self.stale(fid, row.time, reference)]
        for fid in gone:
            del self.rows[fid]
        return len(gone)

    def stale(self, fid: int, time: int, reference: int) -> bool:
        """Whether a row of that time is stale."""
        days = self.days.get((fid >> 48) & 0x7FFF, self.default_days)
        return reference - time >= days * DAY

    def clear(self) -> None:
        """Remove all rows."""
        self.rows.clear()

    def dump(self) -> list[Row]:
        """All rows by ascending id."""
        return [self.entry(fid) for fid in sorted(self.rows)]

    def entry(self, fid: int) -> Row:
        """One row as it is saved."""
        row = self.rows[fid]
        return Row(fid, row.weights.copy(), [dict(state) for state in row.state], row.time)

    def restore(self, rows: Sequence[Row]) -> int:
        """Upsert rows; the greatest time seen."""
        latest = 0
        for saved in rows:
            latest = max(latest, saved.ts)
            if self.skip_zero and self.is_zero(saved.num):
                continue
            row = self._row(saved.id)
            if self.serving:
                values = unpack(self.codecs, row.packed)
                values[: len(saved.num)] = saved.num
                row.packed = pack(self.codecs, self.quirks, values)
                row.time = 0
                continue
            row.weights = row.weights.copy()
            row.weights[: len(saved.num)] = saved.num
            for segment, state, dump in zip(self.segments, row.state, saved.opt, strict=True):
                if segment.rule == "adam" and "adam_restore_powers" in self.quirks:
                    dump = {**dump, "beta1_power": dump["beta2_power"], "beta2_power": state["beta2_power"]}
                state.update(dump)
            row.time = saved.ts % (1 << 32)
        self.max_ts = max(self.max_ts, latest)
        return latest
