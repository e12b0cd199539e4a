"""Combiners and segment sums over given embeddings, and their gradients. Rule: features 2, 4, 5.

Embeddings are float32 ``[n, d]``; batch row i owns the embeddings ``row_splits[i] <= j < row_splits[i + 1]``. All is
summed strictly in index order from +0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, DtypeError, ShapeError
from monolith_ref.quirks import Quirks, as_quirks

__all__ = [
    "Reducer",
    "UniqueOffsets",
    "row_splits_of",
    "rowids",
    "split_columns",
    "unique_gradient",
    "unique_with_offsets",
]

F4 = NDArray[np.float32]
I8 = NDArray[np.int64]
_NO_SCALE = np.zeros(0, np.float32)
_KINDS = ("reduce_sum", "reduce_mean", "reduce_sqrtn", "first_n")


class Reducer:
    """Combiners on a target.

    Parameters
    ----------
    target : Target or str
    profile : str
        ``"avx"``: squares of reduce_sqrtn are added by fma. Only used when ``target`` is a name.
    quirks : str, Quirks or None
        ``reduce_mean_empty_nan``: the mean of an empty row is NaN.
    """

    def __init__(
        self, target: Target | str = "cpu", *, profile: str = "ieee", quirks: str | Quirks | None = None
    ) -> None:
        self.target = make_target(target, profile) if isinstance(target, str) else target
        self.quirks = as_quirks(quirks)

    def combine(self, kind: str, values: Any, row_splits: Any, n: int = 0) -> F4:
        """``[B, d]`` of reduce_sum, reduce_mean or reduce_sqrtn; ``[B, n, d]`` of first_n."""
        embeddings, splits = _checked(kind, values, row_splits, n)
        rows, dim = len(splits) - 1, embeddings.shape[1]
        width = dim * n if kind == "first_n" else dim
        segment, place = self.target.segment, self.target.asarray
        out = place(np.zeros((rows, width), np.float32))
        flat, offsets, positions, bounds = self._occurrences(embeddings, splits)
        if kind == "reduce_sum":
            segment.sum(flat, offsets, positions, bounds, dim, out, 0)
        elif kind == "reduce_mean":
            segment.mean(flat, offsets, positions, bounds, dim, out, 0, "reduce_mean_empty_nan" in self.quirks)
        elif kind == "reduce_sqrtn":
            segment.sqrtn(flat, offsets, positions, bounds, dim, out, 0, self.target.profile == "avx")
        else:
            segment.first_n(flat, offsets, positions, bounds, dim, n, out)
        host = np.array(self.target.to_host(out))
        return host.reshape(rows, n, dim) if kind == "first_n" else host

    def gradient(self, kind: str, upstream: Any, values: Any, row_splits: Any, n: int = 0) -> F4:
        """Gradient ``[n, d]`` of every embedding, given that of :meth:`combine`'s result."""
        embeddings, splits = _checked(kind, values, row_splits, n)
        rows, dim = len(splits) - 1, embeddings.shape[1]
        shape = (rows, n, dim) if kind == "first_n" else (rows, dim)
        if not isinstance(upstream, np.ndarray) or upstream.dtype != np.float32:
            raise DtypeError("upstream must be a float32 array")
        if upstream.shape != shape:
            raise ShapeError(f"upstream must have shape {list(shape)}, got {list(upstream.shape)}")
        segment, place = self.target.segment, self.target.asarray
        grad = place(np.ascontiguousarray(upstream).reshape(rows, -1))
        out = place(np.zeros(max(embeddings.size, 1), np.float32))
        flat, offsets, positions, bounds = self._occurrences(embeddings, splits)
        if kind == "reduce_sum":
            segment.sum_gradient(grad, 0, dim, bounds, out, dim)
        elif kind == "reduce_mean":
            segment.mean_gradient(grad, 0, dim, bounds, out, dim)
        elif kind == "reduce_sqrtn":
            pooled = place(np.zeros((rows, dim), np.float32))
            segment.sqrtn(flat, offsets, positions, bounds, dim, pooled, 0, self.target.profile == "avx")
            segment.sqrtn_gradient(grad, 0, dim, bounds, flat, offsets, positions, pooled, out, dim)
        else:
            segment.first_n_gradient(grad, 0, dim, n, bounds, out, dim)
        return np.array(self.target.to_host(out))[: embeddings.size].reshape(embeddings.shape)

    def segment_sum(self, values: Any, row_splits: Any) -> F4:
        """Sequential sums from +0, as many rows as ``row_splits`` says (also empty ones)."""
        return self.combine("reduce_sum", values, row_splits)

    def _occurrences(self, embeddings: F4, splits: I8) -> tuple[Any, Any, Any, Any]:
        count, dim = embeddings.shape
        place = self.target.asarray
        flat = embeddings.reshape(-1) if embeddings.size else np.zeros(1, np.float32)
        return (
            place(flat),
            place(np.arange(count, dtype=np.int64) * dim),
            place(np.arange(count, dtype=np.int32)),
            place(splits),
        )


