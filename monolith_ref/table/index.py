"""Ids and their row numbers, update times, reuse of numbers and marks of change: what all kinds of rows share."""

from __future__ import annotations

from typing import Any

import numpy as np
from monolith_kernels.target import Target
from numpy.typing import NDArray

from monolith_ref.errors import StateError
from monolith_ref.table.rows import Scratch, make_storage

__all__ = ["MAX_ROWS", "RowIndex"]

MAX_ROWS = (1 << 31) - 1
"""Row numbers are int32."""

_EXPECTED_LIMIT = 1 << 26
_NO_ROWS = np.empty(0, np.int32)


class RowIndex:
    """Which row an id has, and when each row was last written. Knows nothing of what a row holds."""

    def __init__(self, target: Target, expected: int = 0) -> None:
        self.target = target
        self.index = target.lookup.make_index(min(expected, _EXPECTED_LIMIT))
        self.next_row = 0
        self.free: NDArray[np.int32] = _NO_ROWS
        self._times = make_storage(target, 1)
        self._timed = False
        self._noted = 0
        self._found = Scratch(target, np.int32)
        self._numbered = Scratch(target, np.int32)
        self._new = Scratch(target, np.int32)
        self._marks: NDArray[np.uint8] | None = None
        self._removed: list[NDArray[np.int64]] = []

    @property
    def size(self) -> int:
        """Rows present."""
        return int(self.index.size)

    def find(self, ids: Any, out: Any = None) -> Any:
        """Row numbers int32[n], -1 where absent; repeats allowed. Into ``out`` if given."""
        rows = self._found.take(len(ids)) if out is None else out
        self.target.lookup.find(self.index, ids, rows, self.target.threads)
        return rows

    def contains(self, ids: Any) -> NDArray[np.bool_]:
        """Which ids have a row, host array."""
        return np.asarray(self.target.to_host(self.find(ids)) >= 0)

    def _ensure(self, count: int) -> None:
        """Make rows below ``count`` usable."""
        self._times.ensure(count)
        if self._marks is not None and len(self._marks) < count:
            grown = np.zeros(max(count, 2 * len(self._marks)), np.uint8)
            grown[: len(self._marks)] = self._marks
            self._marks = grown

    def _number(self, ids: Any, found: Any = None) -> tuple[Any, NDArray[np.int32]]:
        """Row numbers of all ids, absent ones numbered by first occurrence; and the new numbers in that order (host).

        ``found`` int32[n], if given, holds what :meth:`find` gave for these ids, and is completed in place.

        The new rows hold anything: the caller initialises them. StateError, before anything changes, where row numbers
        would run out.
        """
        count = len(ids)
        if self.next_row + count - len(self.free) > MAX_ROWS:
            self._check_room(ids)
        rows = self._numbered.take(count) if found is None else found
        positions, target = self._new.take(count), self.target
        new = target.lookup.insert(
            self.index, ids, rows, positions, self.next_row, self.free, target.threads, found is not None
        )
        if not new:
            return rows, _NO_ROWS
        reused = min(new, len(self.free))
        fresh = np.arange(self.next_row, self.next_row + new - reused, dtype=np.int32)
        numbers = np.concatenate([self.free[:reused], fresh]) if reused else fresh
        try:
            self._ensure(self.next_row + new - reused)
        except BaseException:
            # No room for the rows: the index must not know their ids.
            fresh_ids = np.ascontiguousarray(target.to_host(ids)[target.to_host(positions)[:new]])
            target.lookup.erase(self.index, target.asarray(fresh_ids), self._found.take(new))
            raise
        self.free = self.free[reused:]
        self.next_row += new - reused
        return rows, numbers

    def _check_room(self, ids: Any) -> None:
        host_ids = self.target.to_host(ids)
        absent = host_ids[self.target.to_host(self.find(ids)) < 0]
        wanted = len(np.unique(absent)) - len(self.free)
        if self.next_row + wanted > MAX_ROWS:
            raise StateError(
                f"a table holds at most {MAX_ROWS} rows; {self.next_row} are numbered, {wanted} more asked"
            )

    def stamps(self, req_time: int) -> bool:
        """Whether this time has to be written. Times begin as 0: writing 0 is work only where another time has been."""
        self._timed = self._timed or bool(req_time)
        return self._timed

    def _stamp(self, rows: Any, req_time: int) -> None:
        """Set the times of rows (negative numbers skipped) and mark them as changed."""
        if self.stamps(req_time):
            time = self.target.asarray(np.array([req_time], np.uint32).view(np.float32))
            self.target.lookup.assign(self._times.rows, rows, 0, 1, time, 0, 0, self.target.threads)
        self._mark(rows)

    def _notes(self, count: int) -> tuple[NDArray[np.int32], int]:
        """(notes, base) of ``monolith_kernels.cpu.repeats`` for a list of ``count`` rows; on the CPU only."""
        if self._times.width == 1:
            wide = make_storage(self.target, 2)
            wide.ensure(self._times.capacity)
            wide.rows[: self.next_row, 0] = self._times.rows[: self.next_row, 0]
            self._times, self._noted = wide, 1
        notes = self._times.rows.view(np.int32)
        if self._noted + count > MAX_ROWS:
            notes[:, 1], self._noted = 0, 1
        base = self._noted
        self._noted += count
        return notes.reshape(-1), base

    def _stamp_each(self, rows: Any, times: NDArray[np.uint32]) -> None:
        self._timed = True
        values = self.target.asarray(np.ascontiguousarray(times, np.uint32).view(np.float32))
        self.target.lookup.assign(self._times.rows, rows, 0, 1, values, 0, 1)
        self._mark(rows)

    def _mark(self, rows: Any) -> None:
        if self._marks is not None:
            host = self.target.to_host(rows)
            self._marks[host[host >= 0]] = 1

    def times(self, rows: Any) -> NDArray[np.uint32]:
        """Update times of ``rows``, host."""
        target = self.target
        out = target.empty(len(rows), np.float32)
        target.lookup.gather(self._times.rows, target.asarray(rows), 0, 1, out, 0, 1, 1)
        return np.array(target.to_host(out)).view(np.uint32)

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """All ids and row numbers, ascending by row number, host arrays."""
        ids, rows = self.target.lookup.items(self.index)
        return np.array(self.target.to_host(ids)), np.array(self.target.to_host(rows))

    def erase(self, ids: Any) -> int:
        """Remove rows; absent ids are ignored. Returns how many went."""
        rows = self._found.take(len(ids))
        erased = int(self.target.lookup.erase(self.index, ids, rows))
        if erased:
            host = np.array(self.target.to_host(rows))
            gone = host >= 0
            self.free = np.sort(np.concatenate([self.free, host[gone]]))
            if self._marks is not None:
                self._marks[host[gone]] = 0
                self._removed.append(np.array(self.target.to_host(ids))[gone])
        return erased

    def clear(self) -> None:
        """Remove every row."""
        if self._marks is not None:
            self._removed.append(self.items()[0])
            self._marks.fill(0)
        self.target.lookup.clear(self.index)
        self.next_row = 0
        self.free = _NO_ROWS

    def track_changes(self, on: bool = True) -> None:
        """Start (or stop) marking every row that an operation inserts, changes or removes."""
        self._marks = np.zeros(self.next_row, np.uint8) if on else None
        self._removed = []

    @property
    def tracking(self) -> bool:
        """Whether changes are marked."""
        return self._marks is not None

    def changes(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """(ids changed, their row numbers, ids removed) since the last :meth:`forget_changes`.

        Changed rows ascend by row number; removed ids ascend, without those that are present again. StateError where
        changes are not tracked.
        """
        if self._marks is None:
            raise StateError("changes of this table are not tracked")
        ids, rows = self.items()
        changed = self._marks[rows] != 0
        removed = np.unique(np.concatenate(self._removed)) if self._removed else np.empty(0, np.int64)
        if len(removed):
            removed = removed[~self.contains(self.target.asarray(removed))]
        return ids[changed], rows[changed], removed

    def forget_changes(self) -> None:
        """Begin a new interval of change tracking."""
        self.track_changes(self._marks is not None)

    def memory_usage(self) -> dict[str, int]:
        """Bytes by part: index, times and marks."""
        usage = {"index": self.index.nbytes, "times": self.next_row * 4 * self._times.width}
        if self._marks is not None:
            usage["marks"] = self._marks.nbytes
        return usage
