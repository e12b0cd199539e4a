"""What a table's files hold, in figures: counts, dims, optimizers, slots, ages, norms; and single rows by fid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monolith_ref.checkpoint.filters import check_split, read_split
from monolith_ref.checkpoint.inspect import Contents, Located, table_rows
from monolith_ref.checkpoint.job import JobCheckpoint
from monolith_ref.checkpoint.shape import FIELDS, RowShape
from monolith_ref.fid import slot_of_v1, slot_of_v2

__all__ = ["describe_row", "rows_by_fid", "summarize"]

DAY = 86400


class _Table:
    """Figures of one table, gathered batch by batch."""

    def __init__(self) -> None:
        self.shapes: Counter[RowShape] = Counter()
        self.slots: Counter[int] = Counter()
        self.times: list[NDArray[np.uint32]] = []
        self.norms: list[NDArray[np.float64]] = []
        self.not_finite = 0
        self.zero = 0

    def add(self, located: Located) -> None:
        decoded = located.decoded
        rows = decoded.rows
        self.shapes[decoded.shape] += len(rows)
        slots, counts = np.unique(slot_of_v2(rows.ids), return_counts=True)
        self.slots.update(dict(zip(slots.tolist(), counts.tolist(), strict=True)))
        self.times.append(rows.update_time)
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.sqrt(np.square(rows.weights.astype(np.float64)).sum(axis=1))
        finite = np.isfinite(rows.weights).all(axis=1)
        self.not_finite += int((~finite).sum())
        self.zero += int((norms == 0).sum())
        self.norms.append(norms[finite])

    def figures(self, max_ts: int | None, top: int) -> dict[str, Any]:
        times = np.concatenate(self.times) if self.times else np.empty(0, np.uint32)
        norms = np.concatenate(self.norms) if self.norms else np.empty(0, np.float64)
        newest = max_ts if max_ts is not None else int(times.max(initial=0))
        ages = (newest - times.astype(np.int64)) / DAY
        return {
            "rows": len(times),
            "shapes": [
                {"dim": shape.dim, "optimizers": [str(e) if e else "-" for e in shape.segments], "rows": count}
                for shape, count in self.shapes.most_common()
            ],
            "slots": {"distinct": len(self.slots), "largest": [list(pair) for pair in self.slots.most_common(top)]},
            "max_ts": newest,
            "time": _spread(times),
            "age_days": _spread(ages),
            "norm": _spread(norms),
            "zero_rows": self.zero,
            "not_finite_rows": self.not_finite,
        }


def _spread(values: NDArray[Any]) -> dict[str, float] | None:
    if not len(values):
        return None
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return {"least": float(low), "median": float(middle), "mean": float(values.mean()), "most": float(high)}


def summarize(contents: Contents, top: int = 8) -> dict[str, Any]:
    """Figures of everything under a prefix as a plain object; damage raises CheckpointError."""
    tables: dict[str, _Table] = {name: _Table() for name in contents.tables()}
    for located in table_rows(contents):
        tables[located.table].add(located)
    shown: list[dict[str, Any]] = []
    for name, table in tables.items():
        entry = contents.entry_of(name)
        config = contents.config_of(name)
        figures: dict[str, Any] = {"name": name, "kind": "multi" if _in_multi(contents, name) else "single"}
        if config is not None:
            figures["segments"] = [
                {
                    "dim": segment.dim_size,
                    "optimizer": segment.opt_config.WhichOneof("type"),
                    "initializer": segment.init_config.WhichOneof("type"),
                    "compressor": segment.comp_config.WhichOneof("type"),
                }
                for segment in config.entry_config.segments
            ]
        if entry is not None:
            figures["learning_rates"] = list(entry.learning_rates)
        shown.append(figures | table.figures(entry.max_ts if entry is not None else None, top))
    return {
        "prefix": str(contents.prefix),
        "set": _describe_set(contents),
        "tables": shown,
        "filters": [_describe_filter(contents, group.stem.name) for group in _filters(contents)],
        "dense": _describe_dense(contents),
        "files": [
            {"path": str(path), "bytes": path.stat().st_size}
            for group in contents.groups
            for _shard, path in sorted([*group.shards.items(), *group.metas.items()])
        ],
    }


def _in_multi(contents: Contents, name: str) -> bool:
    return all(name != contents.name_of(group) for group in contents.groups if group.kind == "single")


def _describe_set(contents: Contents) -> dict[str, Any]:
    manifest = contents.manifest
    if manifest is None:
        return {"origin": "foreign"}
    return {
        "origin": "ours",
        "id": manifest.id,
        "kind": manifest.kind,
        "sequence": manifest.sequence,
        "base": manifest.base,
        "global_step": manifest.global_step,
        "ranks": manifest.ranks,
        "owner_rule": manifest.owner_rule,
        "quirks": list(manifest.quirks),
        "profile": manifest.profile,
        "extra": manifest.extra,
    }


def _filters(contents: Contents) -> list[Any]:
    return [group for group in contents.groups if group.kind == "filter"]


def _describe_filter(contents: Contents, stem: str) -> dict[str, Any]:
    group = next(group for group in _filters(contents) if group.stem.name == stem)
    splits = [read_split(path) for _split, path in sorted(group.shards.items())]
    first = splits[0][0]
    for (meta, _cells), path in zip(splits, [path for _split, path in sorted(group.shards.items())], strict=True):
        check_split(meta, first, group.count, path)
    return {
        "name": stem,
        "kind": "sliding" if first.HasField("sliding_hash_filter_meta") else "hash",
        "splits": group.count,
        "missing": len(group.missing),
        "total_size": first.total_size,
        "num_elements": [meta.num_elements for meta, _cells in splits],
        "used_cells": [int(np.count_nonzero(cells)) for _meta, cells in splits],
        "head": first.sliding_hash_filter_meta.head,
        "failure_count": first.sliding_hash_filter_meta.failure_count,
    }


def _describe_dense(contents: Contents) -> list[dict[str, Any]]:
    if contents.manifest is None or all(group.kind != "dense" for group in contents.groups):
        return []
    variables = JobCheckpoint(contents.root, contents.manifest).dense()
    return [{"name": n, "dtype": a.dtype.name, "shape": list(a.shape)} for n, a in variables.items()]


def rows_by_fid(contents: Contents, fids: Sequence[int], table: str | None = None) -> list[dict[str, Any]]:
    """Every row of these ids (int64), with where it stands."""
    wanted = np.unique(np.array(fids, np.int64))
    found = []
    for located in table_rows(contents, table):
        rows = located.decoded.rows
        for k in np.flatnonzero(np.isin(rows.ids, wanted)).tolist():
            record, offset = located.place(k)
            row = {"table": located.table, **describe_row(located, k)}
            found.append(row | {"file": str(located.path), "record": record, "offset": offset})
    return found


def describe_row(located: Located, k: int) -> dict[str, Any]:
    """One row as a plain object: values in decimal and as bits."""
    decoded = located.decoded
    rows = decoded.rows
    fid = int(rows.ids[k])
    state: list[dict[str, Any]] = []
    for element, arrays in zip(decoded.shape.segments, rows.state, strict=True):
        if element is None:
            state.append({"rule": None})
            continue
        fields = {f.name: _values(arrays[f.name][k]) for f in FIELDS[element.rule] if f.name in arrays}
        state.append({"rule": element.rule, **fields})
    ids = np.array([fid], np.int64)
    return {
        "fid": fid,
        "hex": f"{fid & 0xFFFFFFFFFFFFFFFF:016x}",
        "slot_v2": int(slot_of_v2(ids)[0]),
        "slot_v1": int(slot_of_v1(ids)[0]),
        "weights": _values(rows.weights[k, : decoded.found[k]]),
        "state": state,
        "update_time": int(decoded.times[k]),
    }


def _values(values: Any) -> dict[str, Any]:
    array = np.atleast_1d(np.asarray(values))
    if array.dtype == np.int64:
        return {"ints": array.tolist()}
    words = [f"{word:08x}" for word in np.ascontiguousarray(array, np.float32).view(np.uint32).tolist()]
    # The shortest decimal that gives the same float32 back.
    decimal = [float(str(v)) if np.isfinite(v) else str(v) for v in array]
    return {"floats": decimal, "bits": words}