def _checked(kind: str, values: Any, row_splits: Any, n: int) -> tuple[F4, I8]:
    if kind not in _KINDS:
        raise ArgumentError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    if kind == "first_n" and n < 1:
        raise ArgumentError(f"n must be at least 1, got {n}")
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        raise DtypeError("values must be a float32 array")
    if values.ndim != 2:
        raise ShapeError(f"values must have shape [n, d], got {list(values.shape)}")
    splits = np.asarray(row_splits)
    if splits.dtype.kind not in "iu":
        raise DtypeError(f"row_splits must be integers, got {splits.dtype}")
    if splits.ndim != 1 or len(splits) < 1 or splits[0] != 0 or splits[-1] != len(values):
        raise ShapeError(f"row_splits must run from 0 to {len(values)}")
    if np.any(np.diff(splits) < 0):
        raise ArgumentError("row_splits must not decrease")
    return np.ascontiguousarray(values), splits.astype(np.int64)


def rowids(row_splits: Any) -> I8:
    """The batch row of every occurrence."""
    splits = np.asarray(row_splits, np.int64)
    return np.repeat(np.arange(len(splits) - 1, dtype=np.int64), np.diff(splits))


def row_splits_of(ids: Any, rows: int | None = None) -> I8:
    """``row_splits`` of segment ids, which must not decrease; ``rows`` defaults to the last id + 1."""
    segments = np.asarray(ids, np.int64)
    if np.any(np.diff(segments) < 0) or (len(segments) and segments[0] < 0):
        raise ArgumentError("segment ids must be 0 or more and must not decrease")
    count = (int(segments[-1]) + 1 if len(segments) else 0) if rows is None else rows
    return np.searchsorted(segments, np.arange(count + 1)).astype(np.int64)


def split_columns(matrix: F4, dims: Sequence[int]) -> list[F4]:
    """The columns of a pooled matrix by slice dims."""
    if sum(dims) != matrix.shape[1]:
        raise ShapeError(f"slice dims {list(dims)} must add up to {matrix.shape[1]}")
    return [np.ascontiguousarray(part) for part in np.split(matrix, np.cumsum(dims)[:-1], axis=1)]


class UniqueOffsets:
    """Distinct keys per table with the element offsets of their occurrences (``unique_key_with_value_and_offset``).

    Attributes
    ----------
    keys, key_splits : int64
        Distinct keys in order of first occurrence, table after table.
    offsets, offset_splits : int64
        Element offsets of every distinct key's occurrences, ascending.
    """

    def __init__(self, keys: I8, key_splits: I8, offsets: I8, offset_splits: I8) -> None:
        self.keys, self.key_splits = keys, key_splits
        self.offsets, self.offset_splits = offsets, offset_splits


def unique_with_offsets(keys: Any, key_splits: Any, dims: Sequence[int], target: Target | str = "cpu") -> UniqueOffsets:
    """De-duplicate keys table by table; an occurrence takes ``dims[table]`` elements. Rule: features 4."""
    place = make_target(target) if isinstance(target, str) else target
    values, splits = np.asarray(keys, np.int64), np.asarray(key_splits, np.int64)
    if len(splits) != len(dims) + 1:
        raise ShapeError(f"key_splits must have one entry more than dims ({len(dims) + 1}), got {len(splits)}")
    found = place.dedup.unique_tables(place.asarray(values), splits)
    inverse = place.to_host(found.inverse)
    steps = np.repeat(np.asarray(dims, np.int64), np.diff(splits))
    starts = np.concatenate([[0], np.cumsum(steps)])[:-1].astype(np.int64)
    order = np.argsort(inverse, kind="stable")
    counts = np.asarray(place.to_host(found.counts), np.int64)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return UniqueOffsets(
        np.asarray(place.to_host(found.unique)), np.asarray(found.unique_splits, np.int64), starts[order], ends
    )


def unique_gradient(unique: UniqueOffsets, dims: Sequence[int], upstream: F4, target: Target | str = "cpu") -> F4:
    """Sums of the occurrences' gradients per distinct key, flat, in order of occurrence from +0. Rule: features 4."""
    place = make_target(target) if isinstance(target, str) else target
    widths = np.repeat(np.asarray(dims, np.int64), np.diff(unique.key_splits))
    targets = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    out = np.zeros(int(targets[-1]), np.float32)
    for table, dim in enumerate(dims):
        lo, hi = int(unique.key_splits[table]), int(unique.key_splits[table + 1])
        if lo == hi:
            continue
        span = slice(int(unique.offset_splits[lo]), int(unique.offset_splits[hi]))
        bounds = unique.offset_splits[lo : hi + 1] - span.start
        pooled = place.asarray(np.zeros((hi - lo, dim), np.float32))
        positions = np.arange(span.stop - span.start, dtype=np.int32)
        place.segment.sum(
            place.asarray(np.ascontiguousarray(upstream)), place.asarray(unique.offsets[span]),
            place.asarray(positions), place.asarray(bounds), dim, pooled, 0,
        )  # fmt: skip
        out[targets[lo] : targets[hi]] = np.asarray(place.to_host(pooled)).reshape(-1)
    return out
