"""The rows of one training table: an index apart from its rows, update times beside them, on one target.

A :class:`RowStore` knows neither filters, nor names, nor expiry: it finds and numbers ids, initialises new rows, reads,
updates and exports them. Row numbers are int32 target arrays; -1 is an absent row, which reads as +0.0. A row keeps its
number until it is erased; numbers of erased rows are reused lowest first. New rows are numbered and initialised in
order of first occurrence, on every target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monolith_kernels.cpu import repeats
from monolith_kernels.layout import RowLayout, State
from monolith_kernels.rules import quantizers
from monolith_kernels.tables import Table
from monolith_kernels.target import Target
from numpy.typing import NDArray

from monolith_ref.errors import StateError
from monolith_ref.quirks import Quirks
from monolith_ref.table.index import MAX_ROWS, RowIndex
from monolith_ref.table.row_codec import StagedRows, TableRows, float_columns
from monolith_ref.table.rows import Scratch, make_storage
from monolith_ref.table.streams import RandomStreams

__all__ = ["RowDump", "RowStore", "distinct_runs"]


@dataclass
class RowDump:
    """Rows outside of a table, host arrays, in order of row number.

    Attributes
    ----------
    ids : int64[n]
    weights : float32[n, D]
        Raw embeddings of all segments.
    state : list of {field: array}, one per segment
        ``[n, dim]`` float32, ``[n]`` float32 or ``[n]`` int64 by dump field; ``{}`` for rules without state.
    update_time : uint32[n]
    """

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]
    state: list[State] = field(default_factory=list)
    update_time: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, lo: int, hi: int) -> RowDump:
        """Rows ``lo`` to ``hi``, as views."""
        state = [{name: array[lo:hi] for name, array in segment.items()} for segment in self.state]
        return RowDump(self.ids[lo:hi], self.weights[lo:hi], state, self.update_time[lo:hi])


def distinct_runs(rows: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Consecutive stretches in which no row number repeats, as long as possible, from the front."""
    count = len(rows)
    if count == 0:
        return []
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    previous = np.full(count, -1, np.int64)
    same = ordered[1:] == ordered[:-1]
    previous[order[1:][same]] = order[:-1][same]
    previous[rows < 0] = -1
    # A run must end before the first position whose previous occurrence lies inside it.
    repeats = np.flatnonzero(previous >= 0)
    runs, lo = [], 0
    for position in repeats:
        if previous[position] >= lo:
            runs.append((lo, int(position)))
            lo = int(position)
    runs.append((lo, count))
    return runs


