"""Two checkpoints compared, row by row and bit by bit: which fids differ, in what, by how many ulps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.checkpoint.inspect import Contents
from monolith_ref.checkpoint.shape import RowShape
from monolith_ref.checkpoint.whole import WholeTable, dense_of, whole_tables
from monolith_ref.errors import CheckpointError
from monolith_ref.fid import slot_of_v2
from monolith_ref.table.store import RowDump

__all__ = ["compare"]


def ulps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.int64]:
    """Representable numbers between two floats, element by element; any NaN equals any NaN, -0 is one from +0."""

    def ordered(x: NDArray[np.float32]) -> NDArray[np.int64]:
        bits = np.ascontiguousarray(x).view(np.int32).astype(np.int64)
        return np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits)

    distance = np.abs(ordered(a) - ordered(b))
    return np.where(np.isnan(a) & np.isnan(b), 0, distance)


@dataclass(frozen=True)
class _Column:
    """One field of a row, flat: its name and the values of both sides [n, w]."""

    name: str
    a: NDArray[Any]
    b: NDArray[Any]

    def distance(self) -> NDArray[np.int64]:
        if self.a.dtype == np.float32:
            return ulps(self.a, self.b)
        return np.where(self.a == self.b, 0, np.maximum(np.abs(self.a.astype(np.int64) - self.b), 1))


def compare(
    a: Contents, b: Contents, only: str | None = None, limit: int = 20, with_times: bool = True
) -> dict[str, Any]:
    """What differs between two prefixes as a plain object; ``equal`` tells whether nothing does.

    Tables are matched by name; where each side has one table only, these two. ``limit``: rows described a table.
    """
    left, right = whole_tables(a, only), whole_tables(b, only)
    if only is not None and not left and not right:
        raise CheckpointError(f"neither side has a table {only}", path=f"{a.prefix}, {b.prefix}")
    a.bar.begin("comparing")
    names = [(name, name) for name in sorted(left.keys() & right.keys())]
    if not names and len(left) == len(right) == 1:
        names = [(next(iter(left)), next(iter(right)))]
    only_a = sorted(left.keys() - {n for n, _ in names})
    only_b = sorted(right.keys() - {n for _, n in names})
    tables = []
    for first, second in names:
        table = _compare_tables(left[first], right[second], limit, with_times)
        entries = a.entry_of(first), b.entry_of(second)
        if with_times and entries[0] is not None and entries[1] is not None:
            table["max_ts"] = [entries[0].max_ts, entries[1].max_ts]
            table["equal"] = table["equal"] and entries[0].max_ts == entries[1].max_ts
        tables.append({"table": first if first == second else f"{first} / {second}"} | table)
    dense = _compare_dense(dense_of(a), dense_of(b))
    equal = not only_a and not only_b and all(table["equal"] for table in tables) and not dense
    return {
        "a": str(a.prefix),
        "b": str(b.prefix),
        "equal": equal,
        "tables_only_a": only_a,
        "tables_only_b": only_b,
        "tables": tables,
        "dense": dense,
    }


def _flat(table: WholeTable) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[RowShape]]:
    """ids, number of the shape and row within it, of all rows in order of id (the last of equal ids)."""
    shapes = list(table)
    if not shapes:
        none = np.empty(0, np.int64)
        return none, none, none, shapes
    ids = np.concatenate([table[shape].ids for shape in shapes])
    which = np.concatenate([np.full(len(table[shape]), k, np.int64) for k, shape in enumerate(shapes)])
    rows = np.concatenate([np.arange(len(table[shape]), dtype=np.int64) for shape in shapes])
    order = np.argsort(ids, kind="stable")
    last = np.append(ids[order][1:] != ids[order][:-1], True) if len(ids) else np.empty(0, np.bool_)
    order = order[last]
    return ids[order], which[order], rows[order], shapes


def _compare_tables(a: WholeTable, b: WholeTable, limit: int, with_times: bool) -> dict[str, Any]:
    ids_a, which_a, rows_a, shapes_a = _flat(a)
    ids_b, which_b, rows_b, shapes_b = _flat(b)
    common, at_a, at_b = np.intersect1d(ids_a, ids_b, assume_unique=True, return_indices=True)
    only_a = np.setdiff1d(ids_a, ids_b, assume_unique=True)
    only_b = np.setdiff1d(ids_b, ids_a, assume_unique=True)
    changed = np.zeros(len(common), np.bool_)
    worst = 0
    elements = 0
    reshaped = 0
    described: list[tuple[int, dict[str, Any]]] = []
    for j, first in enumerate(shapes_a):
        for k, second in enumerate(shapes_b):
            pairs = np.flatnonzero((which_a[at_a] == j) & (which_b[at_b] == k))
            if not len(pairs):
                continue
            if first != second:
                changed[pairs] = True
                reshaped += len(pairs)
                for pair in pairs[:limit].tolist():
                    described.append((int(common[pair]), {"shape": [str(first), str(second)]}))
                continue
            columns = _columns(a[first], b[second], rows_a[at_a[pairs]], rows_b[at_b[pairs]], first, with_times)
            distances = [column.distance() for column in columns]
            differs = np.zeros(len(pairs), np.bool_)
            for column, distance in zip(columns, distances, strict=True):
                differs |= (distance != 0).any(axis=1)
                elements += int(np.count_nonzero(distance))
                if column.a.dtype == np.float32 and distance.size:
                    worst = max(worst, int(distance.max()))
            changed[pairs] = differs
            for at in np.flatnonzero(differs)[:limit].tolist():
                described.append((int(common[pairs[at]]), {"elements": _elements(columns, distances, at)}))
    described.sort(key=lambda item: item[0])
    return {
        "equal": not (len(only_a) or len(only_b) or changed.any()),
        "rows_a": len(ids_a),
        "rows_b": len(ids_b),
        "only_a": {"count": len(only_a), "fids": only_a[:limit].tolist()},
        "only_b": {"count": len(only_b), "fids": only_b[:limit].tolist()},
        "different_rows": int(changed.sum()),
        "different_elements": elements,
        "different_shapes": reshaped,
        "most_ulps": worst,
        "rows": [
            {"fid": fid, "slot": int(slot_of_v2(np.array([fid], np.int64))[0])} | what
            for fid, what in described[:limit]
        ],
    }


def _columns(
    a: RowDump,
    b: RowDump,
    rows_a: NDArray[np.int64],
    rows_b: NDArray[np.int64],
    shape: RowShape,
    with_times: bool,
) -> list[_Column]:
    columns = [_Column("weights", a.weights[rows_a], b.weights[rows_b])]
    for k, (first, second) in enumerate(zip(a.state, b.state, strict=True)):
        element = shape.segments[k]
        for name in first:
            left, right = first[name][rows_a], second[name][rows_b]
            rule = element.rule if element is not None else ""
            columns.append(
                _Column(f"segment {k} {rule}.{name}", left.reshape(len(left), -1), right.reshape(len(right), -1))
            )
    if with_times:
        columns.append(
            _Column(
                "update_time",
                a.update_time[rows_a].astype(np.int64)[:, None],
                b.update_time[rows_b].astype(np.int64)[:, None],
            )
        )
    return columns


def _elements(columns: list[_Column], distances: list[NDArray[np.int64]], row: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for column, distance in zip(columns, distances, strict=True):
        for at in np.flatnonzero(distance[row]).tolist():
            one, other = column.a[row, at], column.b[row, at]
            item: dict[str, Any] = {"field": column.name, "index": at}
            if column.a.dtype == np.float32:
                bits = [f"{int(np.float32(v).view(np.uint32)):08x}" for v in (one, other)]
                item |= {"a": str(one), "b": str(other), "bits": bits, "ulps": int(distance[row, at])}
            else:
                item |= {"a": str(one), "b": str(other)}
            found.append(item)
    return found


def _compare_dense(a: dict[str, NDArray[Any]] | None, b: dict[str, NDArray[Any]] | None) -> list[dict[str, Any]]:
    if a is None or b is None:
        return []
    found: list[dict[str, Any]] = []
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b:
            found.append({"name": name, "only": "a" if name in a else "b"})
            continue
        one, other = a[name], b[name]
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            shapes = [f"{one.dtype} {list(one.shape)}", f"{other.dtype} {list(other.shape)}"]
            found.append({"name": name, "shape": shapes})
        elif one.dtype == np.float32:
            distance = ulps(one, other)
            if distance.any():
                found.append({"name": name, "elements": int(np.count_nonzero(distance)), "ulps": int(distance.max())})
        elif not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
            found.append({"name": name, "elements": int(np.count_nonzero(one != other))})
    return found
