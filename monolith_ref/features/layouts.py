"""From de-duplicated rows to model inputs in one operation, and its gradient. Rule: features 3.

Features are numbered by sorted name. ``fid_offset`` (uint64) holds one word per id occurrence: list number << 32, and
the row (``version`` 1) or the element (``version`` 3, 4, 5) in that list's buffer. ``feature_offset`` (int32) says
where every (feature, row) begins in it, ``nfl_offset`` (uint32) where every feature begins in ``feature_offset``;
its bit 31 marks a shared feature, whose one row of ids serves the whole batch.
A feature with an empty range is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from monolith_kernels.target import Target
from monolith_kernels.target import target as make_target
from numpy.typing import NDArray

from monolith_ref.errors import ArgumentError, ConfigError, ShapeError, UnsupportedError
from monolith_ref.quirks import Quirks, as_quirks

__all__ = ["EmbeddingLayout", "FeaturePlan", "LayoutPlan"]

F4 = NDArray[np.float32]
_SHARED = 0x80000000


@dataclass(frozen=True)
class FeaturePlan:
    """A feature: how it is pooled, the dims of its slices, and how many positions FIRSTN keeps."""

    pooling: Literal["SUM", "MEAN", "FIRSTN"]
    slice_dims: tuple[int, ...]
    max_sequence_length: int = 0


@dataclass(frozen=True)
class LayoutPlan:
    """A layout: what it is made of, ``(feature, start, end)``, and how.

    ``shapes`` (one per tensor, first entry -1 for the batch) may be left out: they then follow from the slices.
    """

    out_type: Literal["CONCAT", "STACK", "ADDN", "NONE"]
    slices: tuple[tuple[str, int, int], ...]
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class _Part:
    """One slice of a layout with the place of its values in an output tensor."""

    tensor: int
    feature: int
    start: int
    dim: int
    column: int
    step: int
    adds: bool
    first: bool


class EmbeddingLayout:
    """The plan of the operation; :meth:`forward` and :meth:`backward` run it on a batch.

    Parameters
    ----------
    features : mapping of name to FeaturePlan
    layouts : mapping of name to LayoutPlan
    version : int
        1, 3, 4 or 5: form of ``fid_offset`` and of the buffers.
    target : Target or str
    quirks : str, Quirks or None
        ``layout_sequence_overlap``: CONCAT and STACK of sequences overwrite each other as in the original.
    """

    def __init__(
        self,
        features: Mapping[str, FeaturePlan],
        layouts: Mapping[str, LayoutPlan],
        *,
        version: int = 1,
        target: Target | str = "cpu",
        quirks: str | Quirks | None = None,
    ) -> None:
        if version not in (1, 3, 4, 5):
            raise UnsupportedError(f"layout version must be 1, 3, 4 or 5, got {version!r}")
        self.version = version
        self.target = make_target(target) if isinstance(target, str) else target
        self.quirks = as_quirks(quirks)
        self._names = sorted(features, key=lambda name: name.encode())
        self._features = [features[name] for name in self._names]
        self._parts: list[_Part] = []
        self.shapes: list[tuple[int, ...]] = []
        for name in sorted(layouts, key=lambda name: name.encode()):
            self._plan(name, layouts[name])

    # ---- planning

    def _plan(self, name: str, layout: LayoutPlan) -> None:
        if layout.out_type not in ("CONCAT", "STACK", "ADDN", "NONE"):
            raise ConfigError(f"layout {name!r}: unknown out_type {layout.out_type!r}")
        if not layout.slices:
            raise ConfigError(f"layout {name!r} has no slices")
        slices = [self._slice(name, *part) for part in layout.slices]
        sequences = [self._features[feature].pooling == "FIRSTN" for feature, _, _ in slices]
        base = len(self.shapes)
        if layout.out_type == "ADDN" and any(sequences):
            raise ConfigError(f"layout {name!r}: ADDN cannot add sequences")
        if layout.out_type == "NONE":
            for number, ((feature, start, dim), sequence) in enumerate(zip(slices, sequences, strict=True)):
                self._parts.append(_Part(base + number, feature, start, dim, 0, dim, False, True))
                n = self._features[feature].max_sequence_length
                self.shapes.append((n, dim) if sequence else (dim,))
        else:
            self.shapes.append(self._joined(base, layout.out_type, slices, sequences))
        if layout.shapes:
            given = [tuple(shape[1:]) for shape in layout.shapes]
            sizes = [int(np.prod(shape)) for shape in given]
            if sizes != [int(np.prod(shape)) for shape in self.shapes[base:]]:
                raise ConfigError(f"layout {name!r}: shapes {given} do not fit {self.shapes[base:]}")
            self.shapes[base:] = given

    def _slice(self, layout: str, feature: str, start: int, end: int) -> tuple[int, int, int]:
        if feature not in self._names:
            raise ConfigError(f"layout {layout!r}: unknown feature {feature!r}")
        number = self._names.index(feature)
        edges = np.cumsum([0, *self._features[number].slice_dims])
        if not 0 <= start < end <= edges[-1]:
            raise ConfigError(f"layout {layout!r}: slice [{start}, {end}) is outside of {feature!r} [0, {edges[-1]})")
        return number, start, end - start

    def _joined(
        self, tensor: int, out_type: str, slices: list[tuple[int, int, int]], sequences: list[bool]
    ) -> tuple[int, ...]:
        """Place the slices of a CONCAT, STACK or ADDN layout; the shape of a row of its tensor."""
        dims = [dim for _, _, dim in slices]
        overlapping = "layout_sequence_overlap" in self.quirks
        lengths = [
            self._features[f].max_sequence_length if s else 1 for (f, _, _), s in zip(slices, sequences, strict=True)
        ]
        column = 0
        for number, (feature, start, dim) in enumerate(slices):
            self._parts.append(_Part(tensor, feature, start, dim, column, dim, out_type == "ADDN", number == 0))
            if out_type != "ADDN":
                column += dim if overlapping else dim * lengths[number]
        if out_type == "CONCAT" and not any(sequences):
            return (sum(dims),)
        if len(set(dims)) != 1:
            raise ConfigError(f"slices of unequal dims {dims} cannot be joined by {out_type}")
        if out_type == "ADDN":
            return (dims[0],)
        if not any(sequences):
            return (len(dims), dims[0])
        if not all(sequences):
            raise ConfigError(f"{out_type} cannot join sequences with pooled slices")
        if out_type == "CONCAT":
            return (lengths[0], sum(dims)) if overlapping else (sum(lengths), dims[0])
        if len(set(lengths)) != 1:
            raise ConfigError(f"sequences of unequal lengths {lengths} cannot be stacked")
        return (len(dims), lengths[0], dims[0])

    # ---- running

    def forward(
        self,
        embeddings: Sequence[F4],
        fid_offset: NDArray[np.uint64],
        feature_offset: NDArray[np.int32],
        nfl_offset: NDArray[np.uint32],
        batch_size: int,
    ) -> list[F4]:
        """The tensors of all layouts, sorted by name (NONE: one per slice), each float32 ``[batch_size, ...]``."""
        flat, rows = self._resolved(embeddings, fid_offset, feature_offset, nfl_offset, batch_size)
        pool = self.target.pool
        source, offsets = self.target.asarray(flat), self.target.asarray(rows.offsets)
        outs = [self.target.asarray(np.zeros(batch_size * int(np.prod(s)), np.float32)) for s in self.shapes]
        for part in self._parts:
            span = rows.spans[part.feature]
            if span is None:
                continue
            starts, ends = self.target.asarray(span[0]), self.target.asarray(span[1])
            out, stride = outs[part.tensor], int(np.prod(self.shapes[part.tensor]))
            plan = self._features[part.feature]
            if plan.pooling == "FIRSTN":
                pool.first_n(
                    source, offsets, starts, ends, part.start, part.dim, plan.max_sequence_length, out, stride,
                    part.column, part.step,
                )  # fmt: skip
                continue
            into = pool.COPY
            if part.adds and not (rows.shared[part.feature] and part.first):
                into = pool.ADD_POOLED if rows.shared[part.feature] else pool.ADD_EACH
            pool.reduce(
                source, offsets, starts, ends, part.start, part.dim, plan.pooling == "MEAN", into, out, stride,
                part.column,
            )  # fmt: skip
        return [
            np.array(self.target.to_host(out)).reshape(batch_size, *shape)
            for out, shape in zip(outs, self.shapes, strict=True)
        ]

    def backward(
        self,
        embeddings: Sequence[F4],
        fid_offset: NDArray[np.uint64],
        feature_offset: NDArray[np.int32],
        nfl_offset: NDArray[np.uint32],
        batch_size: int,
        gradients: Sequence[F4 | None],
    ) -> list[F4]:
        """Gradients shaped like ``embeddings``; a missing gradient of a tensor (None) counts as zeros."""
        if len(gradients) != len(self.shapes):
            raise ShapeError(f"gradients must be one per tensor ({len(self.shapes)}), got {len(gradients)}")
        flat, rows = self._resolved(embeddings, fid_offset, feature_offset, nfl_offset, batch_size)
        pool = self.target.pool
        offsets = self.target.asarray(rows.offsets)
        buffer = self.target.asarray(np.zeros(max(len(flat), 1), np.float32))
        touched = self.target.asarray(np.zeros(len(flat) if self.version == 1 else 0, np.uint8))
        for part in self._parts:
            span, plan = rows.spans[part.feature], self._features[part.feature]
            if span is None:
                continue
            stride = int(np.prod(self.shapes[part.tensor]))
            grad = self._gradient(part.tensor, gradients[part.tensor], batch_size)
            starts, ends = self.target.asarray(span[0]), self.target.asarray(span[1])
            if plan.pooling == "FIRSTN":
                pool.first_n_gradient(
                    grad, stride, part.column, part.step, part.dim, plan.max_sequence_length, offsets, starts, ends,
                    part.start, buffer, touched,
                )  # fmt: skip
            else:
                pool.reduce_gradient(
                    grad, stride, part.column, part.dim, plan.pooling == "MEAN", offsets, starts, ends, part.start,
                    buffer, touched,
                )  # fmt: skip
        host = np.array(self.target.to_host(buffer))
        edges = np.cumsum([0, *[matrix.size for matrix in embeddings]])
        return [host[lo:hi].reshape(m.shape) for m, lo, hi in zip(embeddings, edges, edges[1:], strict=False)]

    def _gradient(self, tensor: int, gradient: F4 | None, batch_size: int) -> Any:
        shape = (batch_size, *self.shapes[tensor])
        if gradient is None:
            return self.target.asarray(np.zeros(int(np.prod(shape)), np.float32))
        if gradient.shape != shape:
            raise ShapeError(f"gradient {tensor} must have shape {list(shape)}, got {list(gradient.shape)}")
        return self.target.asarray(np.ascontiguousarray(gradient, np.float32).reshape(-1))

    def _resolved(
        self,
        embeddings: Sequence[F4],
        fid_offset: NDArray[np.uint64],
        feature_offset: NDArray[np.int32],
        nfl_offset: NDArray[np.uint32],
        batch_size: int,
    ) -> tuple[F4, _Rows]:
        """All buffers side by side, and where every feature's ids lie in them; checked before anything is written."""
        fids = np.asarray(fid_offset, np.uint64)
        lists, places = (fids >> np.uint64(32)).astype(np.int64), (fids & np.uint64(0xFFFFFFFF)).astype(np.int64)
        if len(lists) and lists.max() >= len(embeddings):
            raise ArgumentError(f"fid_offset names list {lists.max()}, there are {len(embeddings)}")
        sizes = np.array([matrix.size for matrix in embeddings], np.int64)
        widths = np.array([m.shape[1] if self.version == 1 else 1 for m in embeddings], np.int64)
        base = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        offsets = base[lists] + places * widths[lists]
        flat = np.concatenate([np.asarray(m, np.float32).reshape(-1) for m in embeddings] or [np.zeros(0, np.float32)])
        starts = np.asarray(feature_offset, np.int64)
        ends = np.append(starts[1:], len(fids))
        if np.any(starts < 0) or np.any(ends < starts) or np.any(ends > len(fids)):
            raise ArgumentError("feature_offset must ascend within fid_offset")
        rows = _Rows(offsets, [], [])
        nfl = np.asarray(nfl_offset, np.int64)
        begins = np.append(nfl & (_SHARED - 1), len(starts))
        if len(nfl) != len(self._features):
            raise ShapeError(f"nfl_offset must have one entry per feature ({len(self._features)}), got {len(nfl)}")
        for number, plan in enumerate(self._features):
            lo, hi = int(begins[number]), int(begins[number + 1])
            shared = bool(nfl[number] & _SHARED)
            rows.shared.append(shared)
            if hi <= lo:
                rows.spans.append(None)
                continue
            if hi - lo != (1 if shared else batch_size):
                raise ShapeError(
                    f"feature {self._names[number]!r} has {hi - lo} rows, expected {1 if shared else batch_size}"
                )
            repeat = batch_size if shared else 1
            rows.spans.append((np.repeat(starts[lo:hi], repeat), np.repeat(ends[lo:hi], repeat)))
            mine, reach = slice(starts[lo], ends[hi - 1]), sum(plan.slice_dims)
            if np.any(places[mine] * widths[lists[mine]] + reach > sizes[lists[mine]]):
                raise ArgumentError(f"fid_offset of feature {self._names[number]!r} points outside of its buffer")
        return flat, rows


@dataclass
class _Rows:
    """Element offset of every id occurrence, and per feature the first and last occurrence of every batch row."""

    offsets: NDArray[np.int64]
    spans: list[tuple[NDArray[np.int64], NDArray[np.int64]] | None]
    shared: list[bool]
