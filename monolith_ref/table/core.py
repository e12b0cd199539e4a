"""One table of one shard: rows behind a filter, with a maximum time, expiry and touched keys. Rule: tables 1, 2.

:class:`Table` is what all public tables are made of. It takes checked host arrays. It also offers row numbers
(``find``, ``find_or_insert``, ``optimize_rows``) to the exchanges of synchronous training, under the same rules.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from monolith_kernels import denormals, rules
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from monolith_protos.hash_table_pb2 import EmbeddingHashTableConfig
from numpy.typing import NDArray

from monolith_ref.errors import ConfigError
from monolith_ref.quirks import Quirks, as_quirks
from monolith_ref.table.admission import AdmissionFilter, DummyFilter
from monolith_ref.table.build import row_layout, segment_quantizers
from monolith_ref.table.checks import Checks, refuse_serving
from monolith_ref.table.config import Expiry, check_table_config
from monolith_ref.table.serving import ServingStore
from monolith_ref.table.store import RowDump, RowStore, distinct_runs
from monolith_ref.table.streams import RandomStreams
from monolith_ref.table.touched import TouchedKeySet

__all__ = ["Table"]

P = ParamSpec("P")
R = TypeVar("R")


def _one_at_a_time(method: Callable[Concatenate[Table, P], R]) -> Callable[Concatenate[Table, P], R]:
    """Calls on tables of one shard come one after the other, whatever thread they come from."""

    @functools.wraps(method)
    def locked(self: Table, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.streams.lock:
            return method(self, *args, **kwargs)

    return locked


class Table(Checks):
    """One table.

    Parameters
    ----------
    name : str
    config : EmbeddingHashTableConfig
        ConfigError where it cannot be built.
    target, streams, filter, touched
        Where it runs, and what it shares with other tables of its shard (None: the CPU, streams of its own at their
        start, no filter, nothing kept).
    check_numerics : bool
        Refuse NaN and infinities in values and gradients (ArgumentError naming the ids).
    bare : bool
        The runtime's own table, outside of any TensorFlow kernel: ``flush_denormals`` does not reach it.

    Attributes
    ----------
    dim, segments : int
        Floats per row; learning rates per update.
    max_ts : int
        The greatest time of any update.
    """

    def __init__(
        self,
        name: str,
        config: EmbeddingHashTableConfig,
        *,
        target: Target | None = None,
        streams: RandomStreams | None = None,
        filter: AdmissionFilter | None = None,
        touched: TouchedKeySet | None = None,
        quirks: str | Quirks | None = None,
        check_numerics: bool = False,
        bare: bool = False,
    ) -> None:
        self.name = name
        self.quirks = as_quirks(quirks)
        self.plan = check_table_config(config, self.quirks)
        self.expiry = Expiry(self.plan.config.slot_expire_time_config)
        self.filter = filter if filter is not None else DummyFilter(quirks=self.quirks)
        self.touched = touched
        self.check_numerics = check_numerics
        self.max_ts = 0
        self.dim = self.plan.dim
        self.segments = len(self.plan.dims)
        place = target or make_target("cpu")
        self._int32_times = "table_max_ts_int32" in self.quirks
        self._flush = "flush_denormals" in self.quirks and not bare
        if self._flush:
            if place.name != "cpu" or not denormals.available():
                raise ConfigError("flush_denormals needs the CPU target on an x86 machine")
            place = make_target("cpu", place.profile)
        self.target = place
        self.streams = streams or RandomStreams(self.quirks)
        expected = self.plan.config.initial_capacity
        self.store: RowStore | ServingStore
        if self.plan.serving:
            codecs = segment_quantizers(self.plan, self.quirks)
            self.store = ServingStore(self.plan.dims, codecs, place, skip_zero=self.plan.skip_zero, expected=expected)
            self.target = self.store.target  # serving rows live on the CPU, wherever training runs
            self._needs_step = False
        else:
            layout = row_layout(self.plan, self.quirks)
            self.store = RowStore(layout, place, streams=self.streams, quirks=self.quirks, expected=expected)
            self._needs_step = any(rules.of(segment.rule).needs_step for segment in layout.segments)

    def _arithmetic(self) -> contextlib.AbstractContextManager[None]:
        return denormals.flushing() if self._flush else contextlib.nullcontext()

    # ---- admission

    def _admitted(
        self, ids: NDArray[np.int64], counts: NDArray[np.int64] | None = None, *, test_presence: bool = True
    ) -> NDArray[np.bool_] | None:
        """Which positions may be written; None: all of them, nobody had to be asked."""
        if self.filter.idle:
            return None
        if test_presence:
            present = self.store.contains(self.target.asarray(ids)).view(np.uint8)
            return self.filter.admit(ids, present, counts)
        return self.filter.admit(ids, counts=counts)

    def _touch(self, ids: NDArray[np.int64]) -> None:
        if self.touched is not None:
            self.touched.insert(ids, self.name)

    # ---- reading

    def lookup(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.float32], int]:
        """(rows [n, D], how many positions were found) of ids int64[n]; absent ids read as +0.0."""
        out = np.empty((len(ids), self.dim), np.float32)
        return out, self.lookup_into(ids, out.reshape(-1))

    @_one_at_a_time
    def lookup_into(self, ids: NDArray[np.int64], out: NDArray[np.float32]) -> int:
        """Write the rows of ids into flat ``out``; returns how many positions were found."""
        store = self.store
        if isinstance(store, ServingStore):
            return store.lookup(ids, out)
        if self.target.name == "cpu":
            if not self._flush:
                return store.lookup(ids, out)
            with self._arithmetic():
                return store.lookup(ids, out)
        there = self.target.empty(max(len(out), 1), np.float32)
        found = store.lookup(self.target.asarray(ids), there)
        out[:] = self.target.to_host(there)[: len(out)]
        return found

    @_one_at_a_time
    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which ids have a row."""
        return self.store.contains(self.target.asarray(ids))

    @property
    def size(self) -> int:
        """Rows present."""
        return self.store.size

    # ---- writing; every method checks before it changes anything

    @_one_at_a_time
    def assign(self, ids: NDArray[np.int64], values: NDArray[np.float32], req_time: int) -> None:
        """Set rows (``values`` flat n*D) in position order; absent ids are asked at the filter, then initialised."""
        when = self.row_time(req_time)
        self.advance(req_time)
        admitted = self._admitted(ids)
        if admitted is not None and not admitted.all():
            ids = ids[admitted]
            values = values.reshape(-1, self.dim)[admitted].reshape(-1)
        store = self.store
        if isinstance(store, ServingStore):
            with self._arithmetic():
                store.assign(ids, values.reshape(-1, self.dim), when)
        else:
            with self._arithmetic():
                rows = store.find_or_insert(self.target.asarray(ids))
            store.assign(rows, self.target.asarray(values), when)

    @_one_at_a_time
    def assign_add(
        self, ids: NDArray[np.int64], values: NDArray[np.float32], req_time: int, *, one_by_one: bool = True
    ) -> None:
        """Add to rows (``values`` flat n*D) in position order.

        ``one_by_one``: each id's row is written before the filter is asked for the next (single tables); else the
        filter is asked for the whole batch first.
        """
        self.row_time(req_time)
        if len(ids):
            self.advance(req_time)
        if self.filter.idle or not one_by_one:
            self._add(ids, values, req_time, one_by_one)
            return
        for lo, hi in _distinct_id_runs(ids):
            self._add(ids[lo:hi], values[lo * self.dim : hi * self.dim], req_time, one_by_one)

    def _add(self, ids: NDArray[np.int64], values: NDArray[np.float32], req_time: int, test_presence: bool) -> None:
        when = self.row_time(req_time)
        tested = test_presence or "multi_assign_add_filters_existing" not in self.quirks
        admitted = self._admitted(ids, test_presence=tested)
        if admitted is not None and not admitted.all():
            ids = ids[admitted]
            values = values.reshape(-1, self.dim)[admitted].reshape(-1)
        store = self.store
        with self._arithmetic():
            if isinstance(store, ServingStore):
                store.assign_add(ids, values.reshape(-1, self.dim), when)
            else:
                rows = store.find_or_insert(self.target.asarray(ids))
                store.assign_add(rows, self.target.asarray(values), when)

    @_one_at_a_time
    def optimize(
        self,
        ids: NDArray[np.int64],
        grads: NDArray[np.float32],
        rates: NDArray[np.float32],
        global_step: int,
        req_time: int,
        *,
        dedup: bool = False,
        distinct: bool = False,
    ) -> None:
        """Optimizer steps by ``grads`` (flat n*D): one per position in order, or with ``dedup`` one per distinct id on
        the sum of its gradients (the first one copied, later ones added in order). ``distinct``: no id repeats.
        """
        self.check_update(rates, global_step, req_time)
        store = self.training_store
        with self._arithmetic():
            if dedup and not distinct and store.sums_repeats and self.filter.idle and self.touched is None:
                self.advance(req_time, optimize=True)
                store.optimize_sums(ids, grads, self.check_rates(rates), global_step, self.row_time(req_time))
                return
            if dedup and not distinct:
                ids, grads, counts = self._summed(ids, grads)
                rows = self.find_or_insert(ids, counts, req_time=req_time)
                distinct = True
            else:
                rows = self.find_or_insert(ids, req_time=req_time)
            self.optimize_rows(rows, self.target.asarray(grads), rates, global_step, req_time, distinct=distinct)

    def _summed(
        self, ids: NDArray[np.int64], grads: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """(distinct ids by first occurrence, their summed gradients flat, their occurrences)."""
        cpu = make_target("cpu")
        unique = cpu.dedup.unique_tables(ids, np.array([0, len(ids)], np.int64))
        inverse = np.asarray(unique.inverse)
        sums = np.empty((len(unique.unique), self.dim), np.float32)
        positions = np.arange(len(ids), dtype=np.int32)
        first = np.empty(len(unique.unique), np.int32)
        first[inverse[::-1]] = positions[::-1]
        is_first = np.zeros(len(ids), np.bool_)
        is_first[first] = True
        once = np.where(is_first, inverse, -1).astype(np.int32)
        later = np.where(is_first, -1, inverse).astype(np.int32)
        cpu.lookup.assign(sums, once, 0, self.dim, grads, 0, self.dim)
        cpu.lookup.assign_add(sums, later, 0, self.dim, grads, 0, self.dim)
        return np.asarray(unique.unique), sums.reshape(-1), np.asarray(unique.counts).astype(np.int64)

    # ---- row numbers, for exchanges

    def find(self, ids: Any) -> Any:
        """Row numbers of target ids, -1 where absent."""
        return self.store.find(ids)

    def find_or_insert(self, ids: Any, counts: NDArray[np.int64] | None = None, *, req_time: int | None = None) -> Any:
        """Row numbers of ids for an optimizer step: absent ids are asked at the filter (-1: dropped), then initialised.

        Admitted ids are noted as touched. ``counts`` int64[n]: occurrences that each position stands for.
        """
        store = self.training_store
        if req_time is not None:
            self.advance(req_time, optimize=True)
        if self.filter.idle and self.touched is None:
            return store.find_or_insert(self.target.asarray(ids) if isinstance(ids, np.ndarray) else ids)
        host = np.ascontiguousarray(self.target.to_host(ids))
        admitted = self._admitted(host, counts)
        if admitted is None or admitted.all():
            self._touch(host)
            return store.find_or_insert(self.target.asarray(host))
        kept = host[admitted]
        self._touch(kept)
        rows = np.full(len(host), -1, np.int32)
        rows[admitted] = self.target.to_host(store.find_or_insert(self.target.asarray(kept)))
        return self.target.asarray(rows)

    def optimize_rows(
        self,
        rows: Any,
        grads: Any,
        rates: NDArray[np.float32],
        global_step: int,
        req_time: int,
        offset: int = 0,
        stride: int | None = None,
        *,
        distinct: bool = False,
    ) -> None:
        """One optimizer step per row number (negative ones skipped); target arrays. See ``RowStore.optimize``."""
        self.training_store.optimize(
            rows,
            grads,
            self.check_rates(rates),
            global_step,
            self.row_time(req_time),
            offset,
            stride,
            distinct=distinct,
        )

    # ---- the rest

    @_one_at_a_time
    def reinitialize(self, ids: NDArray[np.int64], req_time: int | None = None) -> NDArray[np.int32]:
        """Initialise rows again: 1 for known ids, 0 for new ones (initialised twice). Not filtered; max_ts stays.

        ``req_time`` None is the clock.
        """
        if self.serving:
            raise refuse_serving("Init")
        when = self.row_time(int(time.time()) if req_time is None else req_time)
        self._touch(ids)
        with self._arithmetic():
            return self.training_store.reinitialize(self.target.asarray(ids), when)

    @_one_at_a_time
    def evict(self, reference: int | None = None) -> int:
        """Remove every stale row; ``reference`` None is the table's own maximum time. Returns how many went."""
        ids, rows = self.store.items()
        stale = self.expiry.stale(ids, self.store.times(rows), self.max_ts if reference is None else reference)
        gone = np.ascontiguousarray(ids[stale])
        return self.store.erase(self.target.asarray(gone)) if len(gone) else 0

    @_one_at_a_time
    def clear(self) -> None:
        """Remove every row; max_ts stays."""
        self.store.clear()

    def fresh(self, expiry: Expiry | None = None) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """(ids, row numbers) of what a file holds: rows that are not stale, ascending by row number."""
        if self.serving:
            raise refuse_serving("Save")
        ids, rows = self.store.items()
        stale = (expiry or self.expiry).stale(ids, self.store.times(rows), self.max_ts)
        return ids[~stale], rows[~stale]

    @_one_at_a_time
    def export(self, expiry: Expiry | None = None) -> RowDump:
        """What a file holds, as rows in order of row number."""
        ids, rows = self.fresh(expiry)
        return self.training_store.export(rows, ids)

    @_one_at_a_time
    def restore(self, dump: RowDump, widths: NDArray[np.int64] | None = None) -> int:
        """Upsert rows (not filtered, nothing cleared); returns the greatest time seen, and max_ts rises to it.

        Serving tables take the weights only, at time 0. See ``RowStore.import_`` for ``widths``.
        """
        if len(dump.update_time) != len(dump.ids):
            dump = RowDump(dump.ids, dump.weights, dump.state, np.zeros(len(dump.ids), np.uint32))
        self.store.import_(dump, widths)
        latest = int(dump.update_time.max()) if len(dump) else 0
        self.max_ts = max(self.max_ts, latest)
        return latest

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part."""
        return self.store.memory_usage()


def _distinct_id_runs(ids: NDArray[np.int64]) -> list[tuple[int, int]]:
    _, numbers = np.unique(ids, return_inverse=True)
    return distinct_runs(numbers.astype(np.int32))
