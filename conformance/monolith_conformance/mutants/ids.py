"""Wrong variants of what a table is: which ids it knows, how many, and whose rows they are where there are several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monolith_conformance.mutants.mutant import Mutant, Replacement, wrap
from monolith_conformance.mutants.tables import TABLE, of_table
from monolith_ref.errors import StateError

__all__ = ["MUTANTS"]


def _through(change: Callable[[int], int]) -> tuple[Replacement, ...]:
    """Ids that arrive changed in every operation that takes them."""

    def build(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, ids, *rest, **named: original(self, [change(fid) for fid in ids], *rest, **named)

    return tuple(
        wrap(f"{TABLE}.{method}", build)
        for method in ("lookup", "contains", "assign", "assign_add", "optimize", "reinitialize")
    )


def _signed(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _full_at(capacity: int) -> Replacement:
    def build(original: Callable[..., Any]) -> Callable[..., Any]:
        def row(self: Any, fid: int) -> Any:
            if not self.has(fid) and self.size() >= capacity:
                raise StateError("the table is full")
            return original(self, fid)

        return row

    return wrap(f"{TABLE}._row", build)


def _claims_less(capabilities: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: [name for name in capabilities(self) if name != "optimizer.batch_softmax"]


def _like_the_first(new_table: Callable[..., Any]) -> Callable[..., Any]:
    """Later tables have the segments of the first."""

    def changed(self: Any, config: Any, filter_kind: str) -> Any:
        self.first_config = config if self._first is None else self.first_config
        return new_table(self, self.first_config, filter_kind)

    return changed


def _sharing_rows(new_table: Callable[..., Any]) -> Callable[..., Any]:
    """Tables of one width have one dictionary of rows."""

    def changed(self: Any, config: Any, filter_kind: str) -> Any:
        made = new_table(self, config, filter_kind)
        if made.dim == self._first.dim:
            made.table.rows = self._first.rows
        return made

    return changed


_IDS = (
    of_table(
        "ids-as-doubles",
        "ids that went through a double",
        *_through(lambda fid: _signed(int(float(fid)))),
        about="lookup",
    ),
    of_table("ids-of-48-bits", "ids cut to 48 bits", *_through(lambda fid: fid & ((1 << 48) - 1)), about="lookup"),
    of_table("ids-without-sign", "the absolute value of an id in its place", *_through(abs), about="lookup"),
    of_table("full-at-2-20", "a table that is full at 2^20 rows", _full_at(1 << 20), about="assign", deviation=22),
    of_table("full-at-ten", "a table that is full at ten rows", _full_at(10), about="assign"),
)

_SEVERAL = (
    of_table(
        "unclaimed-rules-answered",
        "a rule that it does not claim, answered all the same",
        wrap("backends.oracle:OracleBackend.capabilities", _claims_less),
        about="lookup",
        deviation=15,
    ),
    of_table(
        "tables-are-shards",
        "every table a shard of the first one",
        wrap("backends.oracle:OracleBackend.new_table", _like_the_first),
        about="multi",
        deviation=27,
    ),
    of_table(
        "tables-share-rows",
        "rows that all tables share",
        wrap("backends.oracle:OracleBackend.new_table", _sharing_rows),
        about="multi",
        killed_by=("table/multi/", "core/optimizer.adam/lengths-side-by-side", "sync/"),
    ),
)

MUTANTS: tuple[Mutant, ...] = (*_IDS, *_SEVERAL)
