"""Combiners and layouts, one embedding at a time. Rule: features 2, 3."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from monolith_conformance.oracle.rules.floats import Array, F, madd

__all__ = ["combine", "combine_gradient", "layout_backward", "layout_forward"]


def _rows(splits: Sequence[int]) -> list[range]:
    return [range(splits[i], splits[i + 1]) for i in range(len(splits) - 1)]


def _mean_factor(count: int) -> np.float32:
    with np.errstate(all="ignore"):
        return F(np.float64(1) / np.float64(F(count)))


def combine(
    kind: str, values: Array, splits: Sequence[int], n: int = 0, *, profile: str = "ieee", quirks: Collection[str] = ()
) -> Array:
    """What a combiner gives: [B, d], or [B, n, d] for first_n."""
    rows, d = _rows(splits), values.shape[1]
    out = np.zeros((len(rows), n, d) if kind == "first_n" else (len(rows), d), F)
    with np.errstate(all="ignore"):
        for i, row in enumerate(rows):
            for p, j in enumerate(row):
                if kind == "first_n":
                    if p < n:
                        out[i, p] = F(0) + values[j]
                elif kind == "reduce_sqrtn":
                    out[i] = madd(profile, values[j], values[j], out[i])
                else:
                    out[i] = out[i] + values[j]
            if kind == "reduce_mean" and (len(row) or "reduce_mean_empty_nan" in quirks):
                out[i] = out[i] * _mean_factor(len(row))
        return np.sqrt(out) if kind == "reduce_sqrtn" else out


def combine_gradient(
    kind: str, upstream: Array, values: Array, splits: Sequence[int], n: int = 0, *, profile: str = "ieee"
) -> Array:
    """The gradient of every embedding."""
    out = np.zeros_like(values)
    pooled = combine(kind, values, splits, profile=profile) if kind == "reduce_sqrtn" else None
    with np.errstate(all="ignore"):
        for i, row in enumerate(_rows(splits)):
            for p, j in enumerate(row):
                if kind == "reduce_sum":
                    out[j] = upstream[i]
                elif kind == "reduce_mean":
                    out[j] = upstream[i] * _mean_factor(len(row))
                elif kind == "first_n":
                    out[j] = upstream[i, p] if p < n else F(0)
                elif pooled is not None:
                    out[j] = upstream[i] * np.where(pooled[i] == 0, F(0), values[j] / pooled[i])
    return out


class _Plan:
    """Where every id's row lies, feature by feature and batch row by batch row."""

    def __init__(self, case: Mapping[str, Any], embeddings: Sequence[Array]) -> None:
        self.embeddings = embeddings
        names = sorted(case["features"], key=str.encode)
        fids, starts, nfl = case["fid_offset"], case["feature_offset"], case["nfl_offset"]
        edges = [*starts, len(fids)]
        self.rows: dict[str, list[list[tuple[int, int]]]] = {}
        self.shared: set[str] = set()
        for f, name in enumerate(names):
            lo = nfl[f] % 2**31
            hi = nfl[f + 1] % 2**31 if f + 1 < len(nfl) else len(starts)
            rows = [[(w >> 32, w % 2**32) for w in fids[edges[r] : edges[r + 1]]] for r in range(lo, hi)]
            if nfl[f] >= 2**31:
                self.shared.add(name)
                rows = rows * case["batch_size"]
            self.rows[name] = rows

    def slice(self, buffers: Sequence[Array], place: tuple[int, int], start: int, end: int) -> Array:
        """The part of a row, as a view."""
        buffer = buffers[place[0]]
        return buffer[place[1], start:end] if buffer.ndim == 2 else buffer[place[1] + start : place[1] + end]


def _tensors(case: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, int, int]], list[int]]]:
    """(out_type, slices, shape) of every output tensor, in order."""
    tensors = []
    for name in sorted(case["layouts"], key=str.encode):
        layout = case["layouts"][name]
        slices = [tuple(part) for part in layout["slices"]]
        if layout["out_type"] == "NONE":
            tensors += [("NONE", [part], shape[1:]) for part, shape in zip(slices, layout["shapes"], strict=True)]
        else:
            tensors.append((layout["out_type"], slices, layout["shapes"][0][1:]))
    return tensors


def _places(out_type: str, slices: Sequence[tuple[str, int, int]]) -> list[int]:
    """Column of every slice in a batch row of its tensor."""
    dims = [end - start for _, start, end in slices]
    return [0 if out_type == "ADDN" else sum(dims[:s]) for s in range(len(dims))]


def layout_forward(case: Mapping[str, Any], embeddings: Sequence[Array]) -> list[Array]:
    """Output tensors of a case with features, layouts and offsets."""
    plan, outs = _Plan(case, embeddings), []
    with np.errstate(all="ignore"):
        for out_type, slices, shape in _tensors(case):
            out = np.zeros((case["batch_size"], int(np.prod(shape))), F)
            for s, ((name, start, end), column) in enumerate(zip(slices, _places(out_type, slices), strict=True)):
                for b, ids in enumerate(plan.rows[name]):
                    parts = [plan.slice(embeddings, place, start, end) for place in ids]
                    _write(case["features"][name], out_type, name in plan.shared, s == 0, parts, out[b], column)
            outs.append(out.reshape(case["batch_size"], *shape))
    return outs


def _write(
    feature: Mapping[str, Any], out_type: str, shared: bool, first: bool, parts: list[Array], row: Array, column: int
) -> None:
    if not parts:
        return
    d = len(parts[0])
    if feature["pooling"] == "FIRSTN":
        for p, part in enumerate(parts[: feature["max_sequence_length"]]):
            row[column + p * d : column + (p + 1) * d] = part
        return
    terms = [part / F(len(parts)) if feature["pooling"] == "MEAN" else part for part in parts]
    view = row[column : column + d]
    if out_type == "ADDN" and not shared:
        for term in terms:
            view += term
        return
    total = terms[0].copy()
    for term in terms[1:]:
        total += term
    view[:] = view + total if out_type == "ADDN" and not first else total


def layout_backward(case: Mapping[str, Any], embeddings: Sequence[Array], gradients: Sequence[Array]) -> list[Array]:
    """Gradients of the embedding buffers."""
    plan, buffers = _Plan(case, embeddings), [np.zeros_like(e) for e in embeddings]
    fresh = [np.ones(e.shape, bool) for e in embeddings] if case["op_version"] in (1, 2) else None
    with np.errstate(all="ignore"):
        for (out_type, slices, _), gradient in zip(_tensors(case), gradients, strict=True):
            flat = gradient.reshape(case["batch_size"], -1)
            for (name, start, end), column in zip(slices, _places(out_type, slices), strict=True):
                feature, d = case["features"][name], end - start
                for b, ids in enumerate(plan.rows[name]):
                    for p, place in enumerate(ids):
                        at = column
                        if feature["pooling"] == "FIRSTN":
                            if p >= feature["max_sequence_length"]:
                                continue
                            at = column + p * d
                        g = flat[b, at : at + d]
                        g = g / F(len(ids)) if feature["pooling"] == "MEAN" else g
                        view = plan.slice(buffers, place, start, end)
                        if fresh is None:
                            view += g
                        else:
                            new = plan.slice(fresh, place, start, end)
                            view[:] = np.where(new, g, view + g)
                            new[:] = False
    return buffers