class RowStore(RowIndex):
    """Index, rows and update times of one table. Not checked: callers pass arrays of the right shape and dtype.

    ``ids`` are int64[n]; flat buffers are float32, element ``offset + i * stride`` begins vector i (stride None: dim);
    both live on the target. Row numbers that a method returns are valid until the next call of that method.
    """

    def __init__(
        self,
        layout: RowLayout,
        target: Target,
        *,
        streams: RandomStreams | None = None,
        quirks: Quirks | None = None,
        expected: int = 0,
    ) -> None:
        super().__init__(target, expected)
        self.layout = layout
        self.dim = layout.dim
        self.quirks = quirks or Quirks()
        self.streams = streams or RandomStreams(self.quirks)
        self._storage = make_storage(target, layout.width)
        self._later, self._firsts = Scratch(target, np.int32), Scratch(target, np.int32)
        self._sums = Scratch(target, np.float32)
        self._table: Table | None = None
        self._drawn = target.optimize.drawn_elements(layout)[0]
        self._rounds = any(segment.stochastic_rounding for segment in layout.segments)
        self._one_bit = any(isinstance(segment.quantizer, quantizers.OneBit) for segment in layout.segments)
        self._simple = not self._rounds and not self._one_bit and target.name == "cpu"
        self._reads_change = any(segment.quantizer.changes_reads for segment in layout.segments)
        self.scales: NDArray[np.float32] = np.array(
            [getattr(segment.quantizer, "init_scale", 1.0) for segment in layout.segments], np.float32
        )

    # ---- finding and making rows

    def _ensure(self, count: int) -> None:
        super()._ensure(count)
        self._storage.ensure(count)

    def _initialize(self, numbers: NDArray[np.int32]) -> None:
        """Make rows as new in this order (numbers may repeat: the last draw stays)."""
        if len(numbers):
            target = self.target
            target.optimize.init_rows(
                target.profile, self.layout, self._storage.rows, target.asarray(numbers), self.streams.initializer
            )
            self.streams.draws += self._drawn * len(numbers)

    def find_or_insert(self, ids: Any, found: Any = None) -> Any:
        """Row numbers int32[n]; absent ids get a row, initialised in order of first occurrence. Repeats allowed.

        ``found``: what :meth:`find` gave for these ids since the last row was erased; completed in place and returned.
        """
        rows, new = self._number(ids, found)
        self._initialize(new)
        return rows

    def reinitialize(self, ids: Any, req_time: int) -> NDArray[np.int32]:
        """Initialise rows again; absent ids are inserted, and so initialised twice. Returns 1 for known ids, else 0."""
        known = self.target.to_host(self.find(ids)) >= 0
        rows, new = self._number(ids)
        host = np.array(self.target.to_host(rows))
        first = np.zeros(len(host), np.bool_)
        if len(new):
            missing = np.flatnonzero(~known)
            _, where = np.unique(host[missing], return_index=True)
            first[missing[where]] = True
        self._initialize(np.repeat(host, np.where(first, 2, 1)))
        self._stamp(rows, req_time)
        return np.where(first, 0, 1).astype(np.int32)

    # ---- reading

    def gather(self, rows: Any, out: Any, offset: int = 0, stride: int | None = None) -> None:
        """Copy what a training read gives of ``rows`` into the flat ``out``."""
        step = self.dim if stride is None else stride
        target = self.target
        target.lookup.gather(self._storage.rows, rows, 0, self.dim, out, offset, step, target.threads)
        if self._reads_change:
            target.quantize.read(self.layout, out, offset, step, len(rows), self.scales)

    def lookup(self, ids: Any, out: Any, offset: int = 0, stride: int | None = None) -> int:
        """:meth:`find` and :meth:`gather` in one pass. Returns how many positions were found."""
        step = self.dim if stride is None else stride
        target, rows = self.target, self._found.take(len(ids))
        found = target.lookup.find_gather(
            self.index, ids, rows, self._storage.rows, 0, self.dim, out, offset, step, target.threads
        )
        if self._reads_change:
            target.quantize.read(self.layout, out, offset, step, len(ids), self.scales)
        return int(found)

    # ---- writing

    def optimize(
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
        """One optimizer step per position, in position order; sets the rows' times to ``req_time``.

        ``grads`` is flat and never written; ``rates`` float32[segments], host. Row numbers may repeat unless the caller
        says that they are ``distinct``, which is faster; negative ones are skipped.
        """
        step = self.dim if stride is None else stride
        if self._one_bit and (self.target.to_host(rows) >= 0).any():
            for number, segment in enumerate(self.layout.segments):
                if isinstance(segment.quantizer, quantizers.OneBit):
                    self.scales[number] = quantizers.scale_at(
                        self.target.profile, segment.quantizer, global_step, self.scales[number]
                    )
        if distinct or self._simple:
            threads = self.target.threads if distinct else 1
            self._update(rows, grads, rates, global_step, offset, step, threads)
        else:
            for lo, hi in distinct_runs(self.target.to_host(rows)):
                self._update(rows[lo:hi], grads, rates, global_step, offset + lo * step, step, self.target.threads)
        self._stamp(rows, req_time)

    @property
    def sums_repeats(self) -> bool:
        """Whether :meth:`optimize_sums` can be used: on the CPU, where no update draws or is scaled."""
        return self._simple

    def optimize_sums(self, ids: Any, grads: Any, rates: NDArray[np.float32], global_step: int, req_time: int) -> None:
        """Insert absent ids; one optimizer step per distinct id, on the sum of its gradients; sets their times.

        ``grads`` is flat, ``dim`` floats a position: the first of an id is copied, later ones are added in order. Only
        where :attr:`sums_repeats`.
        """
        count, dim = len(ids), self.dim
        rows = self.find_or_insert(ids)
        self._mark(rows)
        self._timed = True
        notes, base = self._notes(count)
        later, firsts = self._later.take(count), self._firsts.take(count)
        time = int(np.array(req_time, np.uint32).view(np.int32))
        listed = repeats.find_repeats(rows, notes, base, time, later, firsts)
        if listed:
            stride = repeats.padded(dim)
            sums, folded = self._sums.take(listed * stride), self._found.take(listed)
            some = repeats.fold_repeats(rows, grads, 0, dim, dim, later[:listed], firsts[:listed], folded, sums, stride)
            self._update(folded[:some], sums, rates, global_step, 0, stride, self.target.threads)
        self._update(rows, grads, rates, global_step, 0, dim, self.target.threads)

    def _update(
        self,
        rows: Any,
        grads: Any,
        rates: NDArray[np.float32],
        global_step: int,
        column: int,
        stride: int,
        threads: int,
    ) -> None:
        target, storage = self.target, self._storage.rows
        if self._one_bit:
            grads, column, stride = target.quantize.backward(
                target.profile, self.layout, storage, rows, grads, stride, self.scales, column=column
            )
        target.optimize.update(
            target.profile,
            self.layout,
            storage,
            rows,
            grads,
            stride,
            rates,
            global_step,
            column=column,
            generator=self.streams.rounding,
            threads=threads,
        )

    def assign(self, rows: Any, values: Any, req_time: int, offset: int = 0, stride: int | None = None) -> None:
        """Write embeddings in position order (the last of equal rows wins); state stays; times become ``req_time``."""
        step = self.dim if stride is None else stride
        self.target.lookup.assign(self._storage.rows, rows, 0, self.dim, values, offset, step)
        self._stamp(rows, req_time)

    def assign_add(self, rows: Any, values: Any, req_time: int, offset: int = 0, stride: int | None = None) -> None:
        """Add to embeddings in position order; times become ``req_time``."""
        step = self.dim if stride is None else stride
        self.target.lookup.assign_add(self._storage.rows, rows, 0, self.dim, values, offset, step)
        self._stamp(rows, req_time)

    # ---- for calls on several stores (monolith_ref.table.several)

    @property
    def reads_change(self) -> bool:
        """Whether a read gives something else than what a row holds."""
        return self._reads_change

    @property
    def is_plain(self) -> bool:
        """Whether a new row copies one template and gets the next number, and a step changes rows and times alone."""
        one = len(self.layout.segments) == 1
        return one and self._simple and not self._drawn and self._marks is None and not len(self.free)

    def as_table(self) -> Table:
        """Index, rows and times as they are now."""
        rows, times = self._storage.rows, self._times.rows
        if self._table is None or not self._table.is_current(self.index, rows, times):
            self._table = Table(self.index, rows, times, self.dim)
        return self._table

    def make_room(self, count: int) -> None:
        """Make room for ``count`` rows behind the last one; StateError where row numbers would run out."""
        if self.next_row + count > MAX_ROWS:
            raise StateError(f"a table holds at most {MAX_ROWS} rows; {self.next_row} are numbered, {count} more asked")
        self._ensure(self.next_row + count)

    # ---- whole rows in and out

    def export(self, rows: NDArray[np.int32] | None = None, ids: NDArray[np.int64] | None = None) -> RowDump:
        """Rows as host arrays: all of them in order of row number, or the given ``rows`` with their ``ids``."""
        if rows is None or ids is None:
            ids, rows = self.items()
        target = self.target
        whole = target.optimize.export_rows(self.layout, self._storage.rows, target.asarray(rows))
        return RowDump(ids, self.layout.weights_of(whole), self.layout.states_of(whole), self.times(rows))

    def import_(self, dump: RowDump, widths: NDArray[np.int64] | None = None) -> None:
        """Write rows, inserting absent ids (initialised first, so draws are consumed); later duplicates win.

        State fields that ``dump`` lacks keep what the row has. ``widths`` int64[n]: floats of each row that are given,
        the rest keeps what the row has. Under ``adam_restore_powers`` adam's saved beta2_power becomes beta1_power.
        """
        ids = self.target.asarray(dump.ids)
        numbers = np.array(self.target.to_host(RowStore.find_or_insert(self, ids)))
        for lo, hi in distinct_runs(numbers):
            self._overwrite(numbers[lo:hi], dump.part(lo, hi), None if widths is None else widths[lo:hi])

    def _overwrite(self, rows: NDArray[np.int32], dump: RowDump, widths: NDArray[np.int64] | None) -> None:
        target, layout = self.target, self.layout
        numbers = target.asarray(rows)
        whole = target.optimize.export_rows(layout, self._storage.rows, numbers)
        weights = dump.weights
        if widths is not None:
            given = np.arange(self.dim) < widths[:, None]
            weights = np.where(given, weights, layout.weights_of(whole))
        layout.set_weights(whole, weights)
        state = dump.state
        if "adam_restore_powers" in self.quirks:
            state = [
                _swapped_powers(values) if segment.name == "adam" else values
                for segment, values in zip(layout.segments, state, strict=True)
            ]
        layout.set_states(whole, state)
        target.optimize.import_rows(layout, self._storage.rows, numbers, whole)
        self._stamp_each(numbers, dump.update_time)

    def in_place(self, rows: NDArray[np.int32], ids: NDArray[np.int64]) -> TableRows | None:
        """These rows where they lie, for a writer; None where they have to be exported."""
        columns = float_columns(self.layout) if self.target.name == "cpu" else None
        if columns is None:
            return None
        return TableRows(ids, rows, self._storage.rows.view(np.uint32), columns, self.times(rows))

    def take_over(self, stage: StagedRows) -> bool:
        """Have the staged rows as one's own, as :meth:`import_` of them would; False where only that can do it.

        For a table that has been cleared. Draws are consumed as if every row had been initialised.
        """
        swaps = "adam_restore_powers" in self.quirks and any(s.name == "adam" for s in self.layout.segments)
        if self.target.name != "cpu" or self.next_row or swaps or not stage.fits(self.layout):
            return False
        if self._drawn:
            stage.draw(self.target, self.streams.initializer)
            self.streams.draws += self._drawn * stage.count
        self.index, self._storage, self._times = stage.index, stage.storage, stage.times
        self.next_row, self._timed = stage.count, True
        self._ensure(stage.count)
        self._mark(np.arange(stage.count, dtype=np.int32))
        return True

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part: index, rows, times (what was touched, not what is reserved)."""
        return {**super().memory_usage(), "rows": self.next_row * self.layout.width * 4}


def _swapped_powers(state: State) -> State:
    kept = {name: array for name, array in state.items() if name != "beta2_power"}
    if "beta2_power" in state:
        kept["beta1_power"] = state["beta2_power"]
    return kept
