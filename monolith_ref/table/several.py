"""The row stores of a rank taken together: a lookup or an update of all of them in few calls.

On the CPU, stores that need nothing else than their rows share compiled calls over all tables
(:mod:`monolith_kernels.tables`): no filter to be asked, nothing drawn or rounded, no marks, no number to be reused,
and no method replaced. All others are served one by one by their own methods. Results are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from monolith_kernels import tables as kernels
from monolith_kernels.target import Target
from numpy.typing import NDArray

from monolith_ref.table.store import RowStore

__all__ = ["SeveralStores", "Wanted"]

_READING = ("find", "gather")
_WRITING = ("find_or_insert", "optimize")


class Wanted(NamedTuple):
    """Distinct ids int64 [n] of one store, and where their vectors lie: the first one's begins at ``start``.

    ``rows`` int32 [n] are their row numbers: written by a lookup, and completed by an update.
    """

    store: int
    ids: NDArray[np.int64]
    rows: NDArray[np.int32]
    start: int


class SeveralStores:
    """The stores of a rank, by number."""

    def __init__(self, stores: Sequence[Any], target: Target) -> None:
        self._stores = stores
        self._target = target
        # What the classes say; a method of one store may still be replaced.
        self._readers = [_has(store, _READING) and target.name == "cpu" for store in stores]
        self._writers = [_has(store, _WRITING) and target.name == "cpu" for store in stores]
        # Stores of equal layouts are updated together: by number, the first store of its layout. Printed forms tell
        # rules and signs of zero apart, which compare equal.
        first: dict[str, int] = {}
        self._alike = [first.setdefault(repr(getattr(store, "layout", n)), n) for n, store in enumerate(stores)]

    def can_look_up(self) -> list[bool]:
        """By number: whether a lookup of the store may be part of :meth:`look_up`."""
        return [
            fits and not store.reads_change and vars(store).keys().isdisjoint(_READING)
            for store, fits in zip(self._stores, self._readers, strict=True)
        ]

    def can_update(self) -> list[bool]:
        """By number: whether an update of the store may be part of :meth:`update`."""
        return [
            fits and store.is_plain and vars(store).keys().isdisjoint(_WRITING)
            for store, fits in zip(self._stores, self._writers, strict=True)
        ]

    def look_up(self, wanted: Sequence[Wanted], out: NDArray[np.float32]) -> None:
        """Row numbers of all ids (-1: absent), and their embeddings into flat ``out``."""
        tables, blocks = self._described(wanted)[1:]
        kernels.find_gather(tables, blocks, out, self._target.threads)

    def update(
        self,
        wanted: Sequence[Wanted],
        gradients: NDArray[np.float32],
        rates: Sequence[NDArray[np.float32]],
        global_step: int,
        req_time: int,
    ) -> None:
        """Rows for absent ids, then one optimizer step on all rows: those of a store in the order in which they come.

        ``gradients`` flat; ``rates``: by store, one float each. Row numbers are those of a lookup since the last erase.
        """
        layouts: dict[int, list[Wanted]] = {}
        for one in wanted:
            layouts.setdefault(self._alike[one.store], []).append(one)
        for parts in layouts.values():
            self._update_alike(parts, gradients, rates, global_step, req_time)

    def _update_alike(
        self,
        wanted: list[Wanted],
        gradients: NDArray[np.float32],
        rates: Sequence[NDArray[np.float32]],
        global_step: int,
        req_time: int,
    ) -> None:
        """:meth:`update` for stores of one layout."""
        wanted.sort(key=lambda one: one.store)
        stores, tables, blocks = self._described(wanted)
        next_rows = np.array([store.next_row for store in stores], np.int64)

        def grow(table: int, count: int) -> kernels.Table:
            store = stores[table]
            store.next_row = int(next_rows[table])
            store.make_room(count)
            return store.as_table()

        stamps = [store.stamps(req_time) for store in stores]
        try:
            kernels.update(
                self._target.profile,
                stores[0].layout,
                tables,
                next_rows,
                blocks,
                gradients,
                np.array([rates[one.store][0] for one in wanted], np.float32),
                global_step,
                req_time if any(stamps) else None,
                grow,
                self._target.threads,
            )
        finally:
            for store, next_row in zip(stores, next_rows.tolist(), strict=True):
                store.next_row = next_row

    def _described(self, wanted: Sequence[Wanted]) -> tuple[list[RowStore], list[kernels.Table], list[kernels.Block]]:
        """The stores that are asked for, in the order in which they come first, and blocks that count them so."""
        places: dict[int, int] = {}
        blocks = [
            kernels.Block(places.setdefault(store, len(places)), ids, rows, start) for store, ids, rows, start in wanted
        ]
        stores = [self._stores[number] for number in places]
        return stores, [store.as_table() for store in stores], blocks


def _has(store: Any, methods: Sequence[str]) -> bool:
    """Whether these methods of the store's class are those of a row store."""
    return isinstance(store, RowStore) and all(
        getattr(type(store), method) is getattr(RowStore, method) for method in methods
    )
